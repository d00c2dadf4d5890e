import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax import Keypoints
from tpc_jax.pose import filtering

visible = jax.jit(filtering.visible, static_argnames="tau")
smooth_keypoints = jax.jit(filtering.smooth_keypoints, static_argnames=("sigma", "tau"))


def test_visible_means_confident_and_finite():
    xy = np.ones((6, 2))
    xy[3, 1], xy[4, 0] = np.nan, np.inf
    conf = np.array([0.31, 0.3, 0.0, 0.9, 0.9, np.nan])
    expected = [True, False, False, False, False, False]
    assert list(visible(Keypoints(jnp.asarray(xy), jnp.asarray(conf)))) == expected
    assert list(visible(Keypoints(xy, conf), tau=0.0))[:3] == [True, True, False]


def test_smoothing_uses_visible_frames_only(rng):
    xy = np.tile(rng.normal(size=(1, 17, 2)), (20, 1, 1))
    conf = (rng.uniform(size=(20, 17)) > 0.3).astype(float)
    xy[conf == 0] = np.nan
    smooth = smooth_keypoints(Keypoints(jnp.asarray(xy), jnp.asarray(conf)), sigma=1.0)
    np.testing.assert_allclose(smooth.xy, xy, atol=1e-12)
    np.testing.assert_array_equal(smooth.conf, conf)


def test_smoothing_reduces_jitter(rng):
    xy = np.cumsum(np.ones((60, 17, 2)), axis=0) + rng.normal(size=(60, 17, 2))
    keypoints = Keypoints(jnp.asarray(xy), jnp.ones((60, 17)))
    smooth = np.asarray(smooth_keypoints(keypoints, sigma=2.0).xy)
    assert np.diff(smooth, 2, axis=0).std() < 0.1 * np.diff(xy, 2, axis=0).std()
    assert np.array_equal(smooth_keypoints(keypoints, sigma=0.0).xy, xy)


def test_smoothing_checks_its_shape():
    with pytest.raises(ValueError, match="must be"):
        smooth_keypoints(Keypoints(jnp.ones((17, 2)), jnp.ones(17)), sigma=1.0)
