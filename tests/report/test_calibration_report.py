import json

import numpy as np
import pytest
from small_cases import exact_case, two_people

from tpc_jax._types import Keypoints
from tpc_jax.calibrated_clip import calibrate_clip
from tpc_jax.io.video import read_video
from tpc_jax.options import Calibrating
from tpc_jax.report.calibration import (
    calibration_report,
    overlay_frames,
    transforms_json,
    write_calibration,
)

ANGLE, SCALE = np.pi / 3, 0.7


def report_on(clip, settings=None):
    masks = np.stack([clip.warped(person).masks for person in range(clip.num_people)])
    return calibration_report(clip, masks, settings or {})


@pytest.fixture(scope="module")
def turned():
    reference, driving = exact_case(0, 64, (ANGLE, SCALE, (0.0, 0.0)))
    return calibrate_clip(reference, driving, Calibrating(method="all"))


@pytest.fixture(scope="module")
def missing():
    """Two reference people, the second of whom the motion never shows, the first not always."""
    reference, driving = two_people(32)
    conf = driving.keypoints.conf.copy()
    conf[:, 1] = 0
    conf[1] = 0
    driving = driving._replace(keypoints=Keypoints(driving.keypoints.xy, conf))
    return calibrate_clip(reference, driving, Calibrating(method="all"))


def strict_json(value):
    """Through text and back, refusing NaN and infinity."""
    return json.loads(json.dumps(value, allow_nan=False))


def test_the_report_says_how_misaligned_the_pair_was(turned):
    report = strict_json(report_on(turned, {"method": "all"}))
    assert report["settings"] == {"method": "all"}
    (person,) = report["people"]
    assert report["num_frames"] == 5
    assert person["status"] == {"ok": 5}
    assert person["num_filled_frames"] == 0
    for key, true in (("scale_ratio", 1 / SCALE), ("rotation_degrees", -np.degrees(ANGLE))):
        spread = person[key]
        assert spread["min"] <= spread["median"] <= spread["max"]
        assert abs(spread["median"] / true - 1) < 0.2
    assert report["mean_iou_after"] > report["mean_iou_before"] + 0.2
    assert report["mean_iou_after"] == person["mean_iou_after"]


def test_intersections_are_those_of_the_masks(turned):
    report, target = report_on(turned), turned.motion.masks[0]

    def mean_iou(masks):
        pairs = list(zip(masks, target, strict=True))
        return np.mean([(a & b).sum() / (a | b).sum() for a, b in pairs])

    assert report["mean_iou_after"] == pytest.approx(
        mean_iou(turned.warped(0).masks > 127), abs=1e-5
    )
    before = np.broadcast_to(turned.reference.masks[0], target.shape)
    assert report["mean_iou_before"] == pytest.approx(mean_iou(before), abs=1e-5)


def test_transforms_are_listed_per_person_and_frame(turned):
    table = strict_json(transforms_json(turned))
    assert table["fps"] == 10
    (person,) = table["people"]
    assert [entry["frame"] for entry in person] == list(range(5))
    entry = person[2]
    assert entry["scale"] == pytest.approx(1 / SCALE, rel=1e-3)
    assert entry["angle_degrees"] == pytest.approx(-60, abs=0.1)
    assert (entry["status"], entry["is_filled"]) == ("ok", False)
    moved = turned.reference.keypoints.xy[0] @ np.array(entry["linear"]).T + entry["offset"]
    chosen = entry["subset"]
    np.testing.assert_allclose(moved[chosen], turned.keypoints.xy[0, 2][chosen], atol=0.05)


def test_missing_people_are_reported_without_a_nan(missing):
    report = strict_json(report_on(missing))
    found, gone = sorted(report["people"], key=lambda person: person["num_filled_frames"])
    assert (found["num_filled_frames"], gone["num_filled_frames"]) == (1, 5)
    assert found["status"] == {"ok": 4, "too_few_points": 1}
    assert gone["mean_iou_before"] is gone["mean_iou_after"] is None
    assert report["mean_iou_after"] == found["mean_iou_after"]
    rows = sorted(report["who_is_who"], key=lambda row: -row["num_frames"])
    assert [row["motion"] for row in rows] == [0, None]
    assert (rows[1]["confidence"], rows[1]["size"]) == (None, None)
    table = strict_json(transforms_json(missing))
    assert [len(person) for person in table["people"]] == [5, 5]


def test_the_report_says_who_moves_whom_and_who_is_left_out(missing):
    reference, driving = two_people(32)
    one = reference._replace(keypoints=reference.keypoints.select([0]), masks=reference.masks[:1])
    conf = driving.keypoints.conf * np.array([0.5, 1.0])[:, None, None]
    driving = driving._replace(keypoints=Keypoints(driving.keypoints.xy, conf))
    moved, left_out = strict_json(report_on(calibrate_clip(one, driving))["who_is_who"])
    assert (moved["reference"], moved["motion"], moved["num_frames"]) == (0, 1, 5)
    assert (left_out["reference"], left_out["motion"], left_out["num_frames"]) == (None, 0, 5)
    assert moved["confidence"] == 1.0
    assert left_out["confidence"] == 0.5
    assert all(0.3 < row["size"] < 1.2 for row in (moved, left_out))


def test_the_folder_holds_everything_per_person(missing, tmp_path):
    report = write_calibration(tmp_path / "out", missing, {"method": "all"})
    out = tmp_path / "out"
    names = sorted(path.name for path in out.iterdir())
    assert names == [
        "calibrated.mp4",
        "calibrated_mask.mp4",
        "calibrated_mask_person1.mp4",
        "calibrated_person1.mp4",
        "overlay.mp4",
        "report.json",
        "transforms.json",
    ]
    assert json.loads((out / "report.json").read_text()) == strict_json(report)
    for name in names[:5]:
        video = read_video(out / name)
        assert video.frames.shape == (5, 32, 64, 3)
        assert video.fps == 10


def test_an_overlay_draws_on_the_driving_frames_and_only_there(turned):
    driving = turned.motion.frames
    frames = overlay_frames(turned, turned.warped(0).masks[None])
    assert frames.shape == driving.shape
    changed = (frames != driving).any(-1)
    assert (changed.mean((1, 2)) > 0.02).all()
    assert (changed.mean((1, 2)) < 0.6).all()


def test_an_overlay_of_nobody_is_the_frame(missing):
    frames = missing.motion.frames
    unseen = np.zeros((2, *frames.shape[:3]), np.uint8)
    np.testing.assert_array_equal(overlay_frames(missing, unseen)[1], frames[1])
