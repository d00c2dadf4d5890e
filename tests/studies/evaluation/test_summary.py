import csv
import dataclasses
import re
import zlib

import cv2
import numpy as np
import pytest
import scipy.stats

from tpc_jax.errors import UserError
from tpc_jax.metrics import bootstrap_mean
from tpc_jax.studies.evaluation.sensitivity import COLUMNS, SCORES, Condition, study_conditions
from tpc_jax.studies.evaluation.summary import (
    PLOT_FILE,
    TABLE_FILE,
    collect_scores,
    misalignment_name,
    summarise,
    won_back,
    write_summary,
)

NUM_CLIPS = 12


def made_up_scores(condition, clip):
    """22 dB less 6 dB for any misalignment, nine tenths of which calibration wins back."""
    rng = np.random.default_rng([clip, zlib.crc32(condition.name.encode())])
    lost = 0.0 if misalignment_name(condition) == "aligned" else 6.0
    lost *= 0.1 if condition.routing != "none" else 0.5 if condition.degrade else 1.0
    person = 22 + 0.2 * clip - lost
    return [person, person + 1, 0.9 - 0.03 * lost, 0.01 + 0.001 * rng.random(), 0.9 - 0.1 * lost]


def write_results(path, conditions, clips=range(NUM_CLIPS)):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for condition in conditions:
            for clip in clips:
                writer.writerow(("study 1", condition.name, clip, *made_up_scores(condition, clip)))
    return path


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    out = tmp_path_factory.mktemp("docs")
    write_summary(write_results(out / "results.csv", study_conditions()), out / "pages")
    return out / "pages"


