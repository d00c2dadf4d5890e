"""The sensitivity study told as a table and a plot."""

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from tpc_jax.errors import UserError
from tpc_jax.io.atomic import atomic_path
from tpc_jax.metrics.bootstrap import MeanInterval, bootstrap_mean
from tpc_jax.studies.evaluation.sensitivity import (
    ROTATIONS,
    ROUTINGS,
    SCALES,
    SCORES,
    Condition,
    read_results,
    study_conditions,
)

TABLE_FILE, PLOT_FILE = "sensitivity.md", "sensitivity.png"
NAMED = (
    Condition(),
    Condition(rotation=60.0),
    Condition(rotation=180.0),
    Condition(scale=0.5),
    Condition(rotation=90.0, scale=0.6),
)
_NUM_RESAMPLES = 10_000
_QUANTILES = (0.025, 0.975)
# Heading, factor and decimals of each score, in the order of the table.
_COLUMNS = {
    "foreground_psnr": ("person PSNR, dB", 1.0, 2),
    "psnr": ("PSNR, dB", 1.0, 2),
    "ssim": ("SSIM", 1.0, 3),
    "person_iou": ("person IoU", 1.0, 3),
    "flicker": ("flicker, %", 100.0, 2),
}
_WON_BACK = {"foreground_psnr": "person won back", "psnr": "frame won back"}

Scores = Mapping[Condition, Float[np.ndarray, "clips scores"]]
Intervals = Mapping[Condition, MeanInterval]


class Row(NamedTuple):
    """One row of a table.

    Attributes:
        name: What is varied.
        condition: Whose scores are shown.
        bound: What calibration can reach at best, or None for a row without calibration.
    """

    name: str
    condition: Condition
    bound: Condition | None = None


def write_summary(results: Path, out: Path) -> None:
    """Write the table and the plot of a study.

    Args:
        results: The study's results; conditions it lacks are left out.
        out: Folder for `sensitivity.md` and `sensitivity.png`, which are replaced.

    Raises:
        UserError: There are no results, or nothing can be written.
    """
    rows = read_results(results)
    if not rows:
        raise UserError(f"{results}: holds no results; run the study first")
    scores = collect_scores(rows)
    with atomic_path(out / PLOT_FILE) as partial:
        plot_curves(scores, partial)
    with atomic_path(out / TABLE_FILE) as partial:
        partial.write_text(summary_text(scores, rows[0]["study"]), encoding="utf-8")


def collect_scores(rows: list[dict[str, str]]) -> dict[Condition, np.ndarray]:
    """Gather the rows of each condition of the study.

    Returns:
        Scores [clips scores] in the order of `SCORES`, NaN for clips that are missing.
    """
    known = {condition.name: condition for condition in study_conditions()}
    num_clips = 1 + max(int(row["clip"]) for row in rows)
    scores: dict[Condition, np.ndarray] = {}
    for row in rows:
        if row["condition"] in known:
            empty = np.full((num_clips, len(SCORES)), np.nan)
            table = scores.setdefault(known[row["condition"]], empty)
            table[int(row["clip"])] = [float(row[name]) for name in SCORES]
    return scores


def summarise(scores: Scores) -> dict[Condition, MeanInterval]:
    """Return the mean over clips of every condition and score with its 95 % interval.

    A clip that lacks a score counts in none; a condition needs two clips.
    """
    groups: dict[bytes, list[Condition]] = {}
    for condition, table in scores.items():
        groups.setdefault(np.isfinite(table).all(axis=1).tobytes(), []).append(condition)
    intervals = {}
    # Conditions with the same clips share one bootstrap: the draws take nearly all of the time.
    for key, conditions in groups.items():
        has_scores = np.frombuffer(key, bool)
        if has_scores.sum() > 1:
            together = np.stack([scores[c][has_scores] for c in conditions], axis=1)
            columns = zip(*bootstrap_mean(together, num_resamples=_NUM_RESAMPLES), strict=True)
            intervals |= zip(conditions, (MeanInterval(*c) for c in columns), strict=True)
    return intervals


