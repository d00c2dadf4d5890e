"""Down, mid and up blocks of the denoiser and of the appearance encoder.

Inside a layer the order is resnet, spatial transformer, motion module; the result after the
motion module is the skip connection.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.config import UNetConfig
from tpc_jax.model.layers import Downsample, ResnetBlock, Upsample
from tpc_jax.model.motion import TemporalTransformer
from tpc_jax.model.transformer import SpatialTransformer

# Only the number of images stays the same in a block: `_` says so to the type checks of the tests.
Pictures = Float[Array, "images _h _w _channels"]
Tokens = Float[Array, "images _tokens _channels"]


class Conditions(NamedTuple):
    """What every layer of one call shares.

    Attributes:
        time: Time embedding per picture.
        context: Tokens for cross-attention, or None.
        num_frames: Frames of a window; images are batch times frames, batch-major.
        pooled_frames: Frames over which resnet norms pool: `num_frames` or 1.
    """

    time: Float[Array, "images features"]
    context: Float[Array, "images ctx_tokens ctx_channels"] | None
    num_frames: int
    pooled_frames: int


def make_resnet(in_channels: int, out_channels: int, config: UNetConfig, rngs: nnx.Rngs):
    """Build a resnet with the denoiser's time embedding."""
    return ResnetBlock(
        in_channels,
        out_channels,
        num_groups=config.norm_num_groups,
        time_features=4 * config.block_out_channels[0],
        is_temporal=config.temporal,
        rngs=rngs,
    )


def make_transformer(channels: int, config: UNetConfig, rngs: nnx.Rngs) -> SpatialTransformer:
    """Build a spatial transformer of the denoiser."""
    return SpatialTransformer(
        channels,
        num_heads=config.num_heads,
        context_channels=config.cross_attention_dim,
        num_groups=config.norm_num_groups,
        is_temporal=config.temporal,
        rngs=rngs,
    )


class _LayeredBlock(nnx.Module):
    """A sequence of layers: resnet, optional transformer, optional motion module."""

    def _build(self, widths: Sequence[tuple[int, int]], level: int, config: UNetConfig, rngs):
        self.has_attention = config.attention_levels[level]
        out_channels = widths[0][1]
        self.resnets = nnx.List([make_resnet(i, o, config, rngs) for i, o in widths])
        if self.has_attention:
            self.attentions = nnx.List(
                [make_transformer(out_channels, config, rngs) for _ in widths]
            )
        self.has_motion = config.motion is not None
        if config.motion is not None:
            self.motion_modules = nnx.List(
                [TemporalTransformer(out_channels, config.motion, rngs=rngs) for _ in widths]
            )

    @property
    def num_transformers(self) -> int:
        """How many entries of the references this block takes."""
        return len(self.resnets) if self.has_attention else 0

    def _layer(
        self, index: int, x: Pictures, conditions: Conditions, reference: ReferenceTokens | None
    ) -> tuple[Pictures, Tokens | None]:
        x = self.resnets[index](x, conditions.time, conditions.pooled_frames)
        normed = None
        if self.has_attention:
            transformer = self.attentions[index]
            x, normed = transformer(x, conditions.context, reference, conditions.num_frames)
        if self.has_motion:
            x = self.motion_modules[index](x, conditions.num_frames)
        return x, normed


class DownBlock(_LayeredBlock):
    """Layers at one level, then halving unless it is the coarsest."""

    def __init__(self, in_channels: int, level: int, config: UNetConfig, *, rngs: nnx.Rngs):
        out_channels = config.block_out_channels[level]
        widths = [(in_channels, out_channels)]
        widths += [(out_channels, out_channels)] * (config.layers_per_block - 1)
        self._build(widths, level, config, rngs)
        self.has_downsampler = level < len(config.block_out_channels) - 1
        if self.has_downsampler:
            self.downsamplers = nnx.List([Downsample(out_channels, rngs=rngs)])

    def __call__(
        self, x: Pictures, conditions: Conditions, references: Sequence[ReferenceTokens | None]
    ) -> tuple[Pictures, list[Pictures], list[Tokens]]:
        """Return the pictures, the skips and the normed tokens of each transformer."""
        skips, normed = [], []
        for index in range(len(self.resnets)):
            reference = references[index] if self.has_attention else None
            x, tokens = self._layer(index, x, conditions, reference)
            skips.append(x)
            normed += [] if tokens is None else [tokens]
        if self.has_downsampler:
            x = self.downsamplers[0](x)
            skips.append(x)
        return x, skips, normed


class MidBlock(nnx.Module):
    """Resnet, transformer, optional motion module, resnet at the coarsest level."""

    num_transformers = 1

    def __init__(self, config: UNetConfig, *, rngs: nnx.Rngs):
        channels = config.block_out_channels[-1]
        self.resnets = nnx.List([make_resnet(channels, channels, config, rngs) for _ in range(2)])
        self.attentions = nnx.List([make_transformer(channels, config, rngs)])
        self.has_motion = config.motion is not None and config.motion.use_mid_block
        if self.has_motion:
            self.motion_modules = nnx.List(
                [TemporalTransformer(channels, config.motion, rngs=rngs)]
            )

    def __call__(
        self, x: Pictures, conditions: Conditions, references: Sequence[ReferenceTokens | None]
    ) -> tuple[Pictures, list[Tokens]]:
        """Return the pictures and the normed tokens of the transformer."""
        x = self.resnets[0](x, conditions.time, conditions.pooled_frames)
        transformer = self.attentions[0]
        x, normed = transformer(x, conditions.context, references[0], conditions.num_frames)
        if self.has_motion:
            x = self.motion_modules[0](x, conditions.num_frames)
        return self.resnets[1](x, conditions.time, conditions.pooled_frames), [normed]


class UpBlock(_LayeredBlock):
    """Layers at one level, each fed with a skip, then doubling unless it is the finest."""

    def __init__(
        self,
        in_channels: int,
        skip_channels: Sequence[int],
        level: int,
        config: UNetConfig,
        *,
        rngs: nnx.Rngs,
    ):
        out_channels = config.block_out_channels[level]
        inputs = [in_channels] + [out_channels] * (len(skip_channels) - 1)
        widths = [(i + s, out_channels) for i, s in zip(inputs, skip_channels, strict=True)]
        self._build(widths, level, config, rngs)
        self.has_upsampler = level > 0
        if self.has_upsampler:
            self.upsamplers = nnx.List([Upsample(out_channels, rngs=rngs)])

    def __call__(
        self,
        x: Pictures,
        skips: list[Pictures],
        conditions: Conditions,
        references: Sequence[ReferenceTokens | None],
    ) -> tuple[Pictures, list[Pictures], list[Tokens]]:
        """Return the pictures, the skips that are left and the normed tokens."""
        normed = []
        for index in range(len(self.resnets)):
            x = jnp.concatenate([x, skips[-1]], axis=-1)
            skips = skips[:-1]
            reference = references[index] if self.has_attention else None
            x, tokens = self._layer(index, x, conditions, reference)
            normed += [] if tokens is None else [tokens]
        if self.has_upsampler:
            height, width = skips[-1].shape[1:3]
            x = self.upsamplers[0](x, (height, width))
        return x, skips, normed
