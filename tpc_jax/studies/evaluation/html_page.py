"""One self-contained HTML page: tables, plots, and videos side by side."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from tpc_jax.io.atomic import atomic_path
from tpc_jax.studies.evaluation.aggregate import Result
from tpc_jax.studies.evaluation.study import SHOWN_INPUTS, LoadedSplit, video_folder
from tpc_jax.studies.evaluation.tables import NOTE, cell, num_clips, plot_name, shown_columns
from tpc_jax.studies.evaluation.variants import DESCRIPTIONS

PAGE_FILE = "report.html"
# The page can be sent by mail.
MAX_VIDEO_BYTES = 12_000_000

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 sans-serif; margin: 2em; max-width: 110em; }}
table {{ border-collapse: collapse; font-size: 13px; }}
td, th {{ border: 1px solid #ccc; padding: .25em .5em; text-align: right; }}
td:first-child, th:first-child {{ text-align: left; white-space: nowrap; }}
small {{ color: #666; white-space: nowrap; }}
.scroll {{ overflow-x: auto; }}
.clips {{ display: flex; flex-wrap: wrap; gap: .6em; }}
figure {{ margin: 0; width: 192px; }} figcaption {{ font-size: 12px; }}
video {{ width: 192px; image-rendering: pixelated; }}
</style></head><body><h1>{title}</h1>
"""


def write_page(
    out: Path, title: str, tables: Mapping[str, Sequence[Result]], splits: Sequence[LoadedSplit]
) -> None:
    """Write the page; videos beyond the size limit are left out, and it says how many."""
    parts = [_HEAD.format(title=html.escape(title)), f"<p>{_inline(NOTE)}</p><ul>"]
    methods = dict.fromkeys(r.variant.method for results in tables.values() for r in results)
    parts += [f"<li><code>{m}</code>: {html.escape(DESCRIPTIONS[m])}</li>" for m in methods]
    parts.append("</ul>")
    budget = MAX_VIDEO_BYTES
    for loaded in splits:
        results = tables[loaded.name]
        parts.append(f"<h2>{html.escape(loaded.name)}</h2><p>{num_clips(results)}</p>")
        parts += [_table(results), _picture(out / plot_name(loaded.name))]
        videos, budget = _videos(out, loaded, results, budget)
        parts.append(videos)
    with atomic_path(out / PAGE_FILE) as partial:
        partial.write_text("\n".join([*parts, "</body></html>\n"]), encoding="utf-8")


def _inline(text: str) -> str:
    return html.escape(text).replace("*synthetic features*", "<em>synthetic features</em>")


def _table(results: Sequence[Result]) -> str:
    shown = shown_columns(results)
    rows = ["<th>method</th>" + "".join(f"<th>{html.escape(c.title)}</th>" for c in shown.values())]
    for result in results:
        cells = [_cell(cell(result.scores.get(name), column)) for name, column in shown.items()]
        rows.append(f"<td>{html.escape(result.variant.name)}</td>" + "".join(cells))
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="scroll"><table>{body}</table></div>'


def _cell(text: str) -> str:
    value, _, interval = text.partition(" ")
    return f"<td>{value}<br><small>{interval}</small></td>"


def _picture(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<p><img alt="scores" src="data:image/png;base64,{data}"></p>'


def _videos(
    out: Path, loaded: LoadedSplit, results: Sequence[Result], budget: int
) -> tuple[str, int]:
    """Return the videos of all pairs that have some, and what is left of the size limit."""
    parts, left_out = [], 0
    folder = video_folder(out, loaded.name)
    names = [*SHOWN_INPUTS, *(result.variant.name for result in results)]
    for pair in loaded.split.pairs:
        paths = {name: folder / f"{pair.name} {name}.mp4" for name in names}
        kept = {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
        size = sum(4 * len(data) // 3 for data in kept.values())
        if not kept:
            continue
        if size > budget:
            left_out += 1
            continue
        budget -= size
        figures = "".join(_video(name, data) for name, data in kept.items())
        parts.append(f'<h3>{html.escape(pair.name)}</h3><div class="clips">{figures}</div>')
    if left_out:
        parts.append(f"<p>{left_out} further clips lie beside this page, for its size.</p>")
    return "".join(parts), budget


def _video(name: str, data: bytes) -> str:
    source = base64.b64encode(data).decode()
    return (
        f'<figure><video autoplay loop muted playsinline src="data:video/mp4;base64,{source}">'
        f"</video><figcaption>{html.escape(name)}</figcaption></figure>"
    )
