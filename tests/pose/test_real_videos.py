"""The public sample videos of the published animators; shapes seen in them are checked by eye."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tpc_jax.io.video import read_video
from tpc_jax.pose.cast import choose_people
from tpc_jax.pose.densepose import PALETTE, decode_parts, is_densepose, split_people
from tpc_jax.pose.densepose_keypoints import keypoints_from_parts
from tpc_jax.pose.openpose import is_skeleton
from tpc_jax.pose.openpose_decode import decode_skeleton
from tpc_jax.pose.reading import Reference, no_people, read_motion

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="needs the sample data, not shipped")


@pytest.mark.parametrize(
    ("name", "people"), [("running", 1), ("demo4", 1), ("dancing2", 1), ("multi_dancing", 2)]
)
def test_densepose_people_and_their_torsos(name, people):
    frames = read_video(DATA / "magicanimate" / f"{name}.mp4").frames[::12]
    assert is_densepose(frames)
    assert not is_skeleton(frames)
    for parts in decode_parts(frames):
        found = split_people(parts)
        assert len(found) == people
        for mask in found:
            keypoints = keypoints_from_parts(parts, mask)
            near = keypoints.conf > 0.3
            assert near[5:7].any()  # a shoulder is always in view
            assert near.sum() >= 6
            columns, rows = np.rint(keypoints.xy[near]).astype(int).T
            inside = mask[rows.clip(0, 511), columns.clip(0, 511)]
            assert inside.mean() > 0.75


@pytest.mark.parametrize("number", [1, 2])
def test_skeletons_have_one_whole_person(number):
    frames = read_video(DATA / "animateanyone" / f"anyone-video-{number}_kps.mp4").frames[::10]
    assert is_skeleton(frames)
    assert not is_densepose(frames)
    keypoints = decode_skeleton(frames)
    assert len(keypoints.xy) == 1
    xy, conf = keypoints.xy[0], keypoints.conf[0]
    assert (conf[:, [5, 6, 11, 12, 13, 14]] > 0).all()
    assert (conf > 0).mean() > 0.97
    # The dancer stands: head over shoulders over hips over knees over ankles.
    order = [xy[:, [0]], xy[:, 5:7], xy[:, 11:13], xy[:, 13:15], xy[:, 15:17]]
    heights = np.stack([part[..., 1].mean(axis=1) for part in order])
    assert (np.diff(heights, axis=0) > 10).all()


@pytest.mark.parametrize("number", [0, 1])
def test_one_of_two_dancers_stays_alone(number):
    motion = read_motion(DATA / "magicanimate" / "multi_dancing.mp4")
    size = motion.frames.shape[1:3]
    nobody = Reference(np.zeros((*size, 3), np.uint8), no_people(), np.zeros((0, *size), bool))
    found = choose_people(nobody, motion, [number])
    inside, mask = found.parts > 0, found.masks[0]
    np.testing.assert_array_equal(inside, mask)
    is_left = np.nonzero(mask)[2].mean() < size[1] / 2
    assert is_left == (number == 0)
    # Beyond a rim of a few pixels nothing of the other is left.
    near = np.stack([cv2.dilate(x.astype(np.uint8), np.ones((9, 9))) > 0 for x in mask])
    strange = np.abs(found.frames.astype(int) - PALETTE[0]).max(-1) > 24
    assert (strange & ~near).mean() < 1e-3
    np.testing.assert_array_equal(found.frames[mask], motion.frames[mask])
