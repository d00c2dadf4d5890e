"""Whole-body drawing: the original's pictures, and back to keypoints by the decoder."""

import colorsys
from pathlib import Path

import numpy as np
import pytest
from pose_figures import STANDING, place

from tpc_jax._types import Keypoints
from tpc_jax.pose.dwpose import (
    HAND_COLOURS,
    HAND_EDGES,
    WholeBody,
    draw_motion,
    draw_whole_body,
    strongest,
    whole_body,
)
from tpc_jax.pose.openpose import COLOURS, draw_body, draw_skeleton
from tpc_jax.pose.openpose_decode import decode_skeleton

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "animateanyone" / "io.npz"
# Wider set eyes and ears than life, so that their discs do not hide each other.
POSE = STANDING.copy()
POSE[:5] = [(0, -135), (14, -148), (-14, -148), (30, -140), (-30, -140)]


def wholebody_points(pose, hands=True, face=True, conf=0.9):
    """Build 133 points about a COCO-17 pose: open hands beyond the wrists, and a face's outline."""
    points = np.zeros((133, 3))
    points[:17, :2], points[:17, 2] = pose, conf
    unit = np.linalg.norm(pose[5] - pose[6]) / 92
    for wrist, elbow, start in ((9, 7, 91), (10, 8, 112)):
        along = (pose[wrist] - pose[elbow]) / np.linalg.norm(pose[wrist] - pose[elbow])
        across = np.array([-along[1], along[0]])
        points[start, :2] = pose[wrist]
        for finger in range(5):
            for joint in range(4):
                reach = unit * (9 + 5 * joint)
                offset = reach * along + unit * (finger - 2) * (3 + 2 * joint) * across
                points[start + 1 + 4 * finger + joint, :2] = pose[wrist] + offset
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * unit * [17, 22]
    points[23:91, :2] = pose[0] + ring
    points[91:, 2], points[23:91, 2] = conf * hands, conf * face
    return points


def one(points, layout="wholebody-133"):
    return whole_body(points[None], layout)


def decode(canvas):
    found = decode_skeleton(canvas[None])
    assert found.xy.shape[:2] == (1, 1)
    return found.xy[0, 0], found.conf[0, 0]


def poses(count, seed=0):
    """Random arms and legs about a standing person, with room between the joints."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        pose = POSE.copy()
        pose[[7, 8, 9, 10, 13, 14, 15, 16]] += rng.normal(0, 12, (8, 2))
        yield place(rng.uniform(-30, 30), 1.0, (256, 260), pose)


@pytest.mark.parametrize(("hands", "face"), [(False, False), (True, False), (True, True)])
def test_keypoints_come_back_within_two_pixels(hands, face):
    """Hands cover the wrists and a face eyes: what is hidden is inferred, a little less exactly."""
    for pose in poses(6):
        canvas = draw_whole_body(one(wholebody_points(pose, hands, face)), 768, 512)
        xy, conf = decode(canvas)
        error = np.linalg.norm(xy - pose, axis=1)
        free = np.ones(17, bool)
        free[[9, 10]] = not hands
        free[:5] = not face
        assert (conf > 0).all()
        assert error[free].max() < 2, error
        assert error[[9, 10]].max() < 3, error
        assert error.max() < 5, error


@pytest.mark.parametrize("layout", ["coco-17", "openpose-18"])
def test_bodies_without_hands(layout):
    pose = next(poses(1)).astype(np.float32)
    points = wholebody_points(pose)[:17]
    if layout == "openpose-18":
        body = one(points, "coco-17").body
        points = np.concatenate([body.xy[0], body.conf[0, :, None]], axis=-1)
    people = one(points, layout)
    assert people.hands.xy.shape == (1, 2, 21, 2)
    assert (people.hands.conf == 0).all()
    assert (people.face.conf == 0).all()
    canvas = draw_whole_body(people, 512, 512)
    expected = draw_skeleton(Keypoints(pose[None], np.full((1, 17), 0.9)), 512, 512)
    np.testing.assert_array_equal(canvas, expected)
    assert np.linalg.norm(decode(canvas)[0] - pose, axis=1).max() < 2


def test_missing_points_are_left_out():
    """Body points need more than 0.3, points of hands and face 0.3, and none lies in row 0."""
    points = wholebody_points(next(poses(1)), face=False)
    points[9, 2] = 0.3
    points[91:112, 2] = 0.3
    points[112:133, 2] = 0.29
    canvas = draw_whole_body(one(points), 512, 512)
    assert not (canvas == COLOURS[7]).all(-1).any()
    blue = np.argwhere((canvas == (0, 0, 255)).all(-1))[:, ::-1]
    assert len(blue) > 200
    left, right = points[91:112, :2].mean(0), points[112:133, :2].mean(0)
    assert (np.linalg.norm(blue - left, axis=1) < 40).sum() > 200
    assert (np.linalg.norm(blue - right, axis=1) < 40).sum() == 0
    edge = np.zeros((133, 3))
    edge[23] = (0.5, 30, 1)
    edge[24] = (np.nan, np.nan, 1)
    assert not draw_whole_body(one(edge), 64, 64).any()
    edge[25] = (1.0, 30, 1)
    assert draw_whole_body(one(edge), 64, 64).any()


def test_the_surest_people_are_kept():
    points = np.stack([wholebody_points(POSE, conf=c) for c in (0.5, 0.9, 0.7)])
    points[1, 40:, 2] = 0  # hands and face do not count
    people = whole_body(points, "wholebody-133")
    kept = strongest(people, 2)
    np.testing.assert_allclose(kept.body.conf[:, 0], [0.9, 0.7])
    np.testing.assert_array_equal(kept.hands.conf[0], people.hands.conf[1])
    assert len(strongest(people).body.conf) == 1


def test_a_clip_is_drawn_at_the_annotators_scale():
    pose = place(0, 0.5, (64, 100), POSE)
    points = np.stack([wholebody_points(pose), np.zeros((133, 3))])[None]
    frames = draw_motion(whole_body(points, "wholebody-133"), (192, 128), 512)
    assert frames.shape == (2, 768, 512, 3)
    assert not frames[1].any()
    xy, conf = decode(frames[0])
    body = [5, 6, 7, 8, 11, 12, 13, 14, 15, 16]
    expected = (pose + 0.5) * 4 - 0.5
    assert (conf[body] > 0.8).all()
    assert np.linalg.norm(xy - expected, axis=1)[body].max() < 2


def test_colours_of_hands():
    assert len(HAND_EDGES) == 20
    assert HAND_EDGES[:5] == ((0, 1), (1, 2), (2, 3), (3, 4), (0, 5))
    assert HAND_EDGES[-1] == (19, 20)
    hsv = [np.multiply(colorsys.hsv_to_rgb(edge / 20, 1, 1), 255) for edge in range(20)]
    assert np.abs(np.array(HAND_COLOURS) - hsv).max() <= 0.5


def published(name, data):
    """Return the original's kept person as ours, in pixels."""
    size = np.array(data[f"{name}_canvas"].shape[1::-1])

    def keypoints(array):
        return Keypoints(array * size, (array != -1).all(-1).astype(float))

    body = Keypoints(
        data[f"{name}_candidate"][None] * size, (data[f"{name}_subset"] >= 0).astype(float)
    )
    hands, faces = keypoints(data[f"{name}_hands"][None]), keypoints(data[f"{name}_faces"])
    return WholeBody(body, hands, faces), size


