"""Commands that train a model or measure it on many people."""

from pathlib import Path
from typing import Literal

from tqdm import tqdm

from tpc_jax.commands.settings import read_settings
from tpc_jax.commands.shared import choices, choose_dtype, stage
from tpc_jax.errors import UserError
from tpc_jax.options import Routing, TransformKind

Case = Literal["aligned", "scale", "rotation", "bending", "walking"]


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


def sensitivity(
    model: str = "tiny",
    out: Path = Path("docs"),
    results: Path = Path("runs/sensitivity.csv"),
    clips: int = 64,
    frames: int = 8,
    steps: int | None = None,
    seed: int = 0,
) -> None:
    """Measure quality against rotation and scale of the reference; a stopped study goes on.

    Args:
        model: "tiny" or the folder of another model of its kind.
        out: Folder for sensitivity.md and sensitivity.png.
        results: Scores of every clip under every condition, in CSV format.
        clips: Held-out people, at least 2.
        frames: Frames per person, 2 to 23.
        steps: Denoising steps; the model's own number if left out.
        seed: Seed of the people, the noise and the propagation.
    """
    from tpc_jax.animators.load import load_animator
    from tpc_jax.studies.evaluation.cases import MOTION_FRAMES
    from tpc_jax.studies.evaluation.sensitivity import StudyOptions, run_study, study_conditions
    from tpc_jax.studies.evaluation.summary import write_summary

    with stage("loading"):
        animator, params = load_animator(model)
    steps = animator.num_steps if steps is None else steps
    most = {"frames": MOTION_FRAMES - 1, "steps": animator.schedule.num_train_timesteps}
    if clips < 2 or not 2 <= frames <= most["frames"] or not 1 <= steps <= most["steps"]:
        raise UserError(
            f"--clips must be at least 2, --frames in 2...{most['frames']} and "
            f"--steps in 1...{most['steps']}"
        )
    options = StudyOptions(clips, frames, steps, seed)
    total = clips * len(study_conditions())
    with tqdm(total=total, desc="animating", unit="clip", mininterval=1) as bar:
        run_study(animator, params, results, options, progress=bar.update)
    write_summary(results, out)
    print(f"wrote {out / 'sensitivity.md'} and {out / 'sensitivity.png'}")


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


def evaluate(
    data: str,
    split: tuple[Path, ...],
    out: Path,
    model: str = "tiny",
    methods: str = "none,face,all,clip,lts",
    transforms: str = "similarity",
    propagation: str = "random:4",
    routing: str = "composite",
    steps: int | None = None,
    guidance_scale: float | None = None,
    seed: int = 0,
    videos: int = 3,
    disco: bool = False,
    lpips: Path | None = None,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
) -> None:
    """Animate every pair of splits in several ways and score the clips; a stopped run goes on.

    Options with several values take them with commas between; everything is combined with
    everything.

    Args:
        data: synthetic, tiktok:FOLDER, tiktok:FOLDER:test, tiktok-tsv:NAME_images.tsv, ted:LIST.txt
            or ted:FOLDER.
        split: Manifests of make-split, one table each.
        out: Folder for results.md, results.csv, results.json, plots, report.html and, as the run
            goes, results.jsonl.
        model: "tiny", the embedded model, or the folder of a trained or converted one.
        methods: none, face, all, clip, lts; pose-shift, retarget and retarget+lts move the motion.
        transforms: similarity, affine, translation_scale, rigid.
        propagation: random:4 (policy and frames per group), first:4, off.
        routing: open, masked, union, replace, composite.
        steps: Denoising steps; the model's own number if left out.
        guidance_scale: Classifier-free guidance, 1 means off; the model's own value if left out.
        seed: Seed of the noise and of the propagation.
        videos: Pairs per split whose videos are kept and shown.
        disco: Add L1, PSNR and SSIM by the field's convention, at 256x256.
        lpips: Add LPIPS by the network in this folder, made by `tpc-jax convert lpips-vgg`.
        dtype: Type to compute in; auto takes bfloat16 on accelerators.
    """
    from tpc_jax.studies.evaluation.command import run_evaluation
    from tpc_jax.studies.evaluation.variants import make_variants

    if (steps is not None and steps < 1) or videos < 0:
        raise UserError("--steps must be at least 1 and --videos at least 0")
    variants = make_variants(
        methods.split(","),
        choices("--transforms", transforms, TransformKind),
        propagation.split(","),
        choices("--routing", routing, Routing),
    )
    denoising = Denoising(steps=steps, guidance_scale=guidance_scale, seed=seed)
    total = run_evaluation(
        model, data, split, variants, out, denoising.options(), num_videos=videos,
        use_disco=disco, lpips=lpips, dtype=choose_dtype(dtype),
        bar=lambda count: tqdm(total=count, desc="animating", unit="clip"),
    )  # fmt: skip
    print(f"{total} clips; wrote {out / 'report.html'} and tables beside it")
