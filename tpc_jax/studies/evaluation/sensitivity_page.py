"""docs/sensitivity.md: the study of rotation and scale told as tables and a plot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tpc_jax.io.atomic import atomic_path
from tpc_jax.metrics.bootstrap import Interval
from tpc_jax.report.markdown import markdown_table
from tpc_jax.studies.evaluation.aggregate import collect, gain, keys_of, mean_interval, won_back
from tpc_jax.studies.evaluation.sensitivity import (
    ROTATIONS,
    SCALES,
    STEADY,
    Condition,
    Point,
    Row,
    sections,
    study_conditions,
)
from tpc_jax.studies.evaluation.study import Rows, Task
from tpc_jax.studies.evaluation.tables import SHOWN, Column, cell
from tpc_jax.studies.evaluation.variants import PLAIN, TPC, Variant

PAGE_FILE, PLOT_FILE = "sensitivity.md", "sensitivity.png"
_COLUMNS = {
    **{name: SHOWN[name] for name in ("foreground_psnr", "psnr", "ssim")},
    "person_iou": SHOWN["person_iou_after"],
    "flicker": SHOWN["flicker"],
}
_WON_BACK = {"foreground_psnr": "person won back", "psnr": "frame won back"}
_PERCENT, _DECIBEL = Column("%", 100, 0), Column("dB", decimals=2)

Scores = Mapping[Condition, Mapping[str, Float[np.ndarray, " pairs"]]]


def write_page(out: Path, rows: Rows, tasks: Mapping[Point, Task], study: str) -> tuple[Path, Path]:
    """Write the page and its plot into a folder.

    Args:
        out: Folder for `sensitivity.md` and `sensitivity.png`, which are replaced.
        rows: Results of `run_study`; what they lack is left out.
        tasks: What was animated, from `grid_tasks`.
        study: What the results depend on, in words.

    Returns:
        Where they are.
    """
    scores = collect_scores(rows, tasks)
    num_clips = max(len(task.loaded.split.pairs) for task in tasks.values())
    page, plot = out / PAGE_FILE, out / PLOT_FILE
    with atomic_path(plot) as partial:
        plot_curves(scores, partial)
    with atomic_path(page) as partial:
        partial.write_text(page_text(scores, study, num_clips), encoding="utf-8")
    return page, plot


def collect_scores(rows: Rows, tasks: Mapping[Point, Task]) -> Scores:
    """Gather the scores of every condition, person by person; conditions without any are left out.

    `person_iou` is that of the calibrated reference, or of the reference as it lies where nothing
    is calibrated.
    """
    found = {}
    for point, task in tasks.items():
        for variant in task.variants:
            table = collect(rows, keys_of(task.loaded), variant.name)
            overlap = _person_iou(rows, tasks, Condition(point, variant))
            if table:
                known = {} if overlap is None else {"person_iou": overlap}
                found[Condition(point, variant)] = {**table, **known}
    return found


def _person_iou(rows: Rows, tasks: Mapping[Point, Task], condition: Condition):
    point, variant = condition
    if variant.routing is not None:
        table = collect(rows, keys_of(tasks[point].loaded), variant.name)
        return table.get("person_iou_after")
    # It stands with the calibrations of the same reference; its resolution changes nothing.
    task = tasks.get(point._replace(resolution=1.0))
    return task and collect(rows, keys_of(task.loaded), TPC.name).get("person_iou_before")


def page_text(scores: Scores, study: str, num_clips: int) -> str:
    """Return the page in Markdown.

    Args:
        scores: Scores per condition.
        study: What they depend on, in words.
        num_clips: Number of people.
    """
    parts = [
        "# Sensitivity to misalignment",
        f"{num_clips} held-out people ({study}). Mean over people with the 95 % bootstrap interval "
        "in brackets; person PSNR is over the person's pixels. Rotation turns the reference's "
        "person, scale resizes it against the motion's; its background stays.",
        "*Won back* is (with - without) / (bound - without) for person and whole-frame PSNR, where "
        "without is the same misaligned reference left as it is, and bound an aligned reference. "
        "Nothing is lost where nothing is misaligned: there the difference in dB is shown. In the "
        "last table the bound has as few pixels on the person as the misaligned reference.",
        f"![scores against rotation and scale]({PLOT_FILE})",
        "`tpc-jax sensitivity` remakes this page.",
    ]
    is_whole = [c in scores and np.isfinite(scores[c]["psnr"]).all() for c in study_conditions()]
    if missing := is_whole.count(False):
        parts.append(f"**Unfinished: {missing} conditions lack some or all people.**")
    for title, rows in sections().items():
        cells = [_cells(scores, row) for row in rows if _has_mean(scores, row.condition)]
        if cells:
            head = ["misalignment", "variant", *(column.title for column in _COLUMNS.values())]
            table = markdown_table([*head, *_WON_BACK.values()], cells)
            parts.append(f"## {title}\n\n{table}")
    return "\n\n".join(parts) + "\n"


def _has_mean(scores: Scores, condition: Condition) -> bool:
    return condition in scores and _interval(scores, condition, "psnr") is not None


def _interval(scores: Scores, condition: Condition, score: str) -> Interval | None:
    values = scores.get(condition, {}).get(score)
    return None if values is None else mean_interval(values)


def _cells(scores: Scores, row: Row) -> list[str]:
    columns = _COLUMNS.items()
    cells = [cell(_interval(scores, row.condition, name), column) for name, column in columns]
    shares = [_won_back_cell(scores, row, name) for name in _WON_BACK]
    return [misalignment_name(row.condition.point), row.name, *cells, *shares]


def _won_back_cell(scores: Scores, row: Row, score: str) -> str:
    tables = [scores.get(condition, {}) for condition in row.needed]
    if row.bound is None or not all(score in table for table in tables):
        return ""
    calibrated, plain, best = tables
    if row.bound == row.condition.without:
        return _with_unit(gain(calibrated, plain, score), _DECIBEL)
    return _with_unit(won_back(*(table[score] for table in (plain, calibrated, best))), _PERCENT)


def _with_unit(interval: Interval | None, column: Column) -> str:
    return "-" if interval is None else f"{cell(interval, column)} {column.title}"


def misalignment_name(point: Point) -> str:
    """Name the misalignment that a row belongs to: a bound's is that of its resolution."""
    return (point if point.resolution == 1 else Point(scale=point.resolution)).name


