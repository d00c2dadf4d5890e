import cv2
import numpy as np
import pytest
from pose_figures import STANDING, draw_parts, place

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError
from tpc_jax.io.video import read_video, write_video
from tpc_jax.pose.densepose import render_densepose
from tpc_jax.pose.openpose import (
    COLOURS,
    LIMBS,
    draw_skeleton,
    is_skeleton,
    openpose_from_coco,
    stroke_radius,
)
from tpc_jax.pose.openpose_decode import decode_skeleton
from tpc_jax.pose.skeletons import KEYPOINT_INDEX

# Wider set eyes and ears than life, so that their discs do not hide each other.
POSE = STANDING.copy()
POSE[:5] = [(0, -135), (14, -148), (-14, -148), (30, -140), (-30, -140)]
WRISTS = [KEYPOINT_INDEX["left_wrist"], KEYPOINT_INDEX["right_wrist"]]


def people(*poses, conf=1.0):
    xy = np.stack(poses).astype(np.float32)
    return Keypoints(xy, np.full(xy.shape[:2], conf, np.float32))


def poses(count, seed=0, scale=1.0, at=(256, 256)):
    """Random arms and legs about a standing person."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        pose = POSE.copy()
        pose[[7, 8, 9, 10, 13, 14, 15, 16]] += rng.normal(0, 12, (8, 2))
        yield place(rng.uniform(-30, 30), scale, at, pose)


def decode_one(frame):
    found = decode_skeleton(frame[None])
    return found.xy[:, 0], found.conf[:, 0]


def test_neck_is_between_visible_shoulders():
    keypoints = people(POSE)
    keypoints.conf[0, 5] = 0.2
    assert openpose_from_coco(people(POSE)).conf[0, 1] == 1
    np.testing.assert_allclose(openpose_from_coco(people(POSE)).xy[0, 1], POSE[[5, 6]].mean(0))
    assert openpose_from_coco(keypoints).conf[0, 1] == 0


def test_drawing_follows_the_annotator():
    pose = place(pose=POSE)
    canvas = draw_skeleton(people(pose), 512, 512)
    joints = openpose_from_coco(people(pose)).xy[0]
    for joint, (x, y) in enumerate(joints.astype(int)):
        assert canvas[y, x].tolist() == COLOURS[joint].tolist()
        assert canvas[y, x + 4].tolist() == COLOURS[joint].tolist()
        assert canvas[y, x + 5].tolist() != COLOURS[joint].tolist()
    for limb in (2, 3, 8, 11, 12):  # these are hidden by nothing
        x, y = joints[list(LIMBS[limb])].mean(axis=0).astype(int)
        assert canvas[y, x].tolist() == (COLOURS[limb] * 0.6).astype(int).tolist()
    x, y = joints[[8, 9]].mean(axis=0).astype(int)  # a thigh: 9 pixels wide in its middle
    assert 8 <= (canvas[y, x - 9 : x + 10].max(axis=-1) > 0).sum() <= 10


@pytest.mark.parametrize(("size", "radius"), [((512, 704), 4), ((768, 512), 4), ((256, 256), 2),
                                              ((1024, 1024), 8), ((64, 64), 1)])  # fmt: skip
def test_strokes_scale_with_the_canvas(size, radius):
    assert stroke_radius(*size) == radius


def test_missing_points_are_not_drawn():
    keypoints = people(place(pose=POSE))
    keypoints.conf[0, 9] = 0.3
    keypoints.xy[0, 10] = np.nan
    canvas = draw_skeleton(keypoints, 512, 512)
    assert not (canvas == COLOURS[4]).all(axis=-1).any()
    assert not (canvas == COLOURS[7]).all(axis=-1).any()
    assert (canvas == COLOURS[3]).all(axis=-1).any()
    assert not draw_skeleton(people(POSE, conf=0.0), 64, 64).any()


@pytest.mark.parametrize("size", [(512, 512), (704, 512), (512, 896)])
def test_round_trip_is_exact_to_the_pixel(size):
    for pose in poses(8, at=(size[1] / 2, size[0] / 2)):
        xy, conf = decode_one(draw_skeleton(people(pose), *size))
        assert xy.shape == (1, 17, 2)
        assert (conf > 0).all()
        seen = conf[0] > 0.8
        assert seen.sum() >= 15
        assert np.abs(xy[0] - np.trunc(pose))[seen].max() < 1.5


@pytest.mark.parametrize(("size", "scale"), [(512, 1.0), (256, 0.5), (1024, 2.0)])
def test_round_trip_through_compression(tmp_path, size, scale):
    clip = list(poses(4, seed=1, scale=scale, at=(size / 2, size / 2)))
    frames = np.stack([draw_skeleton(people(pose), size, size) for pose in clip])
    write_video(tmp_path / "a.mp4", frames, 25, quality=20)
    found = decode_skeleton(read_video(tmp_path / "a.mp4").frames)
    assert found.xy.shape == (1, 4, 17, 2)
    seen = found.conf[0] > 0.6
    assert seen.mean() > 0.9
    assert np.abs(found.xy[0] - np.stack(clip))[seen].max() < 1.3 + scale


def draw_hand(canvas, wrist):
    """A hand as the annotator draws it: thin coloured edges, then a clump of blue discs."""
    rng = np.random.default_rng(5)
    tips = wrist + rng.normal(0, 9, (20, 2)) + (0, 10)
    for edge, tip in enumerate(tips):
        hue = np.uint8([[[edge * 9, 255, 255]]])
        colour = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0].tolist()
        cv2.line(canvas, np.rint(wrist).astype(int), np.rint(tip).astype(int), colour, 2)
    for point in (wrist, *tips):
        cv2.circle(canvas, np.rint(point).astype(int), 4, (0, 0, 255), -1)


def test_hands_hide_wrists_and_mimic_the_left_knee():
    for pose in poses(6, seed=2):
        canvas = draw_skeleton(people(pose), 512, 512)
        for wrist in WRISTS:
            draw_hand(canvas, pose[wrist])
        xy, conf = decode_one(canvas)
        assert xy.shape[0] == 1
        error = np.linalg.norm(xy[0] - pose, axis=1)
        body = [k for k in range(5, 17) if k not in WRISTS]
        assert error[body].max() < 2
        assert (conf[0, body] > 0.8).all()
        assert (conf[0, WRISTS] > 0).all()
        assert error[WRISTS].max() < 9


def test_white_face_points_hide_nose_and_eyes():
    pose = place(pose=POSE)
    canvas = draw_skeleton(people(pose), 512, 512)
    for x, y in pose[:3]:
        for dx in (-5, 0, 5):
            cv2.circle(canvas, (int(x + dx), int(y)), 3, (255, 255, 255), -1)
    for angle in np.linspace(0, np.pi, 17):  # the jaw
        x, y = pose[0] + 26 * np.array([np.cos(angle), np.sin(angle)])
        cv2.circle(canvas, (int(x), int(y)), 3, (255, 255, 255), -1)
    xy, conf = decode_one(canvas)
    error = np.linalg.norm(xy[0] - pose, axis=1)
    assert (conf[0] > 0).all()
    assert error[3:].max() < 2
    assert error[:3].max() < 8


def test_hidden_hip_is_inferred_from_its_limbs():
    pose = place(pose=POSE)
    canvas = draw_skeleton(people(pose), 512, 512)
    cv2.circle(canvas, pose[11].astype(int), 9, (255, 255, 255), -1)
    xy, conf = decode_one(canvas)
    assert conf[0, 11] == pytest.approx(0.5)
    assert np.linalg.norm(xy[0, 11] - pose[11]) < 8
    assert conf[0, 13] > 0.8


def test_two_people_side_by_side_and_with_crossed_arms():
    left, right = place(0, 0.9, (190, 256), POSE), place(5, 0.9, (330, 256), POSE)
    left[9] = (250, 200)  # the left person's hand on the right person's chest
    xy, conf = decode_one(draw_skeleton(people(right, left), 512, 512))
    assert xy.shape[0] == 2
    for found, certainty, pose in zip(xy, conf, (left, right), strict=True):
        assert np.linalg.norm(found - pose, axis=1)[certainty > 0.8].max() < 2
        assert (certainty > 0.8).sum() >= 13


def test_partial_people_and_empty_frames():
    pose = place(pose=POSE)
    upper = people(pose)
    upper.conf[0, 11:] = 0
    frames = np.stack([draw_skeleton(people(pose), 512, 512), np.zeros((512, 512, 3), np.uint8),
                       draw_skeleton(upper, 512, 512)])  # fmt: skip
    found = decode_skeleton(frames)
    assert (found.conf[:, 1] == 0).all()
    assert (found.conf[0, 2, 11:] == 0).all()
    assert (found.conf[0, 2, :11] > 0.8).all()


def test_other_pictures_are_refused():
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    densepose = render_densepose(draw_parts(place()))[None]
    night = np.zeros((2, 64, 64, 3), np.uint8)
    night[:, 20:40, 20:40] = (150, 120, 110)  # a dim, unsaturated thing on black
    for frames in (noise, densepose, night, np.zeros_like(night)):
        assert not is_skeleton(frames)
        with pytest.raises(UserError, match=r"clip.mp4: is not an OpenPose skeleton .*; give one"):
            decode_skeleton(frames, "clip.mp4")
