import numpy as np
import pytest

from tpc_jax._types import KEYPOINT_NAMES
from tpc_jax.io.keypoints.names import places_by_name


def styled(name, style):
    side, _, joint = name.rpartition("_")
    if not side:
        return joint.title() if style in ("Left Eye", "LEye") else joint
    return {
        "left_eye": name,
        "Left Eye": f"{side.title()} {joint.title()}",
        "leftEye": side + joint.title(),
        "LEye": side[0].upper() + joint.title(),
        "leye": side[0] + joint,
        "l_eye": f"{side[0]}_{joint}",
        "eye.L": f"{joint}.{side[0].upper()}",
        "eye_left": f"{joint}_{side}",
    }[style]


@pytest.mark.parametrize(
    "style", ["left_eye", "Left Eye", "leftEye", "LEye", "leye", "l_eye", "eye.L", "eye_left"]
)
def test_points_are_found_by_name_in_every_style(style):
    order = np.random.default_rng(0).permutation(17)
    names = [styled(KEYPOINT_NAMES[k], style) for k in order]
    assert [order[place] for place in places_by_name(names)] == list(range(17))


def test_other_points_between_do_not_matter():
    names = ["neck", *KEYPOINT_NAMES, "left_eye_inner", "left_hand_root", "right_big_toe", "LHeel"]
    assert places_by_name(names) == list(range(1, 18))


def test_a_face_may_be_missing_but_no_joint():
    assert places_by_name(KEYPOINT_NAMES[5:]) == [None] * 5 + list(range(12))
    with pytest.raises(ValueError, match="names no left_wrist, right_ankle among"):
        places_by_name([n for n in KEYPOINT_NAMES if n not in ("left_wrist", "right_ankle")])
    with pytest.raises(ValueError, match="names left_hip twice"):
        places_by_name([*KEYPOINT_NAMES, "LHip"])