_CURVES = (
    ("without TPC", PLAIN, {"color": "tab:red", "marker": "s"}),
    ("composite", TPC, {"color": "tab:blue", "marker": "o"}),
    (
        "composite, no propagation",
        STEADY,
        {"color": "tab:green", "marker": "^", "linestyle": "--"},
    ),
)
_LOW_RESOLUTION = (
    "aligned, equally low resolution",
    PLAIN,
    {"color": "black", "marker": "x", "linestyle": ":"},
)


def plot_curves(scores: Scores, path: Path) -> None:
    """Draw the scores against rotation and scale, with 95 % intervals as bands.

    Args:
        scores: Scores per condition; those that are missing leave gaps.
        path: PNG file to write.
    """
    figure = Figure(figsize=(13, 6.2), layout="constrained")
    axes = figure.subplots(2, 4, sharey="col")
    shown = ("foreground_psnr", "psnr", "ssim", "person_iou")
    rotations = {angle: Point(rotation=angle) for angle in ROTATIONS}
    scales = {scale: Point(scale=scale) for scale in sorted((1.0, *SCALES))}
    coarse = {scale: Point(resolution=scale) for scale in SCALES}
    for index, score in enumerate(shown):
        for curve in _CURVES:
            _plot_curve(axes[0, index], scores, rotations, score, *curve)
            _plot_curve(axes[1, index], scores, scales, score, *curve)
        _plot_curve(axes[1, index], scores, coarse, score, *_LOW_RESOLUTION)
        for axis in axes[:, index]:
            axis.set_ylabel(_COLUMNS[score].title)
            axis.grid(alpha=0.3)
        axes[0, index].set_xlabel("rotation of the reference, degrees")
        axes[0, index].set_xticks(ROTATIONS)
        axes[1, index].set_xlabel("scale of the reference")
        axes[1, index].set_xscale("log")
        axes[1, index].set_xticks(list(scales), [f"{x:g}" for x in scales], fontsize=8)
        axes[1, index].minorticks_off()
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    figure.savefig(path, dpi=90, format="png")


def _plot_curve(
    axis: Axes,
    scores: Scores,
    points: Mapping[float, Point],
    score: str,
    label: str,
    variant: Variant,
    style: Mapping[str, Any],
) -> None:
    found = {x: _interval(scores, Condition(point, variant), score) for x, point in points.items()}
    drawn = np.array([(x, *i[:3]) for x, i in found.items() if i is not None])
    if len(drawn):
        x, value, low, high = drawn.T
        axis.plot(x, value, label=label, markersize=4, linewidth=1.5, **style)
        axis.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
