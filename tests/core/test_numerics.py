import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax import _numerics
from tpc_jax._numerics import safe_divide, safe_sqrt

weighted_mean, weighted_spread = map(jax.jit, (_numerics.weighted_mean, _numerics.weighted_spread))
gaussian_smooth = jax.jit(_numerics.gaussian_smooth, static_argnums=2)


def test_safe_divide_has_a_finite_value_and_gradient_at_zero():
    value, gradient = jax.value_and_grad(lambda d: safe_divide(jnp.asarray(3.0), d, 7.0))(
        jnp.asarray(0.0)
    )
    assert value == 7.0
    assert gradient == 0.0
    assert safe_divide(jnp.asarray(3.0), jnp.asarray(2.0)) == 1.5


def test_safe_sqrt_has_a_finite_value_and_gradient_at_zero():
    assert jax.grad(safe_sqrt)(jnp.asarray(0.0)) == 0.0
    assert safe_sqrt(jnp.asarray(-1.0)) == 0.0
    assert jax.grad(safe_sqrt)(jnp.asarray(4.0)) == pytest.approx(0.25)


def test_weighted_mean_and_spread_match_numpy(rng):
    xy, weight = rng.normal(size=(9, 2)), rng.uniform(size=9)
    weight[3] = 0
    mean = np.asarray(weighted_mean(jnp.asarray(xy), jnp.asarray(weight)))
    np.testing.assert_allclose(mean, np.average(xy, axis=0, weights=weight), rtol=1e-12)
    variance = np.average(((xy - mean) ** 2).sum(axis=1), weights=weight)
    xy[3] = np.nan
    spread = weighted_spread(jnp.asarray(xy), jnp.asarray(weight))
    np.testing.assert_allclose(spread, np.sqrt(variance), rtol=1e-12)


def test_mean_and_spread_of_nothing_are_zero():
    xy, weight = jnp.ones((4, 2)), jnp.zeros(4)
    assert not weighted_mean(xy, weight).any()
    assert weighted_spread(xy, weight) == 0


def test_gaussian_smooth_keeps_constants_and_ignores_unweighted_entries(rng):
    weight = rng.uniform(size=(12, 2)) > 0.4
    values = np.where(weight, 5.0, 1e6)
    smooth = gaussian_smooth(jnp.asarray(values), jnp.asarray(weight, float), 2.0)
    np.testing.assert_allclose(smooth, 5.0, rtol=1e-12)


def test_gaussian_smooth_is_the_normalised_convolution(rng):
    values, weight = rng.normal(size=(7, 1)), rng.uniform(size=(7, 1))
    kernel = np.exp(-0.5 * (np.subtract.outer(np.arange(7), np.arange(7)) / 1.5) ** 2)
    expected = [np.average(values[:, 0], weights=k * weight[:, 0]) for k in kernel]
    smooth = gaussian_smooth(jnp.asarray(values), jnp.asarray(weight), 1.5)
    np.testing.assert_allclose(smooth[:, 0], expected, rtol=1e-12)


def test_gaussian_smooth_without_weight_or_width_changes_nothing(rng):
    values = jnp.asarray(rng.normal(size=(5, 3)))
    np.testing.assert_array_equal(gaussian_smooth(values, jnp.zeros((5, 3)), 1.0), values)
    np.testing.assert_array_equal(gaussian_smooth(values, jnp.ones((5, 3)), 0.0), values)
    with pytest.raises(ValueError, match="sigma must not be negative"):
        gaussian_smooth(values, jnp.ones((5, 3)), -1.0)