@pytest.mark.skipif(not GOLDEN.exists(), reason="the golden data is not there")
@pytest.mark.parametrize("name", ["pose0", "pose1", "pose2"])
def test_the_originals_people(name):
    data = np.load(GOLDEN)
    points = np.concatenate([data[f"{name}_kp133"], data[f"{name}_sc133"][..., None]], axis=-1)
    people = whole_body(points, "wholebody-133")
    xy, conf = data[f"{name}_kp134"], data[f"{name}_sc134"]
    hands = people.hands.xy.reshape(len(xy), 42, 2)
    parts = (people.body.xy, points[:, 17:23, :2], people.face.xy, hands)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), xy, atol=1e-6)
    hands = people.hands.conf.reshape(len(xy), 42)
    parts = (people.body.conf, points[:, 17:23, 2], people.face.conf, hands)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), conf, atol=1e-6)
    kept = strongest(people)
    expected, size = published(name, data)
    np.testing.assert_allclose(kept.body.xy / size, expected.body.xy / size, atol=1e-6)
    np.testing.assert_array_equal(kept.body.conf > 0.3, expected.body.conf > 0)
    for ours, theirs in zip(kept[1:], expected[1:], strict=True):
        shown = ours.conf >= 0.3
        np.testing.assert_array_equal(shown, theirs.conf > 0)
        np.testing.assert_allclose((ours.xy / size)[shown], (theirs.xy / size)[shown], atol=1e-6)
    # From the original's intermediate result, and from the detector's points.
    canvas = data[f"{name}_canvas"]
    height, width = canvas.shape[:2]
    for person in (expected, kept):
        drawn = draw_whole_body(person, height, width, radius=4)
        np.testing.assert_array_equal(drawn, canvas)
    drawn = draw_body(kept.body, height, width, tau=0.3, radius=4)
    np.testing.assert_array_equal(drawn, data[f"{name}_canvas_body"])


@pytest.mark.skipif(not GOLDEN.exists(), reason="the golden data is not there")
def test_the_originals_picture_of_two_people():
    data = np.load(GOLDEN)
    canvas, subset = data["pose_two_canvas"], data["pose_two_subset"].astype(int)
    xy = data["pose_two_candidate"][subset] * canvas.shape[1::-1]
    people = Keypoints(xy, (subset >= 0).astype(float))
    drawn = draw_body(people, *canvas.shape[:2], tau=0.3, radius=4)
    np.testing.assert_array_equal(drawn, canvas)
