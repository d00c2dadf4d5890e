"""Skeletons as people have them: other styles, strokes, orders of colours, and what is none."""

import warnings

import cv2
import numpy as np
import pytest
from pose_figures import STANDING, draw_parts, place

from tpc_jax._types import Keypoints
from tpc_jax.errors import InputWarning, UserError
from tpc_jax.io.video import read_video, write_video
from tpc_jax.pose.openpose import (
    COLOURS,
    draw_blended,
    draw_body,
    draw_openpose,
    draw_skeleton,
    openpose_from_coco,
)
from tpc_jax.pose.openpose_decode import decode_skeleton, find_style
from tpc_jax.pose.reading import read_motion

POSE = STANDING.copy()
POSE[:5] = [(0, -135), (14, -148), (-14, -148), (30, -140), (-30, -140)]
POSES = [place(8 * step - 8, 1.0, (250 + 4 * step, 256), POSE) for step in range(3)]
# Limbs by the outer joint's number, and colours of joints, in OpenPose's order of 25 points.
PAIRS_25 = ((1, 8), (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (10, 11),
            (8, 12), (12, 13), (13, 14), (1, 0), (0, 15), (15, 17), (0, 16), (16, 18))  # fmt: skip
HUES_25 = (17, 0, 1, 2, 3, 4, 5, 6, 0, 7, 8, 9, 10, 11, 12, 16, 14, 15, 13)
COCO_25 = (0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11)


def people(pose):
    xy = pose[None].astype(np.float32)
    return Keypoints(xy, np.ones(xy.shape[:2], np.float32))


def below(poses=POSES, size=(512, 512), radius=4):
    return np.stack([draw_skeleton(people(pose), *size, radius=radius) for pose in poses])


def blended(poses=POSES, size=(512, 512)):
    return np.stack([draw_openpose(people(pose), *size) for pose in poses])


def openpose_25(dim):
    frames = np.zeros((3, 512, 512, 3), np.uint8)
    for canvas, pose in zip(frames, POSES, strict=True):
        xy = np.zeros((25, 2))
        xy[list(COCO_25)] = pose
        xy[1], xy[8] = pose[[5, 6]].mean(0), pose[[11, 12]].mean(0)
        points = xy.astype(int).tolist()
        for start, end in PAIRS_25:
            colour = (COLOURS[HUES_25[end]] * dim).astype(int).tolist()
            cv2.line(canvas, points[start], points[end], colour, 6)
        for joint, hue in enumerate(HUES_25):
            cv2.circle(canvas, points[joint], 4, COLOURS[hue].tolist(), -1)
    return frames


def compressed(tmp_path, frames, quality=12):
    write_video(tmp_path / "a.mp4", frames, 25, quality=quality)
    return read_video(tmp_path / "a.mp4").frames


def require_same(found, poses, bound=3.0):
    assert found.xy.shape == (1, len(poses), 17, 2)
    assert (found.conf[0] > 0.3).all()
    assert np.linalg.norm(found.xy[0] - np.stack(poses), axis=-1).max() < bound


@pytest.mark.parametrize("quality", [None, 12, 18])
@pytest.mark.parametrize("draw", [below, blended])
def test_both_styles_are_decoded(tmp_path, draw, quality):
    frames = draw() if quality is None else compressed(tmp_path, draw(), quality)
    require_same(decode_skeleton(frames), POSES)


def test_limbs_over_a_nose_make_it_no_ear():
    pose = STANDING.copy()
    pose[:5] = [(2, -148), (9, -160), (-6, -159), (20, -155), (-19, -154)]
    # Of 200 random faces those of which a mixture looked like the right ear.
    faces = np.random.default_rng(0).uniform(-6, 6, (200, 5, 2))[[30, 79, 110, 174]]
    poses = [np.concatenate([pose[:5] + off, pose[5:]]) + np.array([250, 256]) for off in faces]
    require_same(decode_skeleton(blended(poses)), poses)


@pytest.mark.parametrize("draw", [below, blended])
def test_exchanged_red_and_blue_are_put_back_and_said(draw):
    with pytest.warns(InputWarning, match=r"a.mp4: red and blue .* exchanged; put back"):
        found = decode_skeleton(np.ascontiguousarray(draw()[..., ::-1]), "a.mp4")
    require_same(found, POSES)


@pytest.mark.parametrize("radius", [2, 3, 4, 6, 8])
def test_strokes_of_any_width_are_decoded(radius):
    require_same(decode_skeleton(below(radius=radius)), POSES)


@pytest.mark.parametrize("draw", [below, blended])
@pytest.mark.parametrize("size", [(512, 900), (1024, 1024)])
def test_strokes_are_measured_on_large_canvases(draw, size):
    moved = [pose + np.array([100, 0]) for pose in POSES]
    require_same(decode_skeleton(draw(moved, size)), moved)


@pytest.mark.parametrize("draw", [below, blended])
def test_padded_drawings_are_decoded(draw):
    frames = np.pad(draw(), ((0, 0), (200, 200), (300, 100), (0, 0)))
    require_same(decode_skeleton(frames), [pose + np.array([300, 200]) for pose in POSES])


@pytest.mark.parametrize("draw", [below, blended])
@pytest.mark.parametrize(("side", "how"), [(256, cv2.INTER_AREA), (768, cv2.INTER_LINEAR)])
def test_rescaled_drawings_are_decoded(draw, side, how):
    frames = np.stack([cv2.resize(frame, (side, side), interpolation=how) for frame in draw()])
    scale = side / 512
    poses = [(pose + 0.5) * scale - 0.5 for pose in POSES]
    require_same(decode_skeleton(frames), poses, 3 * max(1, scale))


@pytest.mark.parametrize("dim", [0.6, 1.0])
def test_openpose_25_is_named(tmp_path, dim):
    for frames in (openpose_25(dim), compressed(tmp_path, openpose_25(dim))):
        with pytest.raises(UserError, match=r"a.mp4: is not .*BODY_25; give its JSON files"):
            decode_skeleton(frames, "a.mp4")


def coloured_parts(name):
    parts = np.stack([draw_parts(pose) for pose in POSES])
    index = (np.arange(25) * 255 // 24).astype(np.uint8)[:, None]
    colours = cv2.applyColorMap(index, getattr(cv2, f"COLORMAP_{name}"))[:, 0, ::-1].copy()
    colours[0] = 0
    return colours[parts]


def blobs():
    rng = np.random.default_rng(0)
    frames = np.zeros((3, 256, 256, 3), np.uint8)
    for canvas in frames:
        for _ in range(25):
            start, end = rng.integers(0, 256, (2, 2)).tolist()
            dim = (COLOURS[rng.integers(18)] * 0.6).astype(int).tolist()
            cv2.line(canvas, start, end, dim, 6)
            cv2.circle(canvas, start, 4, COLOURS[rng.integers(18)].tolist(), -1)
    return frames


@pytest.mark.parametrize(
    "frames", [coloured_parts("JET"), coloured_parts("HSV"), blobs()], ids=["jet", "hsv", "blobs"]
)
def test_colours_on_black_are_no_skeleton(frames):
    assert isinstance(find_style(frames), str)
    with pytest.raises(UserError, match=r"a.mp4: is not an OpenPose skeleton"):
        decode_skeleton(frames, "a.mp4")


def test_painted_frames_without_a_skeleton_are_counted():
    frames = np.concatenate([below(), blended(POSES)[:1], below()])
    rng = np.random.default_rng(1)
    for x, y in rng.integers(60, 450, (40, 2)).tolist():
        cv2.line(frames[3], (x, y), (x + 40, y + 30), (0, 153, 0), 7)
    with pytest.warns(InputWarning, match=r"a: 1 of 7 frames .* \(the first is 3\); nobody"):
        found = decode_skeleton(frames, "a")
    assert (found.conf[:, 3] == 0).all()
    assert (found.conf[0, [0, 1, 2, 4, 5, 6]] > 0).all()


def test_people_who_come_late_are_found():
    frames = np.concatenate([np.zeros((20, 512, 512, 3), np.uint8), below(), below()[:1] * 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = decode_skeleton(frames)
    assert (found.conf[0].max(axis=-1) > 0).tolist() == [False] * 20 + [True] * 3 + [False]


def test_two_people_are_told_apart_in_the_blended_style():
    pair = [place(0, 0.8, (x, 256), POSE).astype(np.float32) for x in (150, 370)]
    both = Keypoints(np.stack(pair), np.ones((2, 17), np.float32))
    found = decode_skeleton(draw_openpose(both, 512, 512)[None])
    assert len(found.xy) == 2
    for person, pose in zip(found.xy[:, 0], pair, strict=True):
        assert np.linalg.norm(person - pose, axis=-1).max() < 3


def test_discs_and_limbs_may_differ_in_width():
    body = openpose_from_coco(people(POSES[1]))
    slim = draw_body(body, 512, 512, tau=0.3, radius=2)
    for joint, (x, y) in enumerate(body.xy[0].astype(int).tolist()):
        cv2.circle(slim, (x, y), 6, COLOURS[joint].tolist(), -1)
    require_same(decode_skeleton(slim[None]), POSES[1:2])


def test_wide_joints_below_slim_limbs_are_no_other_style():
    body = openpose_from_coco(people(POSES[1]))
    canvas, visible = np.zeros((512, 512, 3), np.uint8), np.ones(18, bool)
    require_same(decode_skeleton(draw_blended(canvas, body.xy[0], visible, 6, 4)[None]), POSES[1:2])


def test_swapped_motions_are_shown_in_the_right_order(tmp_path):
    write_video(tmp_path / "a.mp4", np.ascontiguousarray(below()[..., ::-1]), 25, quality=5)
    with pytest.warns(InputWarning, match="exchanged"):
        motion = read_motion(tmp_path / "a.mp4")
    assert motion.kind == "openpose"
    assert np.abs(motion.frames.astype(int) - below()).mean() < 1


def test_thin_strokes_of_the_blended_style_are_said():
    small = [cv2.resize(frame, (256, 256), interpolation=cv2.INTER_AREA) for frame in blended()]
    with pytest.warns(InputWarning, match="a.mp4: limbs are blended over joints with strokes so"):
        decode_skeleton(np.stack(small), "a.mp4")
