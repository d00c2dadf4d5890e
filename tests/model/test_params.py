"""Strict loading: names, shapes and the order of lists."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from tpc_jax.model import params as P


class Chain(nnx.Module):
    """Twelve layers, so that 10 and 11 would sort before 2 as strings."""

    def __init__(self, *, rngs: nnx.Rngs):
        self.layers = nnx.List([nnx.Linear(1, 1, rngs=rngs) for _ in range(12)])

    def __call__(self, x):
        return jnp.stack([layer(x) for layer in self.layers])


@pytest.fixture(scope="module")
def network():
    return P.abstract(Chain)


def numbered(key=int):
    """Return parameters by which layer i adds i, with list indices of the given type."""
    layers = {
        key(i): {"kernel": jnp.zeros((1, 1)), "bias": jnp.full(1, float(i))} for i in range(12)
    }
    return {"layers": layers}


@pytest.mark.parametrize("key", [int, str])
def test_lists_keep_their_order(network, key):
    out = P.bind(network, numbered(key))(jnp.zeros(1))
    np.testing.assert_array_equal(out.ravel(), np.arange(12))


def test_the_order_of_dicts_does_not_matter(network):
    reversed_layers = {
        index: dict(reversed(leaf.items()))
        for index, leaf in reversed(numbered()["layers"].items())
    }
    out = P.bind(network, {"layers": reversed_layers})(jnp.zeros(1))
    np.testing.assert_array_equal(out.ravel(), np.arange(12))


def test_flatten_and_unflatten(network):
    params = numbered()
    flat = P.flatten(params)
    assert list(flat)[:3] == ["layers.0.bias", "layers.0.kernel", "layers.1.bias"]
    back = P.unflatten(network, dict(sorted(flat.items(), reverse=True)))
    assert jax.tree.structure(back) == jax.tree.structure(params)
    assert all(P.flatten(back)[path] is leaf for path, leaf in flat.items())


def test_every_difference_is_told_at_once(network):
    flat = P.flatten(numbered())
    del flat["layers.3.bias"]
    flat["layers.10.kernel"] = jnp.zeros((1, 2))
    flat["layers.12.bias"] = jnp.zeros(1)
    with pytest.raises(ValueError, match="3 parameters do not fit") as caught:
        P.unflatten(network, flat)
    for text in (
        "missing layers.3.bias (1,)",
        "layers.10.kernel must have shape (1, 1), got (1, 2)",
        "unknown layers.12.bias",
    ):
        assert text in str(caught.value)


@pytest.mark.parametrize("fault", ["missing", "renamed", "misshapen"])
def test_bind_is_strict(network, fault):
    params = numbered()
    layer = params["layers"][4]
    if fault == "misshapen":
        layer["bias"] = jnp.zeros(2)
    else:
        bias = layer.pop("bias")
        if fault == "renamed":
            layer["offset"] = bias
    with pytest.raises(ValueError, match=re.escape("layers.4.bias")):
        P.bind(network, params)


def test_abstract_and_initialize_agree(network):
    params = P.initialize(Chain, key=jax.random.key(0))
    assert jax.tree.structure(params) == jax.tree.structure(network.spec)
    P.check(network, P.flatten(params))
    assert P.count(params) == P.count(network.spec) == 24
    assert P.abstract(Chain).graphdef == network.graphdef


def test_initial_parameters_follow_the_key_and_differ_between_layers():
    kernels = [
        [layer["kernel"].item() for layer in P.initialize(Chain, key=key)["layers"].values()]
        for key in (jax.random.key(0), jax.random.key(0), jax.random.key(1))
    ]
    assert kernels[0] == kernels[1] != kernels[2]
    assert len(set(kernels[0])) == 12


def test_cast_changes_floating_point_leaves_only():
    params = {"kernel": jnp.ones(2), "steps": jnp.arange(2)}
    cast = P.cast(params, jnp.bfloat16)
    assert (cast["kernel"].dtype, cast["steps"].dtype) == (jnp.bfloat16, jnp.int32)
