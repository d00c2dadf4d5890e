"""Aggregation and the results page, on made-up results whose answers are known."""

import base64
import zlib

import numpy as np
import pytest

from tpc_jax.errors import UserError
from tpc_jax.metrics import Interval
from tpc_jax.studies.datasets import Pair, Split
from tpc_jax.studies.evaluation.aggregate import (
    aggregate,
    collect,
    gain,
    keys_of,
    mean_interval,
    set_scores,
)
from tpc_jax.studies.evaluation.results_page import (
    COMPARED,
    VARIANTS,
    claims,
    require_cases,
    verdict,
    write_results,
)
from tpc_jax.studies.evaluation.study import TRUTH, LoadedSplit
from tpc_jax.studies.evaluation.variants import PLAIN, TPC, UNREFINED

NUM_PAIRS = 12
# Distances of sets take long; their intervals need no precision here.
FEW = 5
# How much better than no TPC in dB, by propagation, transform and method.
BONUS = {
    "none": 0.0,
    "lts": 4.0,
    "unrefined": 3.8,
    "face": 1.0,
    "affine": -0.5,
    "translation_scale": -2.0,
    "off": 0.0,
}


def encoded(rng, shift, count):
    values = shift + rng.normal(size=(count, 64))
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def loaded(name):
    pairs = tuple(Pair(f"{i}", f"{name}-{i}", 0, (1, 2)) for i in range(NUM_PAIRS))
    return LoadedSplit(name, Split(name, 0, {"kind": "made-up"}, pairs), None)


def made_up(splits):
    """Give every variant the sum of its parts' bonuses; nothing is gained where aligned."""
    rows = {}
    for split in splits:
        for index, pair in enumerate(split.split.pairs):
            base = 10 + index
            for variant in VARIANTS:
                seed = zlib.crc32(f"{split.name} {pair.name} {variant.name}".encode())
                rng = np.random.default_rng(seed)
                better = sum(BONUS.get(part, 0.0) for part in variant if part)
                better *= split.name != "aligned"
                noise = 0.1 * rng.normal()
                scores = {"part_color_error": 0.1 - 0.01 * better}
                if not variant.moves_pose:
                    scores |= dict.fromkeys(("foreground_psnr", "psnr"), base + better + noise)
                    scores["foreground_ssim"] = 0.5 + 0.01 * (better + noise)
                    error = 0.05 if variant.propagation == "off" else 0.02
                    scores["foreground_motion_error"] = error + 0.001 * noise
                    scores |= {"scale_error": 0.03, "rotation_error": 2.5, "shift_error": 0.01}
                shift = 1 - 0.1 * better
                features = {"pictures": encoded(rng, shift, 2), "clips": encoded(rng, shift, 1)}
                rows[split.split.digest, pair.name, variant.name] = {
                    "scores": scores, "features": features,
                }  # fmt: skip
            rng = np.random.default_rng(index)
            features = {"pictures": encoded(rng, 0, 2), "clips": encoded(rng, 0, 1)}
            key = (split.split.digest, pair.name, TRUTH)
            rows[key] = {"scores": {}, "features": features}
    return rows


SPLITS = [loaded(name) for name in ("aligned", "rotation", "scale")]
ROWS = made_up(SPLITS)


def test_differences_are_taken_pair_by_pair():
    keys = keys_of(SPLITS[1])
    tpc, plain = (collect(ROWS, keys, variant.name) for variant in (TPC, PLAIN))
    found = gain(tpc, plain, "foreground_psnr")
    # Clips differ by several dB, their differences hardly.
    assert found.value == pytest.approx(4.0, abs=0.1)
    assert found.high - found.low < 0.3
    whole = mean_interval(tpc["foreground_psnr"])
    assert whole.high - whole.low > 2
    # A lower error is a gain as well.
    assert gain(tpc, plain, "part_color_error").value == pytest.approx(0.04)
    assert gain(tpc, {}, "psnr") is None


def test_results_of_a_split():
    results = {
        r.variant: r for r in aggregate(ROWS, keys_of(SPLITS[1]), VARIANTS, set_resamples=FEW)
    }
    assert results[PLAIN].gains == {}
    assert results[TPC].gains["psnr"].low > 3
    moved = next(v for v in COMPARED if v.moves_pose)
    assert results[moved].scores.keys() == {"part_color_error"}
    near, far = (results[v].scores["frechet_pictures"].value for v in (TPC, PLAIN))
    assert near < far
    together = aggregate(ROWS, keys_of(*SPLITS[1:]), [TPC], set_resamples=FEW)[0].scores["psnr"]
    assert together.clips == 2 * NUM_PAIRS


