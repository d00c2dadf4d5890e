"""Parameters as nested dicts of arrays: abstract networks, strict loading, storage.

NNX accepts renamed, misshapen and missing parameters in silence, so `nnx.merge` is called only
here, and only after names and shapes have been compared.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

Params = dict[str, Any]


class Network(NamedTuple):
    """A network without its numbers.

    Attributes:
        graphdef: Static structure; hashable. None for arrays that are no network's.
        spec: Nested dict of `jax.ShapeDtypeStruct`, the parameters it wants.
    """

    graphdef: nnx.GraphDef | None
    spec: Params


class _SameKey(nnx.Rngs):
    """Gives every layer the same key.

    Counting keys under a trace takes a time quadratic in the number of layers: 48 s for a denoiser
    with motion modules, 3 s without.
    """

    def params(self) -> jax.Array:
        return self.default.key[...]


@functools.lru_cache(maxsize=128)
def abstract(make: Callable[..., nnx.Module], *args: Any) -> Network:
    """Describe `make(*args, rngs=...)` without allocating its parameters."""
    graphdef, state = nnx.split(nnx.eval_shape(lambda: make(*args, rngs=_SameKey(0))))
    return Network(graphdef, nnx.to_pure_dict(state))


def initialize(make: Callable[..., nnx.Module], *args: Any, key: jax.Array) -> Params:
    """Return freshly initialised parameters of `make(*args, rngs=...)`."""
    return nnx.to_pure_dict(nnx.state(make(*args, rngs=nnx.Rngs(key))))


def bind(network: Network, params: Params) -> Any:
    """Return the network with these parameters, ready to be called; cheap under jit.

    A description does not say of which class the module is, so neither does the type.

    Raises:
        ValueError: Names or shapes differ from what the network wants.
    """
    # Merging goes by order, and list indices that are strings sort 0, 1, 10, 2.
    return nnx.merge(network.graphdef, unflatten(network, flatten(params)))


def flatten(params: Params) -> dict[str, Any]:
    """Return leaves by dotted path, in the order of the tree."""
    leaves, _ = jax.tree.flatten_with_path(params)
    return {".".join(str(entry.key) for entry in path): leaf for path, leaf in leaves}


def unflatten(network: Network, flat: Mapping[str, Any]) -> Params:
    """Rebuild the nested dict that the network wants from leaves by dotted path.

    Raises:
        ValueError: Names or shapes differ; all differences are listed.
    """
    check(network, flat)
    leaves = [flat[path] for path in flatten(network.spec)]
    return jax.tree.unflatten(jax.tree.structure(network.spec), leaves)


def check(network: Network, flat: Mapping[str, Any]) -> None:
    """Compare names and shapes with what the network wants.

    Raises:
        ValueError: With every missing, surplus and misshapen parameter.
    """
    wanted = flatten(network.spec)
    faults = [f"missing {path} {wanted[path].shape}" for path in wanted if path not in flat]
    faults += [f"unknown {path}" for path in flat if path not in wanted]
    faults += [
        f"{path} must have shape {wanted[path].shape}, got {leaf.shape}"
        for path, leaf in flat.items()
        if path in wanted and leaf.shape != wanted[path].shape
    ]
    if faults:
        raise ValueError(f"{len(faults)} parameters do not fit the network:\n" + "\n".join(faults))


def cast(params: Params, dtype: jnp.dtype | type) -> Params:
    """Cast every floating-point leaf."""
    return jax.tree.map(
        lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, params
    )


def count(params: Params) -> int:
    """Return how many numbers the parameters hold."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def num_bytes(tree: Any) -> int:
    """Return the size of arrays or of their shapes."""
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))
