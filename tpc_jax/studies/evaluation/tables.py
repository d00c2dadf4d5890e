"""Tables, plots and data files of an evaluation."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from tpc_jax.io.atomic import atomic_path, write_json
from tpc_jax.metrics.bootstrap import Interval
from tpc_jax.report.markdown import markdown_table
from tpc_jax.studies.evaluation.aggregate import SCORES, SET_SCORES, Result
from tpc_jax.studies.evaluation.variants import DESCRIPTIONS

TABLE_FILE, CSV_FILE, JSON_FILE = "results.md", "results.csv", "results.json"


class Column(NamedTuple):
    """How a score is shown.

    Attributes:
        title: Heading.
        factor: Multiplies the score.
        decimals: Digits behind the point.
    """

    title: str
    factor: float = 1.0
    decimals: int = 3


SHOWN = {
    "foreground_psnr": Column("person PSNR, dB", decimals=2),
    "foreground_ssim": Column("person SSIM"),
    "scale_error": Column("person size error, %", 100, 2),
    "rotation_error": Column("person rotation error, degrees", decimals=2),
    "shift_error": Column("person position error, %", 100, 2),
    "person_found": Column("person found, %", 100, 1),
    "face_psnr": Column("face PSNR, dB", decimals=2),
    "background_psnr": Column("background PSNR, dB", decimals=2),
    "background_ssim": Column("background SSIM"),
    "psnr": Column("PSNR, dB", decimals=2),
    "ssim": Column("SSIM"),
    "mae": Column("mean error, %", 100, 2),
    "foreground_motion_error": Column("person motion error, %", 100, 2),
    "background_motion_error": Column("background motion error, %", 100, 2),
    "flicker": Column("flicker, %", 100, 2),
    "person_iou_after": Column("person IoU"),
    "lpips": Column("LPIPS"),
    "disco_l1": Column("L1 x 1e4 (disco, 256x256)", 1e4, 3),
    "disco_psnr": Column("PSNR, dB (disco, 256x256)", decimals=2),
    "disco_ssim": Column("SSIM (disco, 256x256)"),
    "part_color_error": Column("part colour error, %", 100, 2),
    "frechet_pictures": Column("Frechet, pictures (synthetic features)"),
    "frechet_clips": Column("Frechet, clips (synthetic features)"),
}
NOTE = """Means over clips with 95 % bootstrap intervals in brackets (the clip is the unit drawn);
the number of clips stands above each table. Person, face and background are regions of the true
frames. Person size, rotation and position error: of the generated person against the motion's, by
the similarity that best carries the true person onto the generated picture (median over frames;
size as log ratio, position in person heights); person found: frames in which there is one. Motion
error: difference of frame-to-frame changes; flicker: change where the truth stands
still; person IoU: of the calibrated reference's mask with the true one. Methods that move the
motion onto the reference show the person, rightly, elsewhere than the true frames do, so that
everything that compares pixels, regions or sets of whole pictures would punish them for what they
are meant to do: of them only the part colour error is given, which compares the mean colour of
every body part wherever it is. Frechet distances are of this project's own small networks, labelled
*synthetic features*: they are neither FID nor FVD, and comparable only within one table."""


def cell(interval: Interval | None, column: Column) -> str:
    """Return a number with its interval, or nothing."""
    if interval is None:
        return ""
    value, low, high = (f"{column.factor * x:.{column.decimals}f}" for x in interval[:3])
    return f"{value} [{low}, {high}]"


def shown_columns(results: Sequence[Result]) -> dict[str, Column]:
    """Return the columns that somebody fills."""
    return {n: c for n, c in SHOWN.items() if any(n in r.scores for r in results)}


def results_table(results: Sequence[Result]) -> str:
    """Return one split's table in Markdown."""
    shown = shown_columns(results)
    rows = [
        [r.variant.name, *(cell(r.scores.get(name), column) for name, column in shown.items())]
        for r in results
    ]
    return markdown_table(["method", *(column.title for column in shown.values())], rows)


def num_clips(results: Sequence[Result]) -> str:
    """Say how many clips the results rest on."""
    counts = {interval.clips for result in results for interval in result.scores.values()}
    if not counts:
        return "no clips"
    low, high = min(counts), max(counts)
    return f"{high} clips" + (f", some scores {low} at least" if low < high else "")


def markdown_page(title: str, tables: Mapping[str, Sequence[Result]]) -> str:
    """Return all tables as a page."""
    methods = dict.fromkeys(r.variant.method for results in tables.values() for r in results)
    parts = [f"# {title}", NOTE]
    parts.append("\n".join(f"- `{method}`: {DESCRIPTIONS[method]}" for method in methods))
    for name, results in tables.items():
        parts.append(f"## {name}\n\n{num_clips(results)}.\n\n{results_table(results)}")
        parts.append(f"![scores of {name}]({plot_name(name)})")
    return "\n\n".join(parts) + "\n"


def plot_name(split: str) -> str:
    """Return the file name of a split's plot."""
    return f"{split}.png"


def write_tables(out: Path, title: str, tables: Mapping[str, Sequence[Result]]) -> None:
    """Write Markdown, CSV, JSON and one plot per split into a folder."""
    for name, results in tables.items():
        with atomic_path(out / plot_name(name)) as partial:
            plot(results, partial)
    with atomic_path(out / TABLE_FILE) as partial:
        partial.write_text(markdown_page(title, tables), encoding="utf-8")
    with atomic_path(out / CSV_FILE) as partial, partial.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("split", "variant", "quantity", "score", *Interval._fields))
        for row in _long_rows(tables):
            writer.writerow(row)
    write_json(out / JSON_FILE, json.loads(json.dumps(_plain(tables))))


def _long_rows(tables: Mapping[str, Sequence[Result]]):
    for name, results in tables.items():
        for result in results:
            for quantity in ("scores", "gains"):
                for score in (*SCORES, *SET_SCORES):
                    interval = getattr(result, quantity).get(score)
                    if interval is not None:
                        yield (name, result.variant.name, quantity[:-1], score, *interval)


def _plain(tables: Mapping[str, Sequence[Result]]) -> dict:
    return {
        name: {
            result.variant.name: {
                quantity: {n: i._asdict() for n, i in getattr(result, quantity).items()}
                for quantity in ("scores", "gains")
            }
            for result in results
        }
        for name, results in tables.items()
    }


_PLOTTED = ("foreground_psnr", "psnr", "foreground_motion_error", "part_color_error")


def plot(results: Sequence[Result], path: Path) -> None:
    """Draw the main scores with their intervals, one row per variant."""
    shown = [name for name in _PLOTTED if any(name in r.scores for r in results)]
    figure = Figure(figsize=(3 + 3 * len(shown), 1.2 + 0.3 * len(results)), layout="constrained")
    axes = figure.subplots(1, max(1, len(shown)), sharey=True, squeeze=False)[0]
    for axis, name in zip(axes, shown, strict=False):
        column = SHOWN[name]
        for row, result in enumerate(results):
            if name in result.scores:
                value, low, high = (column.factor * x for x in result.scores[name][:3])
                color = "tab:blue" if result.variant.routing else "tab:red"
                axis.plot([low, high], [row, row], color=color, linewidth=2)
                axis.plot(value, row, "o", color=color, markersize=5)
        axis.set_xlabel(column.title)
        axis.grid(alpha=0.3)
    axes[0].set_yticks(range(len(results)), [result.variant.name for result in results])
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=90, format="png")
