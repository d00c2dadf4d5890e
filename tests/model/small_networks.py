"""A denoiser of two levels with motion, its encoder, and inputs."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.config import MotionConfig, UNetConfig
from tpc_jax.model.reference_unet import AppearanceEncoder
from tpc_jax.model.unet import UNet, token_grids

CONFIG = UNetConfig(
    in_channels=3,
    out_channels=3,
    block_out_channels=(8, 12),
    layers_per_block=1,
    attention_levels=(True, False),
    num_heads=2,
    cross_attention_dim=None,
    norm_num_groups=4,
    motion=MotionConfig(num_heads=2, norm_num_groups=4, max_frames=6),
)
WITH_CONTEXT = dataclasses.replace(
    CONFIG, block_out_channels=(8,), attention_levels=(True,), cross_attention_dim=8, motion=None
)
BATCH, FRAMES, SIZE = 2, 3, (4, 6)
HIDDEN, SHOWN = jnp.uint32(0), jnp.uint32(1)


def normal(seed: int, *shape: int):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@functools.cache
def unet(config: UNetConfig = CONFIG) -> P.Network:
    return P.abstract(UNet, config)


@functools.cache
def encoder(config: UNetConfig = CONFIG) -> P.Network:
    return P.abstract(AppearanceEncoder, config)


def numbers(network: P.Network, seed: int = 0) -> P.Params:
    """Return random parameters, with no zeros in the layers that start at zero."""
    leaves, tree = jax.tree.flatten(network.spec)
    inputs = (max(1, leaf.size // leaf.shape[-1]) for leaf in leaves)
    values = (normal(seed + index, *leaf.shape) for index, leaf in enumerate(leaves))
    return tree.unflatten([v / n**0.5 for v, n in zip(values, inputs, strict=True)])


LATENTS = normal(1, BATCH, FRAMES, *SIZE, 3)
TIMES = jnp.array([500.0, 20.0])
POSE = normal(2, BATCH, FRAMES, *SIZE, 8)


def references(bits=SHOWN) -> tuple[ReferenceTokens, ...]:
    """Return one shared part for every transformer, with the same bits for all its keys."""
    grids = token_grids(CONFIG, *SIZE)
    widths = [CONFIG.block_out_channels[0 if grid == SIZE else 1] for grid in grids]
    parts = []
    for index, ((height, width), channels) in enumerate(zip(grids, widths, strict=True)):
        tokens = height * width
        parts.append(
            ReferenceTokens(
                (normal(index, BATCH, 1, tokens, channels),),
                (jnp.full((BATCH, 1, tokens), bits),),
                jnp.full((BATCH, FRAMES, tokens), SHOWN),
            )
        )
    return tuple(parts)