def test_unfinished_results_count_what_is_there():
    keys = keys_of(SPLITS[1])
    some = {k: row for k, row in ROWS.items() if k[1] in ("0", "1", "2")}
    result = aggregate(some, keys, [TPC])[0]
    assert result.scores["psnr"].clips == 3
    assert "frechet_pictures" not in result.scores
    assert aggregate({}, keys, [TPC])[0].scores == {}
    assert mean_interval(np.array([1.0, np.nan])) is None


def test_distances_of_sets_have_intervals_about_them():
    keys = keys_of(SPLITS[2])
    for interval in set_scores(ROWS, keys, TPC.name, FEW).values():
        assert interval.low <= interval.value <= interval.high
        assert interval.high - interval.low > 0
    same = {
        (*key, name): {"features": ROWS[*key, TRUTH]["features"]}
        for key in keys
        for name in (TRUTH, "copy")
    }
    assert set_scores(same, keys, "copy", FEW)["frechet_pictures"].value < 1e-6


def test_the_page(tmp_path):
    write_results(tmp_path, ROWS, SPLITS, "made-up", "make report", set_resamples=FEW)
    page = (tmp_path / "results.md").read_text()
    names = {"aligned", "rotation", "scale", "misaligned"}
    assert {p.name for p in tmp_path.iterdir()} == {
        "results.md", *(f"results_{name}.png" for name in names),
    }  # fmt: skip
    lines = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    read = {(line[0][2:], line[1]): line[-1].removesuffix(" |") for line in lines}
    assert read["TPC helps the person where it is misaligned", "rotation"] == "holds"
    assert read["Procrustes beats affine", "misaligned"] == "holds"
    assert read["Propagation steadies the person", "scale"] == "holds"
    assert read["The best subset beats the face points", "misaligned"] == "holds"
    assert read["TPC loses nothing where nothing is misaligned", "aligned"] == "no loss found"
    assert ("Refinement loses nothing", "aligned") in read
    assert read["Refinement loses nothing", "scale"] == "holds (gain)"
    assert not any(text == "Refinement helps people who turn" for text, _ in read)
    head = next(line for line in lines if line[0] == "| split")
    row = next(line for line in lines if line[:2] == ["| rotation", "with TPC"])
    errors = [cell for title, cell in zip(head, row, strict=True) if title.startswith("person ")]
    assert [cell.split(" ")[0] for cell in errors[-3:]] == ["3.00", "2.50", "1.00"]
    ablation = page.split("## Ablation")[1].split("## What")[0]
    rows = [line.split(" | ")[:2] for line in ablation.splitlines()[4:] if line.startswith("| ")]
    expected = [
        [f"| {t}", p]
        for t in ("Linear", "Affine", "Procrustes, refined")
        for p in ("without", "with")
    ]
    assert rows[-7:] == [*expected, ["| Procrustes", "with"]]
    assert "24 clips" in ablation


def test_a_report_needs_aligned_and_misaligned_pairs():
    require_cases(SPLITS)
    for some in (SPLITS[:1], SPLITS[1:], []):
        with pytest.raises(UserError, match=r"needs aligned\.json and at least one other"):
            require_cases(some)


def test_verdicts():
    def of(low, high, *, is_no_loss=False):
        return verdict(Interval((low + high) / 2, low, high, 9), is_no_loss=is_no_loss)

    assert [of(0.1, 0.3), of(-0.1, 0.3), of(-0.3, -0.1)] == [
        "holds",
        "not decided",
        "does not hold",
    ]
    assert of(-0.1, 0.3, is_no_loss=True) == "no loss found"
    assert of(-0.3, -0.1, is_no_loss=True) == "does not hold"
    assert of(0.1, 0.3, is_no_loss=True) == "holds (gain)"


def test_every_claim_compares_what_is_measured():
    for claim in claims(["aligned", "rotation"]):
        assert {claim.better, claim.worse} <= set(VARIANTS)
        assert claim.splits
    *_, helps = claims(["aligned", "turning"])
    assert (helps.better, helps.worse, helps.splits) == (TPC, UNREFINED, ("turning",))