def won_back(
    without: Float[np.ndarray, " clips"],
    calibrated: Float[np.ndarray, " clips"],
    bound: Float[np.ndarray, " clips"],
) -> MeanInterval | None:
    """Return the share of the loss by misalignment that calibration wins back.

    `mean(calibrated - without) / mean(bound - without)`, both means over the same clips.

    Args:
        without: Scores of the misaligned reference as it is, higher is better.
        calibrated: Scores of the same clips with calibration.
        bound: Scores of the same clips with an aligned reference.

    Returns:
        Ratio with its 95 % paired bootstrap interval; None where there is no clear loss.
    """
    clips = np.stack([calibrated - without, bound - without], axis=1)
    clips = clips[np.isfinite(clips).all(axis=1)]
    if len(clips) < 2:
        return None
    gain, loss = (_draws(len(clips)) @ clips).T
    if np.quantile(loss, _QUANTILES[0]) <= 0:
        return None
    mean_gain, mean_loss = clips.sum(axis=0)
    low, high = np.quantile(gain / loss, _QUANTILES)
    return MeanInterval(np.asarray(mean_gain / mean_loss), np.asarray(low), np.asarray(high))


@functools.lru_cache(maxsize=2)
def _draws(num_clips: int) -> Float[np.ndarray, "resamples clips"]:
    """Return how often each resample holds each clip."""
    share = np.full(num_clips, 1 / num_clips)
    draws = np.random.default_rng(0).multinomial(num_clips, share, size=_NUM_RESAMPLES)
    return draws.astype(float)


def summary_text(scores: Scores, study: str) -> str:
    """Return the Markdown page of a study."""
    num_clips = max(len(table) for table in scores.values())
    missing = len(study_conditions()) - sum(np.isfinite(t).all() for t in scores.values())
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
    if missing:
        parts.append(f"**Unfinished: {missing} conditions lack some or all people.**")
    intervals = summarise(scores)
    for title, rows in sections().items():
        known = [row for row in rows if row.condition in intervals]
        if known:
            parts.append(f"## {title}\n\n" + "\n".join(_table(scores, intervals, known)))
    return "\n\n".join(parts) + "\n"


def sections() -> dict[str, list[Row]]:
    """Return the tables of the page by title."""
    replace = dataclasses.replace
    turned = [Condition(rotation=angle) for angle in ROTATIONS]
    scaled = [Condition(scale=scale) for scale in SCALES]

    def curves(conditions: list[Condition]) -> list[Row]:
        variants = {
            "without": {},
            "composite": {"routing": "composite"},
            "composite, no propagation": {"routing": "composite", "group_size": 1},
        }
        return [_row(name, replace(c, **v)) for c in conditions for name, v in variants.items()]

    def named(field: str, names: tuple[str, ...], **common) -> list[Row]:
        return [_row(n, replace(c, **{**common, field: n})) for c in NAMED for n in names]

    groups = {"1": 1, "4": 4, "8": 8, "16": 16, "4, always the first": 4}
    grouped = [
        _row(
            name,
            replace(
                NAMED[1],
                routing="composite",
                group_size=size,
                policy="first" if "first" in name else "random",
            ),
        )
        for name, size in groups.items()
    ]
    poses = [
        _row(f"{pose}, {routing}", replace(c, pose=pose, routing=routing))
        for c in NAMED
        for pose in ("parts", "skeleton")
        for routing in ("none", "composite")
    ]
    transforms = ("similarity", "affine", "translation_scale")
    return {
        "Rotation": curves(turned),
        "Scale": curves(scaled),
        "Routings": named("routing", ("none", *ROUTINGS)),
        "Fit methods (composite)": named(
            "method", ("lts", "all", "face", "clip"), routing="composite"
        ),
        "Transforms (composite)": named("transform", transforms, routing="composite"),
        "Frames per propagation group (composite)": grouped,
        "Part maps and skeletons": poses,
        "What a small reference allows": _resolution_rows(scaled[:3]),
    }


def _resolution_rows(scaled: list[Condition]) -> list[Row]:
    """Hold calibration against an aligned reference of equally low resolution."""
    rows = []
    for condition in scaled:
        bound = Condition(scale=condition.scale, degrade=True)
        calibrated = dataclasses.replace(condition, routing="composite")
        rows += [
            Row("without", condition),
            Row("composite", calibrated, bound),
            Row("aligned, equally low resolution", bound),
        ]
    return rows


def _row(name: str, condition: Condition) -> Row:
    if condition.routing == "none":
        return Row(name, condition)
    return Row(name, condition, Condition(pose=condition.pose))


