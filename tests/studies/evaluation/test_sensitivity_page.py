"""The study's grid and its page, on made-up results whose answers are known."""

import re
import zlib

import cv2
import numpy as np
import pytest

from tpc_jax.metrics import bootstrap_mean
from tpc_jax.studies.evaluation.aggregate import won_back
from tpc_jax.studies.evaluation.sensitivity import (
    ALIGNED,
    Condition,
    Point,
    grid_tasks,
    sections,
    study_conditions,
)
from tpc_jax.studies.evaluation.sensitivity_page import (
    collect_scores,
    misalignment_name,
    write_page,
)
from tpc_jax.studies.evaluation.variants import PLAIN, TPC

NUM_CLIPS = 12


def made_up_scores(condition, clip):
    """22 dB less 6 dB for any misalignment, nine tenths of which calibration wins back."""
    point, variant = condition
    rng = np.random.default_rng([clip, zlib.crc32(f"{point} {variant}".encode())])
    lost = 0.0 if point == ALIGNED else 6.0
    lost *= 0.1 if variant.routing is not None else 0.5 if point.resolution != 1 else 1.0
    person = 22 + 0.2 * clip - lost
    scores = {"foreground_psnr": person, "psnr": person + 1, "ssim": 0.9 - 0.03 * lost}
    scores["flicker"] = 0.01 + 0.001 * rng.random()
    if variant.routing is not None:
        scores |= {"person_iou_before": 0.3, "person_iou_after": 0.9 - 0.1 * lost}
    return scores


def made_up(conditions, clips=range(NUM_CLIPS)):
    """Return rows and tasks."""
    tasks, rows = grid_tasks(16, NUM_CLIPS, 2, conditions=conditions), {}
    for point, ((_, split, _), variants) in tasks.items():
        for clip in clips:
            for variant in variants:
                key = (split.digest, split.pairs[clip].name, variant.name)
                rows[key] = {"scores": made_up_scores(Condition(point, variant), clip)}
    return rows, tasks


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    out = tmp_path_factory.mktemp("docs") / "pages"
    write_page(out, *made_up(study_conditions()), "study 1")
    return out


