"""Random torch networks, their numbers in our layout, and comparison."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch

from tpc_jax.convert.core import Conversion, Part, PartPlan, plan_parts
from tpc_jax.convert.read import Source, Tensor
from tpc_jax.convert.rules import find_target, transform
from tpc_jax.model import params as P

torch.set_num_threads(1)  # on a busy machine threads that wait for each other cost seconds

LAYER, BLOCK, NETWORK = 1e-5, 1e-4, 1e-3  # largest absolute difference in float32

# Tiny networks run for milliseconds and compile for seconds: skip what makes programs fast.
compiled = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def randomized(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give every parameter random values, those that start at zero or one included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                parameter.copy_(0.2 * noise + float(name.endswith("weight")))
            else:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
    return module.eval()


def numbers(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}


def source_of(state) -> Source:
    """Present arrays, or shapes alone, as a published file."""
    path = Path("state")
    arrays = {
        name: np.broadcast_to(np.float32(0), x) if isinstance(x, tuple) else x
        for name, x in state.items()
    }
    tensors = {n: Tensor(x.shape, x.dtype, lambda x=x: x) for n, x in arrays.items()}
    return Source(path, (path,), tensors)


def plan(rules, state, network: P.Network) -> PartPlan:
    """Say where arrays, or shapes alone, go in a network, as the converter does."""
    part = Part("network", [(source_of(state), rules)])
    return plan_parts(Conversion({}, {"network": network}, [part], {}, {}))["network"]


def convert_flat(rules, state, network: P.Network) -> dict[str, np.ndarray]:
    """Return our parameters of a state dict by dotted path."""
    fillings = plan(rules, state, network).fillings.values()
    return {filling.target.path: filling.read() for filling in fillings}


def convert(rules, state, network: P.Network) -> P.Params:
    """Return our parameters of a state dict."""
    flat = convert_flat(rules, state, network)
    return P.unflatten(network, {path: jnp.asarray(array) for path, array in flat.items()})


def load(rules, module, make, *, inside: str = ""):
    """Return our module with the numbers of a torch module, or of a state dict.

    `inside` is the path at which the module would stand in a network that the rules are for.
    """
    flat = {}
    state = numbers(module) if isinstance(module, torch.nn.Module) else module
    for name, array in state.items():
        target = find_target(rules, inside + name)
        if target is not None:
            flat[target.path.removeprefix(inside)] = jnp.asarray(transform(array, target.kind))
    network = P.abstract(make)
    return P.bind(network, P.unflatten(network, flat))


def tensor(x) -> torch.Tensor:
    """Hand channels-last pictures [..., h, w, c] to torch as [..., c, h, w]."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(x), -1, -3)))


def channels_last(x) -> np.ndarray:
    x = x.detach().numpy() if isinstance(x, torch.Tensor) else np.asarray(x)
    return np.moveaxis(x, -3, -1)


def assert_close(ours, theirs, atol: float, what: str = "") -> None:
    """Compare arrays of one shape; the difference shows with `pytest -rP`."""
    theirs = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
    assert ours.shape == theirs.shape
    difference = np.abs(np.asarray(ours, np.float64) - theirs).max()
    print(
        f"{what or 'result'}: max |difference| {difference:.1e} (size {np.abs(theirs).max():.2g})"
    )
    assert difference <= atol, what
    assert np.abs(theirs).max() > 100 * atol, "the oracle's result is too small to tell anything"
