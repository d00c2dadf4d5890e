"""Measure everything that docs/results.md shows and write it; see `make report`."""

import sys
from pathlib import Path

import tyro
from tpc_jax.animators.options import AnimateOptions
from tqdm import tqdm

from tpc_jax.animators.load import load_animator
from tpc_jax.errors import UserError
from tpc_jax.studies.evaluation.command import load_splits
from tpc_jax.studies.evaluation.evaluation import evaluate
from tpc_jax.studies.evaluation.results_page import (
    PAGE_FILE,
    VARIANTS,
    require_cases,
    write_results,
)


def main(
    splits: Path = Path("configs/splits"),
    out: Path = Path("docs"),
    runs: Path = Path("runs/report"),
    model: str = "tiny",
) -> None:
    """Evaluate a model on all splits of the synthetic people; a stopped run goes on.

    Args:
        splits: Folder of manifests, one of them aligned.json.
        out: Folder for results.md and its figures.
        runs: Working folder.
        model: "tiny" or the folder of another model of its kind.
    """
    animator, params = load_animator(model)
    loaded = load_splits("synthetic", sorted(splits.glob("*.json")), animator.image_size)
    require_cases(loaded)
    total = len(VARIANTS) * sum(len(one.split.pairs) for one in loaded)
    with tqdm(total=total, desc="animating", unit="clip", mininterval=1) as bar:
        rows = evaluate(
            animator, params, loaded, VARIANTS, runs, AnimateOptions(),
            num_videos=0, progress=bar.update,
        )  # fmt: skip
    write_results(out, rows, loaded, Path(model).name, "make report")
    print(f"wrote {out / PAGE_FILE}")


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except UserError as error:
        sys.exit(f"make_report: {error}")
