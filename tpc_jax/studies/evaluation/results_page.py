"""docs/results.md: the paper's tables with our measurements, and what they say of its claims."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tpc_jax.errors import UserError
from tpc_jax.io.atomic import atomic_path
from tpc_jax.metrics.bootstrap import Interval
from tpc_jax.options import TransformKind
from tpc_jax.report.markdown import markdown_table
from tpc_jax.studies.evaluation.aggregate import (
    SET_RESAMPLES,
    ClipKey,
    Result,
    aggregate,
    collect,
    gain,
    keys_of,
)
from tpc_jax.studies.evaluation.scores import PLACEMENT_ERRORS
from tpc_jax.studies.evaluation.study import LoadedSplit, Rows
from tpc_jax.studies.evaluation.tables import SHOWN, Column, cell, num_clips, plot, results_table
from tpc_jax.studies.evaluation.variants import (
    DESCRIPTIONS,
    METHODS,
    PLAIN,
    TPC,
    UNREFINED,
    Variant,
)

PAGE_FILE = "results.md"
ALIGNED, MISALIGNED, TURNING = "aligned", "misaligned", "turning"
TRANSFORMS: dict[TransformKind, str] = {
    "translation_scale": "Linear",
    "affine": "Affine",
    "similarity": "Procrustes, refined",
}
PROPAGATIONS = {"off": "without", "random:4": "with"}
COMPARED = tuple(
    Variant(method) if method in ("none", "pose-shift", "retarget")
    else TPC._replace(method=method)
    for method in METHODS
)  # fmt: skip
ABLATED = {
    TPC._replace(transform=transform, propagation=propagation): (name, with_or_without)
    for transform, name in TRANSFORMS.items()
    for propagation, with_or_without in PROPAGATIONS.items()
} | {UNREFINED: ("Procrustes", "with")}
VARIANTS = tuple(dict.fromkeys((*COMPARED, *ABLATED)))

_MAIN = {
    "mae": Column("L1, %", 100, 2),
    **{name: SHOWN[name] for name in ("psnr", "ssim", "foreground_psnr", "foreground_ssim")},
    **{name: SHOWN[name] for name in PLACEMENT_ERRORS},
    "frechet_pictures": Column("pictures*"),
    "frechet_clips": Column("clips*"),
}
_ABLATION = {
    **{name: SHOWN[name] for name in ("foreground_ssim", "background_ssim", "foreground_psnr")},
    **{name: SHOWN[name] for name in ("foreground_motion_error", "background_motion_error")},
    "frechet_clips": Column("clips*"),
}


class Claim(NamedTuple):
    """Something that the paper says, as a comparison of two variants.

    Attributes:
        text: What is claimed.
        better: The variant that should be better, or at least not worse.
        worse: The one it is held against.
        score: Judge.
        splits: Names of the splits.
        is_no_loss: Whether it is only claimed not to be worse.
    """

    text: str
    better: Variant
    worse: Variant
    score: str
    splits: tuple[str, ...]
    is_no_loss: bool = False


def claims(cases: Sequence[str]) -> list[Claim]:
    """Return what is read off, for splits of these names."""
    every = (MISALIGNED, *(case for case in cases if case != ALIGNED))
    turning = tuple(case for case in cases if case == TURNING)
    together = (MISALIGNED,)
    affine, linear = (TPC._replace(transform=name) for name in ("affine", "translation_scale"))
    off = TPC._replace(propagation="off")
    face = TPC._replace(method="face")
    said = "TPC loses nothing where nothing is misaligned"
    found = [
        Claim("TPC helps the person where it is misaligned", TPC, PLAIN, "foreground_psnr", every),
        Claim("TPC helps the whole picture", TPC, PLAIN, "psnr", every),
        Claim(said, TPC, PLAIN, "foreground_psnr", (ALIGNED,), True),
        Claim(said, TPC, PLAIN, "psnr", (ALIGNED,), True),
        Claim("Procrustes beats affine", UNREFINED, affine, "foreground_ssim", every),
        Claim("Procrustes beats linear", UNREFINED, linear, "foreground_ssim", every),
        Claim("Propagation steadies the person", TPC, off, "foreground_motion_error", every),
        Claim("Propagation steadies the background", TPC, off, "background_motion_error", together),
        Claim("The best subset beats the face points", UNREFINED, face, "foreground_psnr", every),
        Claim(
            "Refinement loses nothing", TPC, UNREFINED, "foreground_psnr", (ALIGNED, *every), True
        ),
        Claim("Refinement helps people who turn", TPC, UNREFINED, "foreground_psnr", turning),
    ]
    return [claim for claim in found if claim.splits]


def verdict(found: Interval, *, is_no_loss: bool) -> str:
    """Read an interval: a claim holds only if all of it lies on the claim's side."""
    if found.high < 0:
        return "does not hold"
    if is_no_loss:
        return "holds (gain)" if found.low > 0 else "no loss found"
    return "holds" if found.low > 0 else "not decided"


