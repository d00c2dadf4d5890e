"""The feature networks of the metrics against torch, through the converter's rule tables."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch_features as T
from torch_oracles import assert_close, compiled, convert, numbers, plan

from tpc_jax.convert.feature_networks import FEATURE_NETWORKS
from tpc_jax.errors import UserError
from tpc_jax.metrics.networks import feature_network
from tpc_jax.metrics.networks.layers import inner_average_pool, zero_bordered_max_pool
from tpc_jax.model import params as P

pytestmark = pytest.mark.torch


def randomized(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Random numbers that keep the size of activations, with telling running statistics."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(tensor, low, high):
        tensor.copy_(low + (high - low) * torch.rand(tensor.shape, generator=generator))

    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if name.startswith("lin"):
                uniform(tensor, 0.0, 1.0)
            elif tensor.ndim > 1:
                scale = (2.0 / tensor[0].numel()) ** 0.5
                tensor.copy_(scale * torch.randn(tensor.shape, generator=generator))
            elif name.endswith(("running_var", "weight")):
                uniform(tensor, 0.7, 1.4)
            else:
                uniform(tensor, -0.2, 0.2)
    return module.eval()


def channels_first(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))


def run(name: str, oracle: torch.nn.Module, shrink: int, x: np.ndarray, atol: float) -> None:
    network = feature_network(name, shrink)
    (rules,) = FEATURE_NETWORKS[name]
    params = convert(rules, numbers(oracle), network)
    ours = compiled(lambda p, x: P.bind(network, p)(x))(params, x)
    with torch.no_grad():
        theirs = oracle(channels_first(x))
    size = max(1.0, float(theirs.abs().max()))
    assert_close(ours / size, theirs / size, atol, name)
    assert np.asarray(theirs / size).std(axis=0).max() > 10 * atol, "all inputs look alike"


@pytest.mark.parametrize("backbone", ["vgg", "alex"])
def test_lpips(backbone):
    shrink = 8
    body = randomized(T.ClassifierFeatures(backbone, shrink))
    rng = np.random.default_rng(0)
    pred, target = rng.uniform(-1, 1, (2, 2, 67, 70, 3)).astype(np.float32)
    with torch.no_grad():
        maps_a, maps_b = body(channels_first(pred)), body(channels_first(target))
        heads = randomized(T.Heads([x.shape[1] for x in maps_a]))
        theirs = heads(maps_a, maps_b)
    network = feature_network(f"lpips_{backbone}", shrink)
    first, second = FEATURE_NETWORKS[f"lpips_{backbone}"]
    params = convert((*first, *second), numbers(body) | numbers(heads), network)
    maps = compiled(lambda p, x: P.bind(network, p).activations(x))(params, pred)
    for ours, expected in zip(maps, maps_a, strict=True):
        assert_close(np.moveaxis(ours, -1, 1), expected, 1e-4)
    ours = compiled(lambda p, a, b: P.bind(network, p)(a, b))(params, pred, target)
    assert_close(ours, theirs, 1e-5)


def test_inception():
    # 107 pixels leave 2x2 windows at the end, where borders of pools matter most.
    x = np.random.default_rng(1).uniform(-1, 1, (2, 107, 107, 3)).astype(np.float32)
    run("inception_v3", randomized(T.Inception(8)), 8, x, 1e-4)


def test_resnet3d():
    x = np.random.default_rng(2).normal(size=(2, 16, 48, 48, 3)).astype(np.float32)
    run("resnet3d_50", randomized(T.ResNet3D(8)), 8, x, 1e-4)


@pytest.mark.slow
def test_i3d_on_an_odd_number_of_frames():
    x = np.random.default_rng(3).uniform(-1, 1, (2, 9, 224, 224, 3)).astype(np.float32)
    run("i3d", randomized(T.I3D(16)), 16, x, 1e-4)


PUBLISHED = {
    "lpips_vgg": lambda: (T.ClassifierFeatures("vgg", 1), T.Heads([64, 128, 256, 512, 512])),
    "lpips_alex": lambda: (T.ClassifierFeatures("alex", 1), T.Heads([64, 192, 384, 256, 256])),
    "inception_v3": lambda: (T.Inception(),),
    "resnet3d_50": lambda: (torch.nn.DataParallel(T.ResNet3D()),),
    "i3d": lambda: (T.I3D(),),
}


@pytest.mark.parametrize("name", FEATURE_NETWORKS)
def test_the_published_names_and_shapes_are_covered(name):
    with torch.device("meta"):
        modules = PUBLISHED[name]()
    shapes = {k: tuple(v.shape) for module in modules for k, v in module.state_dict().items()}
    rules = [rule for table in FEATURE_NETWORKS[name] for rule in table]
    network = feature_network(name)
    done = plan(rules, shapes, network)
    assert len(done.fillings) == len(P.flatten(network.spec))
    assert {n.rsplit(".", 1)[1] for n in done.ignored if "bn" in n} <= {"num_batches_tracked"}


@pytest.mark.parametrize("name", ["inception_v3", "resnet3d_50", "i3d"])
def test_the_tables_are_strict(name):
    make = {"inception_v3": T.Inception, "resnet3d_50": T.ResNet3D, "i3d": T.I3D}[name]
    state, network = numbers(make(32)), feature_network(name, 32)
    (rules,) = FEATURE_NETWORKS[name]
    missing = next(key for key in state if key.endswith("running_mean"))
    with pytest.raises(UserError, match="nothing fills"):
        plan(rules, {k: v for k, v in state.items() if k != missing}, network)
    with pytest.raises(UserError, match=r"no rule for surplus"):
        plan(rules, state | {"surplus.weight": np.zeros(3)}, network)


def test_i3d_max_pool_pads_with_zeros():
    """A trap: negative inputs at a border lose against the zeros around them."""
    x = -np.random.default_rng(4).uniform(1, 2, (1, 4, 5, 6, 2)).astype(np.float32)
    for window, strides in (((3, 3, 3), (1, 1, 1)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2))):
        ours = zero_bordered_max_pool(jnp.asarray(x), window, strides)
        theirs = T.same_max_pool(channels_first(x), window, strides)
        np.testing.assert_array_equal(np.moveaxis(ours, -1, 1), theirs)
        assert ours.max() == 0.0


def test_inception_average_pool_leaves_the_border_out():
    """A trap: torchvision's own network would count the border's zeros."""
    ones = jnp.ones((1, 5, 4, 2))
    np.testing.assert_array_equal(inner_average_pool(ones), ones)
    x = np.random.default_rng(5).normal(size=(1, 5, 4, 2)).astype(np.float32)
    theirs = T.inner_average(channels_first(x))
    np.testing.assert_allclose(
        np.moveaxis(inner_average_pool(jnp.asarray(x)), -1, 1), theirs, atol=1e-6
    )