def cells(text, section):
    """The cells of a section's table, headings first."""
    table = text.split(f"## {section}\n\n")[1].split("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return [rows[0], *rows[2:]]


def test_the_grid_holds_every_condition_once():
    conditions = study_conditions()
    assert len(conditions) == len(set(conditions)) == 102
    tasks = grid_tasks(16, 2, 2)
    found = [Condition(point, v) for point, task in tasks.items() for v in task.variants]
    assert len(found) == 102
    assert set(found) == set(conditions)
    # Names of splits and of variants tell all of them apart.
    assert (
        len({(task.loaded.name, v.name) for task in tasks.values() for v in task.variants}) == 102
    )
    assert len({task.loaded.split.digest for task in tasks.values()}) == len(tasks) == 17


def test_a_row_is_held_against_the_same_pose_pictures():
    for row in (row for table in sections().values() for row in table):
        assert row.needed[0] == row.condition
        assert {c.variant.pose for c in row.needed} == {row.condition.variant.pose}
        if row.bound is not None:
            assert row.bound.variant.routing is row.condition.without.variant.routing is None
            assert row.condition.without.point == row.condition.point


def test_won_back_is_the_ratio_of_mean_differences():
    without, bound = np.array([10.0, 12, 14, 16]), np.array([20.0, 20, 20, 20])
    calibrated = np.array([18.0, 18, 18, 18])
    share = won_back(without, calibrated, bound)
    assert share.value == pytest.approx((8 + 6 + 4 + 2) / (10 + 8 + 6 + 4))
    assert share.low < share.value < share.high
    full = won_back(without, bound, bound)
    np.testing.assert_allclose(full[:3], 1.0)
    np.testing.assert_allclose(won_back(without, without, bound)[:3], 0.0)


def test_nothing_is_won_back_where_nothing_was_lost():
    rng = np.random.default_rng(0)
    scores = rng.normal(20, 1, 30)
    assert won_back(scores, scores + 0.1, scores) is None
    assert won_back(scores, scores + 0.1, scores + rng.normal(0, 1, 30)) is None
    assert won_back(scores[:1], scores[:1], scores[:1] + 1) is None


def test_missing_clips_are_left_out_pairwise():
    without, calibrated, bound = np.zeros(4), np.array([9.0, 5, np.nan, 5]), np.full(4, 10.0)
    bound[0] = np.nan
    assert won_back(without, calibrated, bound).value == pytest.approx(0.5)


def test_scores_are_gathered_by_condition_and_person():
    scores = collect_scores(*made_up([Condition(ALIGNED, PLAIN)], clips=(2, 0)))
    (table,) = scores.values()
    np.testing.assert_array_equal(table["psnr"], [23.0, np.nan, 23.4, *[np.nan] * (NUM_CLIPS - 3)])
    assert "person_iou" not in table


def test_the_overlap_without_calibration_stands_with_the_calibrations():
    small, coarse = Point(scale=0.4), Point(resolution=0.4)
    conditions = [Condition(p, v) for p in (small, ALIGNED) for v in (PLAIN, TPC)]
    scores = collect_scores(*made_up([*conditions, Condition(coarse, PLAIN)]))
    for point in (small, ALIGNED, coarse):
        assert (scores[point, PLAIN]["person_iou"] == 0.3).all()
    np.testing.assert_allclose(scores[small, TPC]["person_iou"], 0.84)


def test_the_table_tells_means_and_shares(page):
    text = (page / "sensitivity.md").read_text()
    assert "12 held-out people (study 1)" in text
    assert "Unfinished" not in text
    headings, *rows = cells(text, "Rotation")
    assert headings[:4] == ["misalignment", "variant", "person PSNR, dB", "PSNR, dB"]
    by_name = {(row[0], row[1]): row for row in rows}
    assert len(by_name) == 6 * 3
    person = np.array([22 + 0.2 * clip for clip in range(NUM_CLIPS)])
    low, high = bootstrap_mean(person)[1:3]
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
    text = (page / "sensitivity.md").read_text()
    titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert len(titles) == 8
    for title in titles:
        table = cells(text, title)
        assert len({len(row) for row in table}) == 1
        assert all(row[2] != "" for row in table)
    routings = {row[1] for row in cells(text, "Routings")[1:]}
    assert routings == {"none", "open", "masked", "union", "replace", "composite"}


def test_the_plot_is_a_picture_of_modest_size(page):
    encoded = (page / "sensitivity.png").read_bytes()
    assert len(encoded) < 200_000
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[1] > 1000
    # Red, blue and green curves were drawn.
    for channel in range(3):
        others = np.delete(image.astype(int), channel, axis=-1).max(-1)
        assert (image[..., channel] > others + 60).sum() > 200


def test_an_unfinished_study_is_shown_as_far_as_it_goes(tmp_path):
    rotations = [row.condition for row in sections()["Rotation"]][:7]
    write_page(tmp_path, *made_up(rotations), "study 1")
    text = (tmp_path / "sensitivity.md").read_text()
    assert f"Unfinished: {len(study_conditions()) - 7} conditions" in text
    assert len(cells(text, "Rotation")) == 1 + 7
    assert "## Fit methods" in text
    assert "## Scale" not in text


def test_misalignments_have_names():
    assert misalignment_name(ALIGNED) == "aligned"
    assert misalignment_name(Point(rotation=90.0, scale=0.6)) == "90°, scale 0.6"
    # A bound stands beside the misalignment that it belongs to.
    assert misalignment_name(Point(resolution=0.4)) == "scale 0.4"
    assert Point(resolution=0.4).name == "resolution 0.4"
