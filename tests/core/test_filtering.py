import jax
import jax.numpy as jnp
import numpy as np

from tpc_jax import Keypoints
from tpc_jax.pose import filtering

visible = jax.jit(filtering.visible, static_argnames="tau")


def test_visible_means_confident_and_finite():
    xy = np.ones((6, 2))
    xy[3, 1], xy[4, 0] = np.nan, np.inf
    conf = np.array([0.31, 0.3, 0.0, 0.9, 0.9, np.nan])
    expected = [True, False, False, False, False, False]
    assert list(visible(Keypoints(jnp.asarray(xy), jnp.asarray(conf)))) == expected
    assert list(visible(Keypoints(xy, conf), tau=0.0))[:3] == [True, True, False]
