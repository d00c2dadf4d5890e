"""The position table of small networks."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.model import params as P
from tpc_jax.model.config import UNetConfig
from tpc_jax.model.layers import grid_features
from tpc_jax.model.unet import UNet

PLAIN = UNetConfig(
    in_channels=2, out_channels=2, block_out_channels=(8,), layers_per_block=1,
    attention_levels=(True,), num_heads=2, cross_attention_dim=None, norm_num_groups=2,
)  # fmt: skip
PLACED = dataclasses.replace(PLAIN, position_grid=(6, 6))
LATENTS = jnp.ones((1, 1, 6, 6, 2))


@pytest.fixture(scope="module")
def params():
    return P.initialize(UNet, PLACED, key=jax.random.key(0))


@functools.partial(jax.jit, static_argnums=0)
def run(config, params, latents=LATENTS):
    return P.bind(P.abstract(UNet, config), params)(latents, jnp.zeros(1))


def test_a_table_of_zeros_is_no_table(params):
    table = params["position_table"]
    assert table.shape == (6, 6, 8)
    zero = {**params, "position_table": jnp.zeros_like(table)}
    plain = {name: value for name, value in params.items() if name != "position_table"}
    np.testing.assert_array_equal(run(PLACED, zero), run(PLAIN, plain))
    assert float(jnp.abs(run(PLACED, params) - run(PLAIN, plain)).max()) > 1e-3


def test_latents_must_have_the_size_of_the_table(params):
    with pytest.raises(ValueError, match="size"):
        run(PLACED, params, jnp.ones((1, 1, 6, 8, 2)))


def test_the_table_starts_so_that_each_cell_is_most_like_itself():
    features = grid_features((16, 12), 96).reshape(192, 96)
    likeness = features @ features.T
    others = likeness - 1e9 * np.eye(192)
    np.testing.assert_allclose(np.diag(likeness), 48.0, rtol=1e-5)
    assert others.max() < 0.99 * 48
    # The most alike are the four neighbours.
    y, x = np.divmod(others.argmax(1), 12)
    own_y, own_x = np.divmod(np.arange(192), 12)
    assert (abs(y - own_y) + abs(x - own_x) == 1).all()


def test_a_table_starts_as_the_features_of_its_grid(params):
    np.testing.assert_array_equal(params["position_table"], grid_features((6, 6), 8))
