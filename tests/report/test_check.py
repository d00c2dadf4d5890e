"""The verdict on a pair names what will go wrong, and nothing where nothing will."""

import json
from fractions import Fraction

import numpy as np
import pytest

from tpc_jax._types import Keypoints, SolveStatus, Transform2D
from tpc_jax.calibrated_clip import CalibratedClip
from tpc_jax.calibration import Calibration
from tpc_jax.pose.body_model import capsule_mask
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.report.check import check_clip, time_offset

SIZE, FRAMES = 200, 4
# A person who faces the camera, COCO-17.
PERSON = np.array(
    [
        (100, 40), (103, 37), (97, 37), (107, 38), (93, 38),
        (116, 60), (84, 60), (122, 85), (78, 85), (124, 108), (76, 108),
        (110, 110), (90, 110), (111, 145), (89, 145), (112, 180), (88, 180),
    ],
    float,
)  # fmt: skip


def pair(scale=1.0, angle=0.0, shift=(0.0, 0.0), ref_conf=0.9, drv_conf=0.9, drv=None, ok=True):
    """Calibrate a person to themselves moved about the middle of the picture."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear, middle = np.array([[cos, -sin], [sin, cos]]), np.full(2, SIZE / 2)
    offset = middle - linear @ middle + shift
    moved = PERSON @ linear.T + offset if drv is None else drv
    still = Keypoints(PERSON[None].astype(np.float32), np.full((1, 17), ref_conf, np.float32))
    conf = np.broadcast_to(np.asarray(drv_conf, np.float32), (1, FRAMES, 17)).copy()
    driving = Keypoints(np.broadcast_to(moved, (1, FRAMES, 17, 2)).astype(np.float32), conf)
    mask = capsule_mask(Keypoints(PERSON, np.ones(17)), SIZE, SIZE)
    reference = Reference(np.zeros((SIZE, SIZE, 3), np.uint8), still, mask[None])
    frames = np.zeros((FRAMES, SIZE, SIZE, 3), np.uint8)
    motion = Motion(frames, Fraction(25), "rgb", driving, None, None)
    status = SolveStatus.OK if ok else SolveStatus.TOO_FEW_POINTS
    transform = Transform2D(
        np.broadcast_to(linear, (1, FRAMES, 2, 2)), np.broadcast_to(offset, (1, FRAMES, 2))
    )
    calibration = Calibration(
        transform, np.ones((1, FRAMES, 17), bool), np.zeros((1, FRAMES)),
        np.full((1, FRAMES), status.value), np.full((1, FRAMES), not ok),
    )  # fmt: skip
    order = np.zeros((1, FRAMES), int)
    return CalibratedClip(reference, motion, calibration, driving, order)


def warnings_of(clip, masks=None):
    return [remark.name for remark in check_clip(clip, masks).remarks if remark.is_warning]


def hidden(*points):
    conf = np.full(17, 0.9)
    conf[list(points)] = 0
    return conf


def test_an_aligned_pair_goes_without_a_warning():
    verdict = check_clip(pair())
    assert verdict.exit_code == 0
    assert [remark.name for remark in verdict.remarks] == ["people", "placement"]
    assert "17 of 17 points (confidence 0.90)" in verdict.remarks[0].text


def test_scale_rotation_and_shift_are_told():
    verdict = check_clip(pair(0.5, np.deg2rad(170), (10, 0)))
    (person,) = verdict.people
    assert person["scale"]["median"] == pytest.approx(0.5)
    assert person["rotation_degrees"] == pytest.approx(170)
    assert person["shift"][0] == pytest.approx(0.05, abs=0.01)
    assert "0.50 times its size, turned by 170 degrees" in verdict.remarks[1].text


@pytest.mark.parametrize(("scale", "name"), [(2.5, "enlarged"), (0.2, "shrunk")])
def test_scales_that_cost_quality_are_named(scale, name):
    assert name in warnings_of(pair(scale))


def test_a_person_pushed_out_of_the_picture_is_cut_off():
    clip = pair(shift=(0, 100))
    assert 0.3 < check_clip(clip).people[0]["cut_off"] < 0.8
    assert "cut_off" in warnings_of(clip)


def test_half_a_body_against_a_full_one_lacks_legs():
    (missing,) = [
        remark
        for remark in check_clip(pair(ref_conf=hidden(13, 14, 15, 16))).remarks
        if remark.name == "missing"
    ]
    assert "knees, feet" in missing.text


def test_a_back_against_a_front_is_named():
    behind = PERSON * [-1, 1] + [SIZE, 0]
    assert warnings_of(pair(drv=behind)) == ["other_side"]


def test_few_and_unsure_points_are_named():
    found = warnings_of(pair(ref_conf=hidden(*range(7, 17))))
    assert "reference_points" in found
    unsure = np.full(17, 0.9)
    unsure[15] = 0.4
    assert warnings_of(pair(ref_conf=unsure)) == ["unsure"]


def test_frames_without_anybody_are_counted():
    conf = np.full((1, FRAMES, 17), 0.9)
    conf[:, :2] = 0
    clip = pair(drv_conf=conf)
    assert check_clip(clip).people[0]["frames_seen"] == 2
    assert "absent" in warnings_of(clip)


def test_nothing_can_come_of_a_pair_without_a_fit():
    verdict = check_clip(pair(ok=False))
    assert verdict.exit_code == 2
    assert [remark.name for remark in verdict.remarks] == ["no_fit"]
    assert json.loads(json.dumps(verdict.to_json(), allow_nan=False))["verdict"] == "cannot"


def test_plain_values_hold_people_and_remarks():
    told = json.loads(json.dumps(check_clip(pair(3.0)).to_json(), allow_nan=False))
    assert told["verdict"] == "go with warnings"
    assert told["people"][0]["frames"] == FRAMES
    assert {"name", "is_warning", "text"} == set(told["remarks"][0])


@pytest.mark.parametrize("lag", [-4, 0, 6])
def test_masks_that_come_later_are_noticed(lag):
    frames = 40
    x = 20 + 4 * np.arange(frames)
    xy = np.stack([np.broadcast_to(x, (17, frames)).T, np.full((frames, 17), 50)], axis=-1)
    keypoints = Keypoints(xy[None].astype(np.float32), np.ones((1, frames, 17), np.float32))
    masks = np.zeros((1, frames, 100, 200), bool)
    for frame in range(frames):
        centre = x[np.clip(frame - lag, 0, frames - 1)]
        masks[0, frame, 40:60, max(centre - 3, 0) : centre + 4] = True
    assert time_offset(keypoints, masks) == lag


def test_a_person_whom_nobody_moves_is_said_to_stay():
    assert warnings_of(pair(drv_conf=np.zeros(17))) == ["alone"]
    assert warnings_of(pair(drv_conf=np.zeros(17), ok=False)) == ["alone"]
