"""Blended frames against the original's arithmetic, written out in NumPy."""

from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.sampler.interpolate import interpolate


def clip(frames=3, seed=0):
    return np.random.default_rng(seed).normal(size=(frames, 4, 3, 2)).astype(np.float32)


def linear(start, end, share):
    return (1 - share) * start + share * end


def spherical(start, end, share):
    cosine = (start / np.linalg.norm(start) * end / np.linalg.norm(end)).sum()
    if abs(cosine) > 0.9995:
        return linear(start, end, share)
    angle = np.arccos(cosine)
    return (np.sin((1 - share) * angle) * start + np.sin(share * angle) * end) / np.sin(angle)


@pytest.mark.parametrize(("blend", "mix"), [("linear", linear), ("spherical", spherical)])
@pytest.mark.parametrize("factor", [2, 3])
def test_frames_between(blend, mix, factor):
    latents = clip()
    latents[2] = 1.5 * latents[1]  # in one direction: no angle to divide by
    expected = []
    for start, end in pairwise(latents):
        expected += [start] + [mix(start, end, k / factor) for k in range(1, factor)]
    ours = interpolate(jnp.asarray(latents), factor, blend)
    assert len(ours) == 2 * factor + 1
    np.testing.assert_allclose(ours, np.stack([*expected, latents[-1]]), atol=1e-5)


def test_a_great_circle_keeps_the_size_and_a_line_does_not():
    latents = clip(2)
    size = np.sqrt((latents**2).sum((1, 2, 3), keepdims=True))
    unit = jnp.asarray(latents / size)
    middle = [
        float(jnp.linalg.norm(interpolate(unit, 2, blend)[1].ravel()))
        for blend in ("spherical", "linear")
    ]
    assert middle[0] == pytest.approx(1, abs=1e-5)
    assert middle[1] < 0.9


def test_nothing_to_do():
    latents = jnp.asarray(clip())
    assert interpolate(latents, 1) is latents
    assert interpolate(latents[:1], 4).shape == (1, 4, 3, 2)


def test_bad_input():
    with pytest.raises(ValueError, match="factor must be at least 1, got 0"):
        interpolate(jnp.asarray(clip()), 0)