def require_cases(splits: Sequence[LoadedSplit]) -> None:
    """Refuse splits that the page cannot be made of.

    Raises:
        UserError: The aligned split or every misaligned one is missing.
    """
    names = {loaded.name for loaded in splits}
    if ALIGNED not in names or names == {ALIGNED}:
        raise UserError(
            f"the report needs {ALIGNED}.json and at least one other manifest, got "
            f"{', '.join(sorted(names))}; make them with make-split"
        )


def write_results(
    out: Path,
    rows: Rows,
    splits: Sequence[LoadedSplit],
    model: str,
    command: str,
    *,
    set_resamples: int = SET_RESAMPLES,
) -> None:
    """Write the page and one figure per split into a folder.

    Args:
        out: The folder, such as `docs`.
        rows: Results of `VARIANTS` on the splits.
        splits: The splits, one of them called `aligned`.
        model: Name of the model.
        command: What remakes the page.
        set_resamples: See `aggregate`.
    """
    groups = {loaded.name: keys_of(loaded) for loaded in splits}
    groups[MISALIGNED] = keys_of(*(s for s in splits if s.name != ALIGNED))
    tables = {
        name: aggregate(rows, keys, VARIANTS, set_resamples=set_resamples)
        for name, keys in groups.items()
        if keys
    }
    for name, results in tables.items():
        with atomic_path(out / _figure(name)) as partial:
            plot([r for r in results if r.variant in COMPARED], partial)
    with atomic_path(out / PAGE_FILE) as partial:
        partial.write_text(_page(rows, groups, tables, model, command), encoding="utf-8")


def _figure(name: str) -> str:
    return f"results_{name}.png"


def _page(rows: Rows, groups, tables, model: str, command: str) -> str:
    parts = [
        "# Results",
        f"`{model}` on held-out synthetic people, remade by `{command}` from the manifests in "
        "`configs/splits`. Means over clips with 95 % bootstrap intervals over clips in brackets; "
        f"`{MISALIGNED}` is all misaligned splits together. *Columns with a star are Frechet "
        "distances of this project's own **synthetic features**; they stand where the paper has "
        "FID-VID and FVD, but are neither, and compare within one table only. Errors of the "
        "person's size, rotation and position are against the motion's person, as "
        "`docs/evaluation.md` says. LPIPS and FID need "
        "published weights, which are not part of this project (`docs/metrics.md`).",
        "## With and without TPC (layout of the paper's Table 1)\n\n" + _main_table(tables),
        "## Ablation: transform and propagation (layout of the paper's ablation)\n\n"
        + _ablation(tables[MISALIGNED]),
        "## What holds here\n\nThe interval is that of the paired difference over the same clips; "
        "a claim holds if all of it is positive. Intervals are not widened for their number.\n\n"
        + _claims(rows, groups),
        "The dependence on rotation and scale is in [sensitivity.md](sensitivity.md).",
        "## All methods\n\n" + "\n".join(f"- `{m}`: {DESCRIPTIONS[m]}" for m in METHODS),
        "Of methods that move the motion only the part colour error is given: `docs/evaluation.md` "
        "says why.",
    ]
    for name, results in tables.items():
        shown = [r for r in results if r.variant in COMPARED]
        parts.append(f"### {name}\n\n{num_clips(shown)}.\n\n{results_table(shown)}")
        parts.append(f"![scores of {name}]({_figure(name)})")
    return "\n\n".join(parts) + "\n"


def _main_table(tables: Mapping[str, Sequence[Result]]) -> str:
    rows = []
    for name, results in tables.items():
        for result in results:
            if result.variant in (PLAIN, TPC):
                label = "with TPC" if result.variant == TPC else "without"
                cells = [cell(result.scores.get(n), column) for n, column in _MAIN.items()]
                rows.append([name, label, *cells])
    return markdown_table(["split", "", *(column.title for column in _MAIN.values())], rows)


def _ablation(results: Sequence[Result]) -> str:
    found = {result.variant: result.scores for result in results}
    rows = [
        [*named, *(cell(found[variant].get(name), column) for name, column in _ABLATION.items())]
        for variant, named in ABLATED.items()
    ]
    head = ["transform", "propagation", *(column.title for column in _ABLATION.values())]
    return (
        f"All misaligned splits together, {num_clips(results)}. Similarities alone are refined: "
        "the other transforms compare with the Procrustes fit as it is.\n\n"
        + markdown_table(head, rows)
    )


def _claims(rows: Rows, groups: Mapping[str, Sequence[ClipKey]]) -> str:
    lines = []
    for claim in claims([name for name in groups if name != MISALIGNED]):
        for name in claim.splits:
            better, worse = (
                collect(rows, groups[name], v.name) for v in (claim.better, claim.worse)
            )
            found = gain(better, worse, claim.score)
            if found is not None:
                column = SHOWN[claim.score]
                read = verdict(found, is_no_loss=claim.is_no_loss)
                lines.append([claim.text, name, column.title, cell(found, column), read])
    return markdown_table(["claim", "split", "judged by", "gain", ""], lines)
