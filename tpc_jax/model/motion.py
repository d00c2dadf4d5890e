"""Motion modules: attention over the frame axis at each position."""

import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.model.attention import Attention
from tpc_jax.model.config import MotionConfig
from tpc_jax.model.layers import TRANSFORMER_EPS, group_norm, make_group_norm, make_layer_norm
from tpc_jax.model.transformer import FeedForward


def position_table(max_frames: int, channels: int) -> Float[np.ndarray, "frames channels"]:
    """Return interleaved sine and cosine of the position inside the window, float32.

    Source: AnimateDiff's `PositionalEncoding`; recomputed, not stored in our checkpoints.
    """
    position = np.arange(max_frames)[:, None]
    frequency = np.exp(np.arange(0, channels, 2) * (-np.log(10000.0) / channels))
    table = np.zeros((max_frames, channels), np.float32)
    table[:, 0::2] = np.sin(position * frequency)
    table[:, 1::2] = np.cos(position * frequency)
    return table


class MotionBlock(nnx.Module):
    """Two temporal self-attentions and a feed-forward layer."""

    def __init__(self, channels: int, config: MotionConfig, *, rngs: nnx.Rngs):
        def norm():
            return make_layer_norm(channels, rngs=rngs)

        self.attention_blocks = nnx.List(
            [Attention(channels, num_heads=config.num_heads, rngs=rngs) for _ in range(2)]
        )
        self.norms = nnx.List([norm() for _ in range(2)])
        self.ff = FeedForward(channels, rngs=rngs)
        self.ff_norm = norm()

    def __call__(
        self,
        x: Float[Array, "sequences frames channels"],
        positions: Float[np.ndarray, "frames channels"],
    ) -> Float[Array, "sequences frames channels"]:
        """Mix the frames; positions join the normed input only, not the residual stream."""
        for attention, norm in zip(self.attention_blocks, self.norms, strict=True):
            x = x + attention(norm(x) + positions.astype(x.dtype))
        return x + self.ff(self.ff_norm(x))


class TemporalTransformer(nnx.Module):
    """Norm, projections and one motion block; the output projection starts at zero."""

    def __init__(self, channels: int, config: MotionConfig, *, rngs: nnx.Rngs):
        self.max_frames = config.max_frames
        self.norm = make_group_norm(
            channels, config.norm_num_groups, eps=TRANSFORMER_EPS, rngs=rngs
        )
        self.proj_in = nnx.Linear(channels, channels, rngs=rngs)
        self.transformer_blocks = nnx.List([MotionBlock(channels, config, rngs=rngs)])
        self.proj_out = nnx.Linear(
            channels, channels, kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(
        self, x: Float[Array, "images h w channels"], num_frames: int
    ) -> Float[Array, "images h w channels"]:
        """Mix the frames of each window at each position.

        Raises:
            ValueError: The window is longer than the position table.
        """
        if num_frames > self.max_frames:
            raise ValueError(f"window must have at most {self.max_frames} frames, got {num_frames}")
        height, width, channels = x.shape[1:]
        hidden = self.proj_in(group_norm(self.norm, x))
        hidden = hidden.reshape(-1, num_frames, height * width, channels).swapaxes(1, 2)
        sequences = hidden.reshape(-1, num_frames, channels)
        sequences = self.transformer_blocks[0](sequences, position_table(num_frames, channels))
        hidden = sequences.reshape(-1, height * width, num_frames, channels).swapaxes(1, 2)
        return self.proj_out(hidden.reshape(x.shape)) + x
