"""Blended frames against the original's arithmetic, written out in NumPy."""

from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.sampler.interpolate import interpolate


def clip(frames=3, seed=0):
    return np.random.default_rng(seed).normal(size=(frames, 4, 3, 2)).astype(np.float32)


@pytest.mark.parametrize("factor", [2, 3])
def test_frames_between(factor):
    latents = clip()
    expected = []
    for start, end in pairwise(latents):
        expected += [(1 - k / factor) * start + k / factor * end for k in range(factor)]
    ours = interpolate(jnp.asarray(latents), factor)
    assert len(ours) == 2 * factor + 1
    np.testing.assert_allclose(ours, np.stack([*expected, latents[-1]]), atol=1e-5)


def test_nothing_to_do():
    latents = jnp.asarray(clip())
    np.testing.assert_array_equal(interpolate(latents, 1), latents)
    np.testing.assert_array_equal(interpolate(latents[:1], 4), latents[:1])


def test_bad_input():
    with pytest.raises(ValueError, match="factor must be at least 1, got 0"):
        interpolate(jnp.asarray(clip()), 0)
