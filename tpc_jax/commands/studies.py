"""Commands that train a model or measure it on many people."""

from pathlib import Path
from typing import Annotated

import tyro
from tqdm import tqdm

from tpc_jax.commands.settings import read_settings
from tpc_jax.commands.shared import choose_dtype
from tpc_jax.errors import UserError
from tpc_jax.options import Case
from tpc_jax.studies.evaluation.settings import EvaluationSettings, SensitivitySettings


def train(out: Path, runs: Path = Path("runs/tiny"), config: Path | None = None) -> None:
    """Train `tiny` from nothing; a stopped training goes on where it was.

    Args:
        out: Folder of the finished model.
        runs: Working folder: checkpoints and loss curves.
        config: TOML or JSON file with overrides of the settings.
    """
    from tpc_jax.studies.training.config import TrainConfig
    from tpc_jax.studies.training.export import export_model
    from tpc_jax.studies.training.tiny import train_tiny

    if out.exists():
        raise UserError(f"{out}: exists already; remove it or choose another folder")
    try:
        settings = TrainConfig.from_dict(read_settings(config) if config else {})
    except (TypeError, ValueError) as error:
        raise UserError(f"{config}: {error}") from error
    model, params = train_tiny(settings, runs)
    export_model(out, runs, settings, model, params)
    print(f"wrote {out}")


def sensitivity(settings: Annotated[SensitivitySettings, tyro.conf.OmitArgPrefixes]) -> None:
    """Measure quality against rotation and scale of the reference; a stopped study goes on.

    Args:
        settings: What to measure, and on how many people.
    """
    from tpc_jax.studies.evaluation.command import run_sensitivity

    paths = run_sensitivity(settings, _clip_bar)
    print(f"wrote {' and '.join(map(str, paths))}")


def make_split(
    data: str,
    case: Case,
    out: Path,
    pairs: int = 64,
    frames: int = 8,
    step: int = 1,
    seed: int = 0,
) -> None:
    """Draw pairs of references and motions that are misaligned in one way, and list them.

    Args:
        data: synthetic, tiktok:FOLDER, tiktok:FOLDER:test, tiktok-tsv:NAME_images.tsv, ted:LIST.txt
            or ted:FOLDER.
        case: How reference and motion differ.
        out: Manifest to write, JSON; it holds no pictures.
        pairs: Number of pairs.
        frames: Frames of each motion.
        step: Distance of these frames in the clip.
        seed: Seed of the draws.
    """
    from tpc_jax.studies.datasets import open_dataset, write_split
    from tpc_jax.studies.datasets.make_split import make_split as draw

    if min(pairs, frames, step) < 1:
        raise UserError("--pairs, --frames and --step must be at least 1")
    split = draw(open_dataset(data), case, num_pairs=pairs, num_frames=frames, step=step, seed=seed)
    write_split(out, split)
    print(f"wrote {out}: {len(split.pairs)} pairs, digest {split.digest}")


def evaluate(settings: Annotated[EvaluationSettings, tyro.conf.OmitArgPrefixes]) -> None:
    """Animate every pair of splits in several ways and score the clips; a stopped run goes on.

    Options with several values take them with commas between; everything is combined with
    everything.

    Args:
        settings: What to evaluate, and how.
    """
    from tpc_jax.studies.evaluation.command import run_evaluation

    total = run_evaluation(settings, choose_dtype(settings.dtype), _clip_bar)
    print(f"{total} clips; wrote {settings.out / 'report.html'} and tables beside it")


def _clip_bar(total: int) -> tqdm:
    return tqdm(total=total, desc="animating", unit="clip", mininterval=1)