def _table(scores: Scores, intervals: Intervals, rows: list[Row]) -> list[str]:
    headings = ["misalignment", "variant", *(title for title, _, _ in _COLUMNS.values())]
    headings += _WON_BACK.values()
    lines = [_line(headings), _line(["---"] * len(headings))]
    return lines + [_line(_cells(scores, intervals[row.condition], row)) for row in rows]


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(scores: Scores, interval: MeanInterval, row: Row) -> list[str]:
    cells = [misalignment_name(row.condition), row.name]
    for name, (_, factor, decimals) in _COLUMNS.items():
        cells.append(_cell(interval, SCORES.index(name), factor, decimals))
    return cells + [_won_back_cell(scores, row, SCORES.index(name)) for name in _WON_BACK]


def _cell(interval: MeanInterval, column: int, factor: float, decimals: int) -> str:
    mean, low, high = (factor * np.atleast_1d(x)[column] for x in interval)
    return f"{mean:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"


def _won_back_cell(scores: Scores, row: Row, column: int) -> str:
    condition = row.condition
    without = Condition(condition.rotation, condition.scale, pose=condition.pose)
    if row.bound is None or row.bound not in scores or without not in scores:
        return ""
    with_tpc, plain, best = (scores[c][:, column] for c in (condition, without, row.bound))
    if without == row.bound:
        difference = with_tpc - plain
        difference = difference[np.isfinite(difference)]
        if len(difference) < 2:
            return "-"
        return _cell(bootstrap_mean(difference, num_resamples=_NUM_RESAMPLES), 0, 1.0, 2) + " dB"
    share = won_back(plain, with_tpc, best)
    return "-" if share is None else _cell(share, 0, 100.0, 0) + " %"


def misalignment_name(condition: Condition) -> str:
    """Say how the reference of a condition is misaligned."""
    names = [f"{condition.rotation:g}°"] if condition.rotation else []
    names += [f"scale {condition.scale:g}"] if condition.scale != 1 else []
    return ", ".join(names) or "aligned"


_CURVES = (
    ("without TPC", {}, {"color": "tab:red", "marker": "s"}),
    ("composite", {"routing": "composite"}, {"color": "tab:blue", "marker": "o"}),
    (
        "composite, no propagation",
        {"routing": "composite", "group_size": 1},
        {"color": "tab:green", "marker": "^", "linestyle": "--"},
    ),
    (
        "aligned, equally low resolution",
        {"degrade": True},
        {"color": "black", "marker": "x", "linestyle": ":"},
    ),
)


def plot_curves(scores: Scores, path: Path) -> None:
    """Draw the scores against rotation and scale, with 95 % intervals as bands.

    Args:
        scores: Scores per condition; those that are missing leave gaps.
        path: PNG file to write.
    """
    figure = Figure(figsize=(13, 6.2), layout="constrained")
    axes = figure.subplots(2, 4, sharey="col")
    intervals = summarise(scores)
    shown = ("foreground_psnr", "psnr", "ssim", "person_iou")
    sweeps = (
        ("rotation of the reference, degrees", "rotation", ROTATIONS),
        ("scale of the reference", "scale", sorted((1.0, *SCALES))),
    )
    for row, (axis_name, field, values) in zip(axes, sweeps, strict=True):
        for axis, score in zip(row, shown, strict=True):
            _plot_sweep(axis, intervals, field, values, SCORES.index(score))
            axis.set_xlabel(axis_name)
            axis.set_ylabel(_COLUMNS[score][0])
            axis.grid(alpha=0.3)
            if field == "scale":
                axis.set_xscale("log")
                axis.set_xticks(values, [f"{value:g}" for value in values], fontsize=8)
                axis.minorticks_off()
            else:
                axis.set_xticks(values)
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    figure.savefig(path, dpi=90, format="png")


def _plot_sweep(axis, intervals: Intervals, field: str, values, column: int) -> None:
    for label, change, style in _CURVES:
        points = []
        for value in values:
            interval = intervals.get(Condition(**{field: value, **change}))
            if interval is not None:
                points.append((value, *(np.asarray(x)[column] for x in interval)))
        if points:
            x, mean, low, high = np.array(points).T
            axis.plot(x, mean, label=label, markersize=4, linewidth=1.5, **style)
            axis.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
