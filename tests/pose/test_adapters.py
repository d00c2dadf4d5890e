import numpy as np
import pytest

from tpc_jax.pose.adapters import COCO_FROM_LAYOUT, to_coco
from tpc_jax.pose.skeletons import KEYPOINT_NAMES

OPENPOSE_18 = (
    "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
    "right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye "
    "right_ear left_ear"
).split()
OPENPOSE_25 = (
    "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
    "middle_hip right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye "
    "right_ear left_ear left_big_toe left_small_toe left_heel right_big_toe right_small_toe "
    "right_heel"
).split()


@pytest.mark.parametrize(("layout", "names"), [("openpose-18", OPENPOSE_18),
                                               ("openpose-25", OPENPOSE_25)])  # fmt: skip
def test_openpose_points_go_by_name(layout, names):
    assert tuple(names[index] for index in COCO_FROM_LAYOUT[layout]) == KEYPOINT_NAMES


def test_openpose_points_with_hands_and_face_begin_as_without():
    assert COCO_FROM_LAYOUT["openpose-130"] == COCO_FROM_LAYOUT["openpose-18"]
    assert COCO_FROM_LAYOUT["openpose-137"] == COCO_FROM_LAYOUT["openpose-25"]


def test_mediapipe_landmarks_go_by_name():
    face = "nose lei left_eye leo rei right_eye reo left_ear right_ear mouth mouth".split()
    joints = "shoulder elbow wrist pinky index thumb hip knee ankle heel foot_index".split()
    names = face + [f"{side}_{joint}" for joint in joints for side in ("left", "right")]
    assert len(names) == 33
    assert tuple(names[i] for i in COCO_FROM_LAYOUT["mediapipe-33"]) == KEYPOINT_NAMES


@pytest.mark.parametrize(
    ("layout", "count"),
    [("coco-17", 17), ("wholebody-133", 133), ("halpe-26", 26), ("halpe-136", 136)],
)
def test_coco_family_keeps_its_first_points(layout, count):
    points = np.random.default_rng(0).uniform(size=(2, 3, count, 3))
    keypoints = to_coco(points, layout)
    assert keypoints.xy.dtype == np.float32
    np.testing.assert_allclose(keypoints.xy, points[..., :17, :2], rtol=1e-6)
    np.testing.assert_allclose(keypoints.conf, points[..., :17, 2], rtol=1e-6)


def test_unknown_layout_raises():
    with pytest.raises(ValueError, match="layout must be one of"):
        to_coco(np.zeros((14, 3)), "crowdpose-14")
