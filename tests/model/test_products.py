"""Layers take no more products than they need."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from tpc_jax.animators.cost import count
from tpc_jax.model.attention import attend
from tpc_jax.model.layers import Upsample, UpsampleInPhases


def flops_of(function, *shapes):
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return count(jax.make_jaxpr(function)(*arrays)).flops


def test_phases_take_four_of_nine_products():
    plain = Upsample(8, rngs=nnx.Rngs(0))
    phased = UpsampleInPhases(plain.conv)
    flops = [flops_of(lambda x, f=f: f(x, (8, 6)), (2, 4, 3, 8)) for f in (plain, phased)]
    assert flops == [2 * 2 * 8 * 6 * 8 * 8 * taps for taps in (9, 4)]


# 768 keys: 170 queries would fit into a block; 12288 keys: 10 would.
@pytest.mark.parametrize(("tokens", "keys", "padding"), [(256, 768, 0), (4096, 12288, 4)])
def test_blocks_of_queries_are_even(tokens, keys, padding):
    flops = flops_of(attend, (2, tokens, 8, 40), (2, keys, 8, 40), (2, keys, 8, 40))
    assert flops == 2 * 2 * 2 * 8 * (tokens + padding) * keys * 40
