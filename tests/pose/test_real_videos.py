"""The public sample videos of the published animators; shapes seen in them are checked by eye."""

from pathlib import Path

import numpy as np
import pytest

from tpc_jax.io.video import read_video
from tpc_jax.pose.densepose import decode_parts, is_densepose, split_people
from tpc_jax.pose.densepose_keypoints import keypoints_from_parts
from tpc_jax.pose.openpose import is_skeleton
from tpc_jax.pose.openpose_decode import decode_skeleton

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
