import numpy as np
import pytest
from pose_figures import STANDING, draw_parts, place

from tpc_jax._types import Keypoints
from tpc_jax.pose.body_model import capsule_mask, capsule_parts
from tpc_jax.pose.densepose import SEGMENT_NUMBERS
from tpc_jax.pose.skeletons import KEYPOINT_INDEX


def keypoints(xy, missing=()):
    conf = np.ones(17, np.float32)
    conf[[KEYPOINT_INDEX[name] for name in missing]] = 0
    return Keypoints(np.asarray(xy, np.float32), conf)


def overlap(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("angle", [0, 50, 180])
def test_mask_is_near_the_figure_and_holds_its_joints(angle):
    xy = place(angle)
    mask = capsule_mask(keypoints(xy), 512, 512)
    assert mask.dtype == bool
    assert overlap(mask, draw_parts(xy) > 0) > 0.7
    columns, rows = np.rint(xy).astype(int).T
    assert mask[rows, columns].all()


def test_mask_scales_shifts_and_turns_with_the_person():
    mask = capsule_mask(keypoints(place()), 512, 512)
    half = capsule_mask(keypoints(place(scale=0.5)), 512, 512)
    assert half.sum() == pytest.approx(mask.sum() / 4, rel=0.03)
    shifted = capsule_mask(keypoints(place(at=(276, 246))), 512, 512)
    assert overlap(shifted, np.roll(mask, (-10, 20), (0, 1))) > 0.99
    turned = capsule_mask(keypoints(place(90, at=(255.5, 255.5))), 512, 512)
    assert overlap(turned, np.rot90(capsule_mask(keypoints(place(at=(255.5, 255.5))), 512, 512),
                                    -1)) > 0.98  # fmt: skip


def test_missing_points_leave_their_limbs_out():
    xy = place()
    whole = capsule_mask(keypoints(xy), 512, 512)
    for names in (["left_wrist"], ["right_elbow", "right_wrist"],
                  ["nose", "left_eye", "right_eye", "left_ear", "right_ear"]):  # fmt: skip
        part = capsule_mask(keypoints(xy, missing=names), 512, 512)
        assert 0 < part.sum() < whole.sum()
        # What is left stays inside, but for a trunk that lost a side.
        assert (part & ~whole).sum() < 0.05 * whole.sum()
    column, row = np.rint(xy[KEYPOINT_INDEX["left_wrist"]]).astype(int)
    assert not capsule_mask(keypoints(xy, missing=["left_wrist"]), 512, 512)[row, column]


def test_legs_out_of_sight_go_on():
    xy = place()
    whole = capsule_mask(keypoints(xy), 512, 512)
    legs = [f"{side}_{joint}" for side in ("left", "right") for joint in ("knee", "ankle")]
    hips = ["left_hip", "right_hip"]
    for names in (["right_ankle"], legs, ["left_hip"], [*hips, *legs]):
        completed = capsule_mask(keypoints(xy, missing=names), 512, 512)
        assert overlap(completed, whole) > 0.6
    # With nothing but a hand to go by, there is no body to complete.
    arm = [name for name in KEYPOINT_INDEX if name not in ("left_elbow", "left_wrist")]
    assert capsule_mask(keypoints(xy, missing=arm), 512, 512).sum() < 0.2 * whole.sum()


def test_segments_are_where_their_joints_are():
    xy = place()
    parts = capsule_parts(keypoints(xy), 512, 512)
    np.testing.assert_array_equal(parts > 0, capsule_mask(keypoints(xy), 512, 512))
    for name, joints in {"left_lower_leg": ("left_knee", "left_ankle"), "head": ("nose", "nose"),
                         "right_upper_arm": ("right_shoulder", "right_elbow")}.items():  # fmt: skip
        column, row = np.mean([xy[KEYPOINT_INDEX[joint]] for joint in joints], axis=0).round()
        assert parts[int(row), int(column)] == SEGMENT_NUMBERS[name]


def test_nan_of_a_missing_point_has_no_effect():
    xy = place()
    one = keypoints(xy, missing=["left_wrist"])
    xy[KEYPOINT_INDEX["left_wrist"]] = np.nan
    other = keypoints(xy, missing=["left_wrist"])
    np.testing.assert_array_equal(capsule_mask(one, 512, 512), capsule_mask(other, 512, 512))
    visible = keypoints(xy)  # a visible point without a position is missing too
    np.testing.assert_array_equal(capsule_mask(one, 512, 512), capsule_mask(visible, 512, 512))


def test_too_few_points_give_an_empty_mask():
    names = list(KEYPOINT_INDEX)
    assert not capsule_mask(keypoints(place(), missing=names), 64, 64).any()
    assert not capsule_mask(keypoints(place(), missing=names[1:]), 64, 64).any()
    assert not capsule_mask(keypoints(np.full((17, 2), 30.0)), 64, 64).any()


def test_a_person_seen_from_the_side_keeps_its_depth():
    side = STANDING * [0.05, 1] + [256, 256]
    mask = capsule_mask(keypoints(side), 512, 512)
    chest = mask[int(side[5, 1]) + 30]
    assert chest.sum() > 35


def test_one_wrong_joint_does_not_blow_the_person_up():
    xy = place()
    whole = capsule_mask(keypoints(xy), 512, 512)
    xy[KEYPOINT_INDEX["left_wrist"]] += (150, -200)
    torso = np.s_[150:270, 200:310]
    wrong = capsule_mask(keypoints(xy), 512, 512)
    assert overlap(wrong[torso], whole[torso]) > 0.9


def test_person_partly_outside_the_canvas():
    mask = capsule_mask(keypoints(place(at=(-20, 400))), 300, 200)
    assert mask.shape == (300, 200)
    assert mask.any()
