"""The judge of calibrations on DensePose clips, on drawn people rendered as DensePose."""

import numpy as np
import pytest

from tpc_jax._types import Transform2D
from tpc_jax.pose.densepose import render_densepose
from tpc_jax.pose.reading import Motion
from tpc_jax.studies.datasets.synthetic import FPS, SyntheticPeople
from tpc_jax.studies.real_clips import (
    Agreement,
    from_behind,
    measure,
    moved_reference,
    part_agreement,
    search,
)


@pytest.fixture(scope="module")
def motion():
    clip = SyntheticPeople(96).read("0002-turning", list(range(0, 24, 4)))
    frames = render_densepose(clip.parts)
    return Motion(frames, FPS, "densepose", clip.keypoints, clip.masks, clip.parts)


def test_refined_calibrations_come_close_to_the_search_whatever_the_turn(motion):
    best = search(moved_reference(motion, 0), motion)
    for angle, scale in ((0.0, 1.0), (60.0, 0.6)):
        found = measure(moved_reference(motion, 0, angle, scale), motion)
        assert found.refined.mean() > 0.85 * best.mean()
        assert found.refined.mean() > found.face.mean()
    assert best.mean() >= found.keypoints.mean()


def test_keypoints_alone_see_no_part_maps(motion):
    reference = moved_reference(motion, 0)
    blind = reference._replace(parts=np.zeros_like(reference.parts))
    one = measure(reference, motion, keypoints_alone=True)
    hidden = measure(blind, motion, keypoints_alone=True)
    # Judged by other maps, but found alike: what is nobody agrees with nothing.
    assert (hidden.refined == 0).all()
    assert (one.refined > 0).all()


def test_agreement_is_a_share_of_the_union():
    still = np.zeros((20, 20), np.uint8)
    still[5:15, 5:10], still[5:15, 10:15] = 1, 2
    identity = Transform2D(np.eye(2), np.zeros(2))
    assert part_agreement(still, still, identity) == 1
    half = np.where(still == 1, still, 0)
    assert part_agreement(still, half, identity) == pytest.approx(0.5)
    shifted = Transform2D(np.eye(2), np.array([5.0, 0.0]))
    assert part_agreement(still, still, shifted) == 0


def test_a_turning_person_is_seen_from_behind_in_some_frames(motion):
    behind = from_behind(motion)
    assert behind.dtype == bool
    assert len(behind) == 6
    everything = np.ones(3)
    worse = Agreement(everything, everything, everything, np.array([1.0, 0.98, 0.9]))
    assert worse.share_worse == pytest.approx(1 / 3)


def test_a_motion_without_part_maps_is_refused(motion):
    with pytest.raises(ValueError, match="no part maps"):
        moved_reference(motion._replace(parts=None), 0)
