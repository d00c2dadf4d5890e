import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.sampler.guidance import guide, guide_all


@pytest.fixture
def pair():
    keys = jax.random.split(jax.random.key(0))
    return tuple(jax.random.normal(key, (2, 3, 4)) for key in keys)


def test_scale_one_is_the_conditional_and_zero_the_unconditional_prediction(pair):
    unconditional, conditional = pair
    np.testing.assert_allclose(guide(unconditional, conditional, 1.0), conditional, atol=1e-6)
    np.testing.assert_array_equal(guide(unconditional, conditional, 0.0), unconditional)


@pytest.mark.parametrize("scale", [-1.0, 0.5, 7.5])
def test_guidance_is_the_line_through_both(pair, scale):
    unconditional, conditional = (np.asarray(x, np.float64) for x in pair)
    expected = (1 - scale) * unconditional + scale * conditional
    np.testing.assert_allclose(guide(*pair, scale), expected, rtol=1e-5, atol=1e-5)


def test_equal_predictions_need_no_guidance(pair):
    np.testing.assert_array_equal(guide(pair[0], jnp.array(pair[0]), 7.5), pair[0])


def test_two_predictions_are_the_common_case(pair):
    np.testing.assert_array_equal(guide_all(pair, (7.5,)), guide(*pair, 7.5))


def test_dual_guidance():
    """Null, picture, picture and pose: DreamPose's formula, in which each scale has its own."""
    null, image, both = (jnp.asarray(np.random.default_rng(i).normal(size=9)) for i in range(3))
    expected = null + 8.0 * (image - null) + 3.0 * (both - image)
    np.testing.assert_allclose(guide_all((null, image, both), (8.0, 3.0)), expected, atol=1e-5)
    np.testing.assert_allclose(guide_all((null, image, both), (1.0, 1.0)), both, atol=1e-6)
    with pytest.raises(ValueError, match="zip"):
        guide_all((null, image, both), (8.0,))
