"""Norms, convolutions, embeddings and resnets against torch and diffusers."""

import diffusers.models.attention
import diffusers.models.downsampling
import diffusers.models.embeddings
import diffusers.models.resnet
import diffusers.models.upsampling
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch_oracles import LAYER, assert_close, channels_last, load, randomized, tensor

from tpc_jax.convert.tables import UNET, VAE
from tpc_jax.model.layers import (
    Downsample,
    ResnetBlock,
    TimeEmbedding,
    Upsample,
    UpsampleInPhases,
    group_norm,
    timestep_features,
)
from tpc_jax.model.transformer import FeedForward
from tpc_jax.model.vae import HalvingConv

pytestmark = pytest.mark.torch


def pictures(seed=0, images=3, size=(5, 4), channels=8, mean=0.0):
    x = np.random.default_rng(seed).normal(mean, 1, (images, *size, channels))
    return jnp.asarray(x, jnp.float32)


def test_timestep_features():
    t = np.array([0.0, 1.0, 421.0, 999.0], np.float32)
    oracle = diffusers.models.embeddings.Timesteps(20, flip_sin_to_cos=True, downscale_freq_shift=0)
    # Angles near 1000 carry a rounding error of 6e-5 in either library.
    assert_close(timestep_features(jnp.asarray(t), 20), oracle(torch.tensor(t)), 1e-4)


def test_time_embedding():
    oracle = randomized(diffusers.models.embeddings.TimestepEmbedding(8, 32))
    ours = load(UNET, oracle, lambda rngs: TimeEmbedding(8, rngs=rngs), inside="time_embedding.")
    t = jnp.array([3.0, 17.0])
    features = torch.tensor(np.array(timestep_features(t, 8)))
    assert_close(ours(t), oracle(features), LAYER)


@pytest.mark.parametrize("out_channels", [8, 12])
def test_resnet(out_channels):
    oracle = diffusers.models.resnet.ResnetBlock2D(
        in_channels=8, out_channels=out_channels, temb_channels=16, groups=4, eps=1e-5
    )
    ours = load(
        UNET,
        randomized(oracle),
        lambda rngs: ResnetBlock(8, out_channels, num_groups=4, time_features=16, rngs=rngs),
        inside="mid_block.resnets.0.",
    )
    # Small numbers, so that the wrong eps shows.
    x, time = (
        0.01 * pictures(),
        jnp.asarray(np.random.default_rng(1).normal(size=(3, 16)), jnp.float32),
    )
    theirs = oracle(tensor(x), torch.tensor(np.array(time)))
    assert_close(ours(x, time), channels_last(theirs), LAYER)


def test_resnet_of_the_autoencoder():
    oracle = diffusers.models.resnet.ResnetBlock2D(
        in_channels=8, out_channels=12, temb_channels=None, groups=4, eps=1e-6
    )
    ours = load(
        VAE,
        randomized(oracle),
        lambda rngs: ResnetBlock(8, 12, num_groups=4, eps=1e-6, rngs=rngs),
        inside="decoder.mid_block.resnets.0.",
    )
    x = 0.01 * pictures()
    assert_close(ours(x), channels_last(oracle(tensor(x), None)), LAYER)


# A mean of 10 standard deviations costs the one-pass variance two digits.
@pytest.mark.parametrize(("mean", "atol"), [(0.0, LAYER), (10.0, 1e-4)])
def test_group_norm_over_frames(mean, atol):
    """Runs of frames are normalised together, each batch row by itself."""
    oracle = randomized(torch.nn.GroupNorm(4, 8, eps=1e-5))
    norm = load(
        UNET,
        oracle,
        lambda rngs: nnx.GroupNorm(8, 4, epsilon=1e-5, rngs=rngs),
        inside="conv_norm_out.",
    )
    x = pictures(images=6, mean=mean) * jnp.arange(1, 7)[:, None, None, None]
    video = tensor(x).reshape(2, 3, 8, 5, 4).transpose(1, 2)
    theirs = oracle(video).transpose(1, 2).reshape(6, 8, 5, 4)
    assert_close(group_norm(norm, x, 3), channels_last(theirs), atol)
    assert_close(group_norm(norm, x), channels_last(oracle(tensor(x))), atol)
    assert np.abs(group_norm(norm, x, 3) - group_norm(norm, x)).max() > 0.1


@pytest.mark.parametrize("size", [(6, 4), (5, 7)])
def test_downsample(size):
    oracle = diffusers.models.downsampling.Downsample2D(8, use_conv=True, padding=1, name="op")
    ours = load(
        UNET,
        randomized(oracle),
        lambda rngs: Downsample(8, rngs=rngs),
        inside="down_blocks.0.downsamplers.0.",
    )
    x = pictures(size=size)
    assert_close(ours(x), channels_last(oracle(tensor(x))), LAYER)


@pytest.mark.parametrize("size", [(6, 4), (5, 7)])
def test_halving_convolution_of_the_autoencoder(size):
    oracle = diffusers.models.downsampling.Downsample2D(8, use_conv=True, padding=0, name="op")
    ours = load(
        VAE,
        randomized(oracle),
        lambda rngs: HalvingConv(8, rngs=rngs),
        inside="encoder.down_blocks.0.downsamplers.0.",
    )
    x = pictures(size=size)
    assert_close(ours(x), channels_last(oracle(tensor(x))), LAYER)


@pytest.mark.parametrize("size", [(6, 8), (5, 8), (5, 7)])
def test_upsample(size):
    oracle = diffusers.models.upsampling.Upsample2D(8, use_conv=True)
    ours = load(
        UNET,
        randomized(oracle),
        lambda rngs: Upsample(8, rngs=rngs),
        inside="up_blocks.0.upsamplers.0.",
    )
    x = pictures(size=(3, 4))
    theirs = channels_last(oracle(tensor(x), output_size=size))
    assert_close(ours(x, size), theirs, LAYER)
    assert_close(UpsampleInPhases(ours.conv)(x, size), theirs, LAYER)


def test_feed_forward():
    oracle = diffusers.models.attention.FeedForward(8, activation_fn="geglu")
    ours = load(
        UNET,
        randomized(oracle),
        lambda rngs: FeedForward(8, rngs=rngs),
        inside="mid_block.attentions.0.transformer_blocks.0.ff.",
    )
    x = pictures()
    assert_close(ours(x), oracle(torch.tensor(np.array(x))), LAYER)