def cells(text, section):
    """The cells of a section's table, headings first."""
    table = text.split(f"## {section}\n\n")[1].split("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [rows[0], *rows[2:]]


def test_won_back_is_the_ratio_of_mean_differences():
    without, bound = np.array([10.0, 12, 14, 16]), np.array([20.0, 20, 20, 20])
    calibrated = np.array([18.0, 18, 18, 18])
    share = won_back(without, calibrated, bound)
    assert share.mean == pytest.approx((8 + 6 + 4 + 2) / (10 + 8 + 6 + 4))
    assert share.low < share.mean < share.high
    full = won_back(without, bound, bound)
    np.testing.assert_allclose(full, 1.0)
    np.testing.assert_allclose(won_back(without, without, bound), 0.0)


def test_the_interval_is_paired():
    """Clips differ much, the share of each hardly at all: only a paired interval is narrow."""
    rng = np.random.default_rng(0)
    without, loss = rng.normal(15, 5, 64), rng.normal(7, 0.5, 64)
    gain = 0.9 * loss + rng.normal(0, 0.1, 64)
    share = won_back(without, without + gain, without + loss)
    ours = share.high - share.low
    theirs = scipy.stats.bootstrap(
        (gain, loss),
        lambda a, b, axis: a.mean(axis) / b.mean(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert share.mean == pytest.approx(0.9, abs=0.01)
    assert ours < 0.02
    assert share.low == pytest.approx(theirs.low, abs=0.1 * ours)
    assert share.high == pytest.approx(theirs.high, abs=0.1 * ours)


def test_nothing_is_won_back_where_nothing_was_lost():
    rng = np.random.default_rng(0)
    scores = rng.normal(20, 1, 30)
    assert won_back(scores, scores + 0.1, scores) is None
    assert won_back(scores, scores + 0.1, scores + rng.normal(0, 1, 30)) is None
    assert won_back(scores[:1], scores[:1], scores[:1] + 1) is None


def test_missing_clips_are_left_out_pairwise():
    without, calibrated, bound = np.zeros(4), np.array([9.0, 5, np.nan, 5]), np.full(4, 10.0)
    bound[0] = np.nan
    assert won_back(without, calibrated, bound).mean == pytest.approx(0.5)


def test_intervals_are_those_of_each_condition_alone():
    rng = np.random.default_rng(3)
    scores = {Condition(rotation=a): rng.normal(size=(20, 5)) for a in (0.0, 30.0, 60.0)}
    scores[Condition(rotation=30.0)][4, 2] = np.nan
    scores[Condition(scale=2.0)] = np.full((20, 5), np.nan)
    intervals = summarise(scores)
    assert Condition(scale=2.0) not in intervals
    for condition, interval in intervals.items():
        table = scores[condition]
        alone = bootstrap_mean(table[np.isfinite(table).all(1)])
        for ours, theirs in zip(interval, alone, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9)


def test_rows_are_gathered_by_condition_and_clip(tmp_path):
    rows = [
        {"condition": Condition().name, "clip": str(clip), **dict.fromkeys(SCORES, str(clip))}
        for clip in (2, 0)
    ]
    rows.append({**rows[0], "condition": "something older"})
    scores = collect_scores(rows)
    assert list(scores) == [Condition()]
    np.testing.assert_array_equal(scores[Condition()][:, 0], [0.0, np.nan, 2.0])


def test_the_table_tells_means_and_shares(page):
    text = (page / TABLE_FILE).read_text()
    assert "12 held-out people (study 1)" in text
    assert "Unfinished" not in text
    headings, *rows = cells(text, "Rotation")
    assert headings[:4] == ["misalignment", "variant", "person PSNR, dB", "PSNR, dB"]
    by_name = {(row[0], row[1]): row for row in rows}
    assert len(by_name) == 6 * 3
    person = np.array([22 + 0.2 * clip for clip in range(NUM_CLIPS)])
    low, high = bootstrap_mean(person)[1:]
    expected = f"{person.mean():.2f} [{low:.2f}, {high:.2f}]"
    assert by_name["aligned", "without"][2] == expected
    assert by_name["60°", "without"][2].startswith(f"{person.mean() - 6:.2f} [")
    assert by_name["60°", "composite"][-2:] == ["90 [90, 90] %"] * 2
    assert by_name["60°", "without"][-2:] == ["", ""]
    assert by_name["aligned", "composite"][-2:] == ["0.00 [0.00, 0.00] dB"] * 2
    # A bound that is itself worse by half: nine tenths of the loss are 180 % of it.
    small = cells(text, "What a small reference allows")
    assert [row[-2] for row in small[1:4]] == ["", "180 [180, 180] %", ""]


def test_every_condition_of_the_study_is_in_some_table(page):
    text = (page / TABLE_FILE).read_text()
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert len(titles) == 8
    for title in titles:
        table = cells(text, title)
        assert len({len(row) for row in table}) == 1
        assert all(row[2] != "" for row in table)
    routings = {row[1] for row in cells(text, "Routings")[1:]}
    assert routings == {"none", "open", "masked", "union", "replace", "composite"}


def test_the_plot_is_a_picture_of_modest_size(page):
    encoded = (page / PLOT_FILE).read_bytes()
    assert len(encoded) < 200_000
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[1] > 1000
    # Red, blue and green curves were drawn.
    for channel in range(3):
        others = np.delete(image.astype(int), channel, axis=-1).max(-1)
        assert (image[..., channel] > others + 60).sum() > 200


def test_an_unfinished_study_is_shown_as_far_as_it_goes(tmp_path):
    conditions = study_conditions()[:7]
    results = write_results(tmp_path / "results.csv", conditions)
    write_summary(results, tmp_path)
    text = (tmp_path / TABLE_FILE).read_text()
    assert f"Unfinished: {len(study_conditions()) - 7} conditions" in text
    assert len(cells(text, "Rotation")) == 1 + 6
    assert "## Transforms" not in text


def test_without_results_nothing_is_written(tmp_path):
    with pytest.raises(UserError, match="holds no results"):
        write_summary(tmp_path / "results.csv", tmp_path / "docs")
    assert list(tmp_path.iterdir()) == []


def test_misalignments_have_names():
    assert misalignment_name(Condition()) == "aligned"
    assert misalignment_name(Condition(rotation=90.0, scale=0.6)) == "90°, scale 0.6"
    assert misalignment_name(dataclasses.replace(Condition(), scale=2.0)) == "scale 2"
