"""From what the user names to finished pages: an evaluation, and the study of sensitivity."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, get_args

from tpc_jax.animators.load import load
from tpc_jax.animators.plan import plan_run
from tpc_jax.errors import UserError
from tpc_jax.options import Options, Routing, TransformKind
from tpc_jax.studies.datasets import open_dataset, read_split
from tpc_jax.studies.datasets.splits import check_data
from tpc_jax.studies.evaluation import html_page, sensitivity_page
from tpc_jax.studies.evaluation.aggregate import aggregate, keys_of
from tpc_jax.studies.evaluation.networks import FeatureMetrics, Lpips
from tpc_jax.studies.evaluation.pairs import MOST_FRAMES
from tpc_jax.studies.evaluation.records import params_digest
from tpc_jax.studies.evaluation.sensitivity import Condition, grid_tasks
from tpc_jax.studies.evaluation.settings import EvaluationSettings, SensitivitySettings
from tpc_jax.studies.evaluation.study import LoadedSplit, Study, Task, run_study
from tpc_jax.studies.evaluation.tables import write_tables
from tpc_jax.studies.evaluation.variants import Variant, make_variants

# Makes a progress bar of a length.
Bar = Callable[[int], AbstractContextManager[Any]]


def run_evaluation(settings: EvaluationSettings, dtype: str, bar: Bar) -> int:
    """Evaluate a model and write everything.

    Args:
        settings: What the user wants; its `dtype` may be "auto".
        dtype: Type to compute in.
        bar: Makes a progress bar of a length.

    Returns:
        How many clips were animated, now or before.

    Raises:
        UserError: A setting means nothing, or see `run_study`.
    """
    variants = chosen_variants(settings)
    model = load(settings.model, dtype)
    options = Options(
        steps=settings.steps, guidance_scale=settings.guidance_scale, seed=settings.seed
    )
    # Options that mean nothing to the model end here, before anything is read.
    for variant in variants:
        plan_run(model.animator, 1, variant.options(options))
    lpips = None if settings.lpips is None else Lpips(settings.lpips)
    splits = load_splits(settings.data, settings.split, model.animator.canvas.size)
    study = Study(model, options, FeatureMetrics(), lpips, settings.disco, settings.videos)
    tasks = [Task(split, variants) for split in splits]
    total = sum(task.num_clips for task in tasks)
    with bar(total) as progress:
        rows = run_study(study, tasks, settings.out, progress.update)
    tables = {
        loaded.name: aggregate(
            rows, keys_of(loaded), variants, set_resamples=settings.set_resamples
        )
        for loaded in splits
    }
    title = f"Evaluation of {Path(settings.model).name} on {settings.data.partition(':')[0]}"
    write_tables(settings.out, title, tables)
    html_page.write_page(settings.out, title, tables, splits)
    return total


def run_sensitivity(
    settings: SensitivitySettings, bar: Bar, conditions: Sequence[Condition] | None = None
) -> tuple[Path, Path]:
    """Measure how quality depends on rotation and scale, and write the page.

    Args:
        settings: What the user wants.
        bar: Makes a progress bar of a length.
        conditions: All of `study_conditions` by default.

    Returns:
        The page and its plot.

    Raises:
        UserError: A number is out of range, or see `run_study`.
    """
    model = load(settings.model)
    clips, frames, seed = settings.clips, settings.frames, settings.seed
    if clips < 2 or not 2 <= frames <= MOST_FRAMES:
        raise UserError(f"--clips must be at least 2 and --frames in 2...{MOST_FRAMES}")
    options = Options(steps=settings.steps, seed=seed)
    steps = plan_run(model.animator, frames, options).num_steps
    study = Study(model, options)
    tasks = grid_tasks(model.animator.canvas.size, clips, frames, seed, conditions)
    with bar(sum(task.num_clips for task in tasks.values())) as progress:
        rows = run_study(study, tuple(tasks.values()), settings.runs, progress.update)
    label = f"model {params_digest(model.params)}, {frames} frames, {steps} steps, seed {seed}"
    return sensitivity_page.write_page(settings.out, rows, tasks, label)


def chosen_variants(settings: EvaluationSettings) -> tuple[Variant, ...]:
    """Return the ways of animating that the settings name.

    Raises:
        UserError: One of them is unknown.
    """
    return make_variants(
        settings.methods.split(","),
        _choices("--transforms", settings.transforms, TransformKind),
        settings.propagation.split(","),
        _choices("--routing", settings.routing, Routing),
    )


def _choices(option: str, text: str, kind) -> tuple:
    """Read values with commas between; `kind` is the `Literal` they come from."""
    values = tuple(text.split(","))
    if unknown := [value for value in values if value not in get_args(kind)]:
        known = ", ".join(get_args(kind))
        raise UserError(f"{option} {unknown[0]}: unknown; known are {known}")
    return values


def load_splits(
    data: str, manifests: Sequence[Path], size: int | tuple[int, int]
) -> list[LoadedSplit]:
    """Read manifests and open the data they were made from.

    Raises:
        UserError: A manifest is damaged, named like another, or made from other data.
    """
    opened = open_dataset(data, size)
    splits = []
    for path in manifests:
        split = read_split(path)
        check_data(split, opened, (str(path), f"--data {data}"))
        splits.append(LoadedSplit(path.stem, split, opened))
    if len({loaded.name for loaded in splits}) != len(splits):
        raise UserError("--split: two manifests have one file name; rename one")
    if not splits:
        raise UserError("--split: names no manifest; make one with make-split")
    return splits
