"""An evaluation from what the user names to the finished folder."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tpc_jax.animators.load import load_animator
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.errors import UserError
from tpc_jax.sampler.schedule import step_table
from tpc_jax.studies.datasets import open_dataset, read_split
from tpc_jax.studies.datasets.splits import check_data
from tpc_jax.studies.evaluation.aggregate import Result, aggregate, keys_of
from tpc_jax.studies.evaluation.evaluation import LoadedSplit, Lpips, evaluate
from tpc_jax.studies.evaluation.page import write_page
from tpc_jax.studies.evaluation.tables import write_tables
from tpc_jax.studies.evaluation.variants import Variant


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


def run_evaluation(
    model: str,
    data: str,
    manifests: Sequence[Path],
    variants: Sequence[Variant],
    out: Path,
    options: AnimateOptions,
    *,
    num_videos: int,
    use_disco: bool,
    lpips: Path | None,
    dtype: str,
    bar: Callable[[int], AbstractContextManager],
) -> int:
    """Evaluate a model and write everything.

    Args:
        model: Name or folder.
        data: As for `open_dataset`.
        manifests: Splits.
        variants: Ways of animating.
        out: Folder to fill.
        options: Steps, guidance and seed.
        num_videos: Pairs per split whose videos are kept.
        use_disco: Whether to score by the field's convention too.
        lpips: Folder of a converted network of LPIPS.
        dtype: Type to compute in.
        bar: Makes a progress bar of a length.

    Returns:
        How many clips were animated, now or before.
    """
    animator, params = load_animator(model, dtype)
    try:
        step_table(animator.schedule, options.resolve(animator).steps)
    except ValueError as error:
        raise UserError(f"--steps: {error}") from error
    network = None if lpips is None else Lpips(lpips)
    splits = load_splits(data, manifests, animator.image_size)
    total = len(variants) * sum(len(loaded.split.pairs) for loaded in splits)
    with bar(total) as progress:
        rows = evaluate(
            animator, params, splits, variants, out, options,
            num_videos=num_videos, use_disco=use_disco, lpips=network, progress=progress.update,
        )  # fmt: skip
    tables: dict[str, list[Result]] = {
        loaded.name: aggregate(rows, keys_of(loaded), variants) for loaded in splits
    }
    title = f"Evaluation of {Path(model).name} on {data.partition(':')[0]}"
    write_tables(out, title, tables)
    write_page(out, title, tables, splits)
    return total
