"""The warp by true bones, on people whose target is known to be a copy."""

from fractions import Fraction

import numpy as np
import pytest
from part_warp import warp_parts

from tpc_jax._types import Keypoints
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.studies.datasets.splits import LoadedPair
from tpc_jax.studies.people import clip_rng, sample_clip


@pytest.mark.parametrize("shift", [(0, 0), (3, -2)])
def test_a_shifted_person_is_copied(shift):
    """The canvas is wide enough that nobody leaves it."""
    clip = sample_clip(clip_rng(0, 1, "test"), 4, (48, 96), frames=[2])
    x, y = shift

    def moved(array):
        return np.roll(array, (y, x), axis=(1, 2))

    xy, conf = clip.keypoints + np.float32(shift), clip.conf
    motion = Motion(
        moved(clip.frames), Fraction(10), "densepose", Keypoints(xy[None], conf[None]),
        masks=moved(clip.mask)[None], parts=moved(clip.parts),
    )  # fmt: skip
    reference = Reference(clip.frames[0], Keypoints(clip.keypoints, conf), clip.mask)
    person = motion.masks[0]
    inner = person & (motion.parts > 0)
    assert inner.sum() > 100
    warped = warp_parts(LoadedPair(reference, motion))
    difference = np.abs(warped.astype(int) - motion.frames)
    assert np.median(difference[inner]) == 0
    assert np.quantile(difference[inner], 0.95) <= 2
    np.testing.assert_array_equal(warped[~person], motion.frames[~person])
