"""ControlNet against diffusers."""

import jax
import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from torch_oracles import (
    BLOCK,
    LAYER,
    assert_close,
    channels_last,
    compiled,
    convert,
    numbers,
    plan,
    randomized,
    tensor,
)

from tpc_jax.convert.tables import CONTROLNET
from tpc_jax.model import params as P
from tpc_jax.model.config import ControlNetConfig, MotionConfig, UNetConfig
from tpc_jax.model.controlnet import ControlNet

pytestmark = pytest.mark.torch

CONFIG = ControlNetConfig(
    trunk=UNetConfig(
        block_out_channels=(8, 12),
        layers_per_block=1,
        attention_levels=(True, False),
        num_heads=2,
        cross_attention_dim=10,
        norm_num_groups=4,
    ),
    condition_channels=(4, 6, 8),
)
PUBLISHED = {
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}


@pytest.fixture(scope="module")
def pair():
    trunk = CONFIG.trunk
    oracle = ControlNetModel(
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        block_out_channels=trunk.block_out_channels,
        layers_per_block=trunk.layers_per_block,
        attention_head_dim=trunk.num_heads,
        cross_attention_dim=trunk.cross_attention_dim,
        norm_num_groups=trunk.norm_num_groups,
        conditioning_embedding_out_channels=CONFIG.condition_channels,
    )
    randomized(oracle)
    network = P.abstract(ControlNet, CONFIG)
    return oracle, network, convert(CONTROLNET, numbers(oracle), network)


def inputs(images=3, size=(6, 5), seed=0):
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(images, *size, 4))
    condition = rng.uniform(size=(images, 4 * size[0], 4 * size[1], 3))
    context = rng.normal(size=(images, 3, 10))
    times = np.array([421.0, 7.0, 999.0])[:images]
    return [x.astype(np.float32) for x in (latents, times, condition, context)]


def test_residuals(pair):
    oracle, network, params = pair
    latents, times, condition, context = inputs()
    ours = compiled(lambda p, *args: P.bind(network, p)(*args))(
        params, latents, times, condition, context
    )
    with torch.no_grad():
        down, mid = oracle(
            tensor(latents),
            torch.from_numpy(times),
            torch.from_numpy(context),
            tensor(condition),
            return_dict=False,
        )
    for index, (residual, theirs) in enumerate(zip(ours, (*down, mid), strict=True)):
        assert_close(residual, channels_last(theirs), BLOCK, f"residual {index}")


def test_the_condition_can_be_embedded_beforehand(pair):
    oracle, network, params = pair
    latents, times, condition, context = inputs(images=2)

    @compiled
    def both(params, latents, times, condition, context):
        net = P.bind(network, params)
        embedded = net.embed_condition(condition)
        return (
            embedded,
            net(latents, times, condition, context),
            net.residuals(latents, times, embedded, context),
        )

    embedded, at_once, in_two = both(params, latents, times, condition, context)
    assert_close(
        embedded, channels_last(oracle.controlnet_cond_embedding(tensor(condition))), LAYER
    )
    for one, other in zip(at_once, in_two, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
def test_a_new_controlnet_changes_nothing():
    @compiled
    def fresh(key, *args):
        network = P.abstract(ControlNet, CONFIG)
        return P.bind(network, P.initialize(ControlNet, CONFIG, key=key))(*args)

    for residual in fresh(jax.random.key(0), *inputs(images=1)):
        np.testing.assert_array_equal(residual, 0.0)


def test_the_published_controlnet_is_covered():
    with torch.device("meta"):
        theirs = ControlNetModel(**PUBLISHED)
    network = P.abstract(ControlNet, ControlNetConfig())
    shapes = {name: tuple(t.shape) for name, t in theirs.state_dict().items()}
    done = plan(CONTROLNET, shapes, network)
    assert len(done.fillings) == 340
    assert done.ignored == ()
    assert P.count(network.spec) == 361_279_120


@pytest.mark.parametrize("options", [{"motion": MotionConfig()}, {"norm_over_frames": True}])
def test_a_controlnet_sees_single_pictures(options):
    with pytest.raises(ValueError, match="motion None and norm_over_frames False"):
        ControlNetConfig(trunk=UNetConfig(**options))
