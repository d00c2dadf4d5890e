"""Measure everything that docs/results.md shows and write it; see `make report`."""

import sys
from pathlib import Path

import tyro
from tqdm import tqdm

from tpc_jax.animators.load import load
from tpc_jax.errors import UserError
from tpc_jax.options import Options
from tpc_jax.studies.evaluation.command import load_splits
from tpc_jax.studies.evaluation.networks import FeatureMetrics
from tpc_jax.studies.evaluation.results_page import (
    PAGE_FILE,
    VARIANTS,
    require_cases,
    write_results,
)
from tpc_jax.studies.evaluation.study import Study, Task, run_study


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
    stored = load(model)
    loaded = load_splits("synthetic", sorted(splits.glob("*.json")), stored.animator.canvas.size)
    require_cases(loaded)
    study = Study(stored, Options(), FeatureMetrics())
    tasks = [Task(split, VARIANTS) for split in loaded]
    total = sum(task.num_clips for task in tasks)
    with tqdm(total=total, desc="animating", unit="clip", mininterval=1) as bar:
        rows = run_study(study, tasks, runs, bar.update)
    write_results(out, rows, loaded, Path(model).name, "make report")
    print(f"wrote {out / PAGE_FILE}")


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except UserError as error:
        sys.exit(f"make_report: {error}")
