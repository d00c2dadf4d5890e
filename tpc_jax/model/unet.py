"""The denoiser: a Stable Diffusion UNet over frames that reads reference features."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.blocks import Conditions, DownBlock, MidBlock, UpBlock
from tpc_jax.model.config import UNetConfig
from tpc_jax.model.layers import (
    RESNET_EPS,
    TimeEmbedding,
    conv3x3,
    grid_features,
    group_norm,
    make_group_norm,
)


class DownTrunk(nnx.Module):
    """The layers down to the mid block: all that a ControlNet has in common with a UNet.

    Transformers count in execution order (down, mid, up); reference features and references are
    tuples in this order, with None where nothing is read.
    """

    def __init__(self, config: UNetConfig, *, rngs: nnx.Rngs):
        widths = config.block_out_channels
        levels = range(len(widths))
        self.config = config
        self.conv_in = conv3x3(config.in_channels, widths[0], rngs=rngs)
        if config.position_grid is not None:
            table = grid_features(config.position_grid, widths[0])
            self.position_table = nnx.Param(jnp.asarray(table))
        self.time_embedding = TimeEmbedding(widths[0], rngs=rngs)
        self.down_blocks = nnx.List(
            [DownBlock(widths[max(level - 1, 0)], level, config, rngs=rngs) for level in levels]
        )
        self.mid_block = MidBlock(config, rngs=rngs)

    def _enter(self, latents: Float[Array, "images h w c"]) -> Float[Array, "images h w channels"]:
        """Apply the first convolution and tell each position where it is."""
        x = self.conv_in(latents)
        grid = self.config.position_grid
        if grid is None:
            return x
        if x.shape[1:3] != grid:
            raise ValueError(f"latents must have size {grid}, got {x.shape[1:3]}")
        return x + self.position_table[...]

    def _descend(
        self,
        x: Float[Array, "images h w channels"],
        conditions: Conditions,
        references: Sequence[ReferenceTokens | None] | None = None,
    ):
        """Return the skips and the normed tokens of the down blocks.

        `references` has one entry per transformer on the way; None reads nothing.

        Raises:
            ValueError: Context is missing or surplus.
        """
        if (conditions.context is None) != (self.config.cross_attention_dim is None):
            wanted = self.config.cross_attention_dim
            raise ValueError(f"context must be given exactly if cross_attention_dim ({wanted}) is")
        skips, normed = [x], []
        shares = _shares(self.down_blocks, references)
        for block, share in zip(self.down_blocks, shares, strict=True):
            x, new_skips, tokens = block(x, conditions, share)
            skips += new_skips
            normed += tokens
        return skips, normed


def _shares(blocks, references: Sequence[ReferenceTokens | None] | None):
    """Return what each of the blocks reads, one entry per transformer."""
    ends = np.cumsum([block.num_transformers for block in blocks])
    references = (None,) * ends[-1] if references is None else references
    return [
        references[end - block.num_transformers : end]
        for block, end in zip(blocks, ends, strict=True)
    ]


class UNetTrunk(DownTrunk):
    """All layers that the denoiser and the appearance encoder have in common."""

    def __init__(self, config: UNetConfig, *, rngs: nnx.Rngs):
        super().__init__(config, rngs=rngs)
        widths = config.block_out_channels
        skips = skip_channels(config)
        self.up_blocks = nnx.List()
        for level in reversed(range(len(widths))):
            count = config.layers_per_block + 1
            block = UpBlock(
                widths[min(level + 1, len(widths) - 1)],
                skips[::-1][:count],
                level,
                config,
                rngs=rngs,
            )
            skips = skips[:-count]
            self.up_blocks.append(block)

    def _ascend(
        self,
        skips: Sequence[Float[Array, "images _h _w _channels"]],
        conditions: Conditions,
        references: Sequence[ReferenceTokens | None] | None = None,
        residuals: Sequence[Float[Array, "images _h _w _channels"]] = (),
    ):
        """Return the last pictures and the normed tokens of the mid and up blocks.

        `references` are as on the way down; `residuals` are added to the skips, and the last one to
        the mid block's output, after the complete down pass (ControlNet).
        """
        mid, *shares = _shares([self.mid_block, *self.up_blocks], references)
        x, normed = self.mid_block(skips[-1], conditions, mid)
        if residuals:
            *skip_residuals, mid_residual = residuals
            skips = [s + r.astype(s.dtype) for s, r in zip(skips, skip_residuals, strict=True)]
            x = x + mid_residual.astype(x.dtype)
        for block, share in zip(self.up_blocks, shares, strict=True):
            x, skips, tokens = block(x, skips, conditions, share)
            normed += tokens
        return x, normed


def skip_channels(config: UNetConfig) -> list[int]:
    """Return the width of each skip connection in the order in which they are made."""
    widths = [config.block_out_channels[0]]
    for level, width in enumerate(config.block_out_channels):
        is_last = level == len(config.block_out_channels) - 1
        widths += [width] * (config.layers_per_block + (0 if is_last else 1))
    return widths


def num_transformers(config: UNetConfig) -> tuple[int, int, int]:
    """Return how many spatial transformers the down, mid and up paths have."""
    levels = sum(config.attention_levels)
    return levels * config.layers_per_block, 1, levels * (config.layers_per_block + 1)


def reading_transformers(config: UNetConfig) -> tuple[bool, ...]:
    """Tell for each transformer in execution order whether it reads reference features."""
    down, mid, up = num_transformers(config)
    return (config.reads == "full",) * down + (True,) * (mid + up)


class UNet(UNetTrunk):
    """The denoiser."""

    def __init__(self, config: UNetConfig, *, rngs: nnx.Rngs):
        super().__init__(config, rngs=rngs)
        width = config.block_out_channels[0]
        self.conv_norm_out = make_group_norm(
            width, config.norm_num_groups, eps=RESNET_EPS, rngs=rngs
        )
        self.conv_out = conv3x3(width, config.out_channels, rngs=rngs)

    def __call__(
        self,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        *,
        context: Float[Array, "batch *frames ctx_tokens ctx_channels"] | None = None,
        pose: Float[Array, "batch frames h w pose_channels"] | None = None,
        references: Sequence[ReferenceTokens | None] | None = None,
        residuals: Sequence[Float[Array, "images _h _w _channels"]] = (),
    ) -> Float[Array, "batch frames h w out_channels"]:
        """Predict noise, velocity or sample of a window of frames.

        Args:
            latents: Noisy latents.
            timesteps: Training indices 0...999, one per batch row.
            context: Tokens for cross-attention, shared by the frames of a row or one set each.
            pose: Features of the pose net, added to the output of the first convolution.
            references: What each transformer reads beside its own tokens, in execution order;
                None reads nothing (the unconditional half of guidance).
            residuals: ControlNet residuals of every skip and of the mid block, per image.

        Returns:
            The prediction, in the dtype of the weights.

        Raises:
            ValueError: There is not one entry of `references` per transformer, or context is
                missing or surplus.

        Source: diffusers `UNet2DConditionModel`; MagicAnimate `unet_controlnet.py`.
        """
        down, up = self._halves(references)
        x, conditions = self._begin(latents, timesteps, context, pose)
        skips, _ = self._descend(x, conditions, down)
        return self._finish(latents, skips, conditions, up, residuals)

    def without_and_with(
        self,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        *,
        context: Float[Array, "batch *frames ctx_tokens ctx_channels"] | None = None,
        pose: Float[Array, "batch frames h w pose_channels"] | None = None,
        references: Sequence[ReferenceTokens | None],
        residuals: Sequence[Float[Array, "images _h _w _channels"]] = (),
    ) -> tuple[
        Float[Array, "batch frames h w out_channels"], Float[Array, "batch frames h w out_channels"]
    ]:
        """Predict twice from the same inputs: without references and with them.

        The results are those of two calls. Down blocks that read nothing (MagicAnimate's) run
        once: the two rows of guidance differ by what the mid block and the up blocks read.

        Args:
            latents: Noisy latents.
            timesteps: Training indices 0...999, one per batch row.
            context: As in `__call__`, for both predictions.
            pose: As in `__call__`.
            references: As in `__call__`, for the second prediction.
            residuals: As in `__call__`, for both predictions.

        Raises:
            ValueError: As `__call__`.
        """
        down, up = self._halves(references)
        x, conditions = self._begin(latents, timesteps, context, pose)
        skips, _ = self._descend(x, conditions)
        reads = any(part is not None for part in down)
        other = self._descend(x, conditions, down)[0] if reads else skips
        return (
            self._finish(latents, skips, conditions, None, residuals),
            self._finish(latents, other, conditions, up, residuals),
        )

    def attention_weights(
        self,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        image: int,
        points: Float[np.ndarray, "points 2"],
        *,
        context: Float[Array, "batch ctx_tokens ctx_channels"] | None = None,
        pose: Float[Array, "batch frames h w pose_channels"] | None = None,
        references: Sequence[ReferenceTokens | None],
        residuals: Sequence[Float[Array, "images _h _w _channels"]] = (),
    ) -> tuple[tuple[Float[Array, "points _keys"], ...] | None, ...]:
        """Return what a few points of one frame attend to, without all other weights.

        Args:
            latents: As in `__call__`.
            timesteps: As in `__call__`.
            image: Number of the frame among batch times frames.
            points: (x, y) as shares of the frame's width and height, in [0, 1).
            context: As in `__call__`.
            pose: As in `__call__`.
            references: As in `__call__`.
            residuals: As in `__call__`.

        Returns:
            Per transformer in execution order the weights of `Attention.weights`, or None where
            nothing is read.
        """
        read_down, read_up = self._halves(references)
        x, conditions = self._begin(latents, timesteps, context, pose)
        skips, down = self._descend(x, conditions, read_down)
        _, up = self._ascend(skips, conditions, read_up, residuals)
        grids = token_grids(self.config, *latents.shape[2:4])
        weights = []
        for layer, tokens, read, (height, width) in zip(
            self._self_attentions(), [*down, *up], references, grids, strict=True
        ):
            cells = (np.asarray(points) * [width, height]).astype(int)
            queries = jnp.asarray(cells[:, 1] * width + cells[:, 0])
            weights.append(None if read is None else layer.weights(tokens, read, image, queries))
        return tuple(weights)

    def _self_attentions(self):
        """Return the self-attention of each transformer in execution order."""
        blocks = [*self.down_blocks, self.mid_block, *self.up_blocks]
        return [
            transformer.transformer_blocks[0].attn1
            for block in blocks
            for transformer in getattr(block, "attentions", ())
        ]

    def _halves(self, references: Sequence[ReferenceTokens | None] | None):
        """Return what is read on the way down, and in the mid block and on the way up."""
        if references is None:
            return None, None
        down, mid, up = num_transformers(self.config)
        if len(references) != down + mid + up:
            raise ValueError(
                f"references must have {down + mid + up} entries, got {len(references)}"
            )
        return references[:down], references[down:]

    def _begin(self, latents, timesteps, context, pose):
        """Return the first pictures and what all layers share."""
        frames = latents.shape[1]
        dtype = self.conv_in.kernel.dtype
        x = self._enter(_fold(latents).astype(dtype))
        if pose is not None:
            x = x + _fold(pose).astype(dtype)
        if context is not None:
            context = context.astype(dtype)
            has_own = context.ndim == 4
            context = _fold(context) if has_own else jnp.repeat(context, frames, axis=0)
        conditions = Conditions(
            time=jnp.repeat(self.time_embedding(timesteps), frames, axis=0),
            context=context,
            num_frames=frames,
            pooled_frames=frames if self.config.norm_over_frames else 1,
        )
        return x, conditions

    def _finish(self, latents, skips, conditions, references, residuals):
        x, _ = self._ascend(skips, conditions, references, residuals)
        x = group_norm(self.conv_norm_out, x, conditions.pooled_frames)
        x = self.conv_out(jax.nn.silu(x))
        return x.reshape(*latents.shape[:2], *x.shape[1:])


def _fold(x):
    return x.reshape(-1, *x.shape[2:])


def token_grids(config: UNetConfig, height: int, width: int) -> tuple[tuple[int, int], ...]:
    """Return the token grid of each transformer in execution order, for latents of a given size."""
    grids = [(height, width)]
    for _ in config.block_out_channels[1:]:
        height, width = -(-height // 2), -(-width // 2)
        grids.append((height, width))
    levels = [level for level, has in enumerate(config.attention_levels) if has]
    down = [grids[level] for level in levels for _ in range(config.layers_per_block)]
    up = [grids[level] for level in reversed(levels) for _ in range(config.layers_per_block + 1)]
    return (*down, grids[-1], *up)
