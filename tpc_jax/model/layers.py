"""Norms, convolutions and embeddings with the defaults of the published PyTorch networks."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

RESNET_EPS = 1e-5
TRANSFORMER_EPS = 1e-6
LAYER_NORM_EPS = 1e-5


def conv3x3(in_channels: int, out_channels: int, *, stride: int = 1, rngs: nnx.Rngs, **kwargs):
    """Build a 3x3 convolution with torch's symmetric padding of one pixel."""
    return nnx.Conv(
        in_channels, out_channels, (3, 3), strides=stride, padding=1, rngs=rngs, **kwargs
    )


def conv1x1(in_channels: int, out_channels: int, *, rngs: nnx.Rngs, **kwargs) -> nnx.Conv:
    """Build a pointwise convolution."""
    return nnx.Conv(in_channels, out_channels, (1, 1), rngs=rngs, **kwargs)


def make_group_norm(channels: int, num_groups: int, *, eps: float, rngs: nnx.Rngs) -> nnx.GroupNorm:
    """Build a group norm whose variance is the mean squared distance from the mean.

    Flax's default, the difference of two means, loses digits where the mean is large against the
    spread, as in pictures with wide margins of one colour.
    """
    return nnx.GroupNorm(channels, num_groups, epsilon=eps, use_fast_variance=False, rngs=rngs)


def make_layer_norm(channels: int, *, eps: float = LAYER_NORM_EPS, rngs: nnx.Rngs) -> nnx.LayerNorm:
    """Build a layer norm, with the variance as in `make_group_norm`."""
    return nnx.LayerNorm(channels, epsilon=eps, use_fast_variance=False, rngs=rngs)


def timestep_features(
    timesteps: Float[Array, " batch"], size: int
) -> Float[Array, "batch features"]:
    """Return sinusoidal features of training timesteps, cosine half first, in float32.

    Args:
        timesteps: Training indices 0...999.
        size: Number of features, even.

    Source: diffusers `Timesteps(flip_sin_to_cos=True, downscale_freq_shift=0)`.
    """
    half = size // 2
    frequencies = jnp.exp(-math.log(10000.0) * jnp.arange(half, dtype=jnp.float32) / half)
    angles = timesteps.astype(jnp.float32)[:, None] * frequencies[None, :]
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=-1)


def grid_features(size: tuple[int, int], channels: int) -> Float[np.ndarray, "h w channels"]:
    """Return sinusoidal features of the cells of a grid: sine and cosine of y, then of x.

    Wavelengths run from 6 to 100 cells, so that each cell differs clearly from its neighbours.
    """
    frequency = 16.0 ** -np.linspace(0.0, 1.0, channels // 4)
    angles = np.stack(np.indices(size), axis=-1)[..., None] * frequency
    features = np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
    return features.reshape(*size, channels).astype(np.float32)


class TimeEmbedding(nnx.Module):
    """Two linear layers over the sinusoidal features of the timestep."""

    def __init__(self, in_features: int, *, rngs: nnx.Rngs):
        self.in_features = in_features
        self.linear_1 = nnx.Linear(in_features, 4 * in_features, rngs=rngs)
        self.linear_2 = nnx.Linear(4 * in_features, 4 * in_features, rngs=rngs)

    def __call__(self, timesteps: Float[Array, " batch"]) -> Float[Array, "batch features"]:
        """Embed timesteps; the sinusoids are float32 whatever the dtype of the weights."""
        features = timestep_features(timesteps, self.in_features)
        return self.linear_2(
            jax.nn.silu(self.linear_1(features.astype(self.linear_1.kernel.dtype)))
        )


class ResnetBlock(nnx.Module):
    """Two convolutions with norms, an optional time shift and a residual connection.

    A temporal one adds a convolution over the pooled frames, at each position, in front of the
    residual connection.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        num_groups: int,
        eps: float = RESNET_EPS,
        time_features: int | None = None,
        is_temporal: bool = False,
        rngs: nnx.Rngs,
    ):
        self.norm1 = make_group_norm(in_channels, num_groups, eps=eps, rngs=rngs)
        self.conv1 = conv3x3(in_channels, out_channels, rngs=rngs)
        if time_features is not None:
            self.time_emb_proj = nnx.Linear(time_features, out_channels, rngs=rngs)
        self.norm2 = make_group_norm(out_channels, num_groups, eps=eps, rngs=rngs)
        self.conv2 = conv3x3(out_channels, out_channels, rngs=rngs)
        self.is_temporal = is_temporal
        if is_temporal:
            self.tem_norm = make_group_norm(out_channels, num_groups, eps=eps, rngs=rngs)
            self.tem_conv = nnx.Conv(
                out_channels, out_channels, (3,), padding=1,
                kernel_init=nnx.initializers.zeros, rngs=rngs,
            )  # fmt: skip
        self.has_shortcut = in_channels != out_channels
        if self.has_shortcut:
            self.conv_shortcut = conv1x1(in_channels, out_channels, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "images height width channels"],
        time: Float[Array, "images features"] | None = None,
        pooled_frames: int = 1,
    ) -> Float[Array, "images height width out_channels"]:
        """Transform the pictures; norms pool over runs of `pooled_frames` pictures."""
        hidden = self.conv1(jax.nn.silu(group_norm(self.norm1, x, pooled_frames)))
        if time is not None:
            hidden = hidden + self.time_emb_proj(jax.nn.silu(time))[:, None, None, :]
        hidden = self.conv2(jax.nn.silu(group_norm(self.norm2, hidden, pooled_frames)))
        if self.is_temporal:
            normed = jax.nn.silu(group_norm(self.tem_norm, hidden, pooled_frames))
            mixed = self.tem_conv(frames_inside(normed, pooled_frames))
            hidden = hidden + frames_outside(mixed, hidden.shape)
        return hidden + (self.conv_shortcut(x) if self.has_shortcut else x)


def group_norm(
    norm: nnx.GroupNorm, x: Float[Array, "images *space channels"], pooled_frames: int = 1
) -> Float[Array, "images *space channels"]:
    """Normalise each picture, or each run of `pooled_frames` consecutive pictures together."""
    if pooled_frames == 1:
        return norm(x)
    grouped = x.reshape(-1, pooled_frames, *x.shape[1:])
    return norm(grouped).reshape(x.shape)


def frames_inside(
    x: Float[Array, "images *space channels"], num_frames: int
) -> Float[Array, "positions frames channels"]:
    """Return the run of frames at each position of each window."""
    windows = x.reshape(-1, num_frames, math.prod(x.shape[1:-1]), x.shape[-1])
    return windows.swapaxes(1, 2).reshape(-1, num_frames, x.shape[-1])


def frames_outside(
    x: Float[Array, "positions frames channels"], shape: tuple[int, ...]
) -> Float[Array, "images *space channels"]:
    """Undo `frames_inside` of an array of that shape."""
    windows = x.reshape(-1, math.prod(shape[1:-1]), *x.shape[1:])
    return windows.swapaxes(1, 2).reshape(shape)


class Downsample(nnx.Module):
    """Halve the size by a strided convolution, padded on both sides."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        self.conv = conv3x3(channels, channels, stride=2, rngs=rngs)

    def __call__(self, x: Float[Array, "images h w c"]) -> Float[Array, "images h2 w2 c"]:
        """Return the pictures at ceil(size / 2)."""
        return self.conv(x)


class Upsample(nnx.Module):
    """Double the size by repetition, then convolve."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        self.conv = conv3x3(channels, channels, rngs=rngs)

    def __call__(
        self, x: Float[Array, "images h w c"], size: tuple[int, int]
    ) -> Float[Array, "images h2 w2 c"]:
        """Return the pictures at `size`, which is twice the old size or one less."""
        return self.conv(_doubled(x, size))


class UpsampleInPhases(nnx.Module):
    """`Upsample` with 4 instead of 9 products per value; equal up to rounding.

    Row 2i of the repeated picture is convolved with rows i - 1, i and i of the picture, row 2i + 1
    with i, i and i + 1, and columns likewise. Hence each of the four phases is a convolution of
    2 x 2 cells, whose kernel sums what meets the same cell.
    """

    def __init__(self, conv: nnx.Conv):
        self.conv = conv

    def __call__(
        self, x: Float[Array, "images h w c"], size: tuple[int, int]
    ) -> Float[Array, "images h2 w2 c"]:
        """Return the pictures at `size`, which is twice the old size or one less."""
        if size != (2 * x.shape[1], 2 * x.shape[2]):  # the last cells meet what is cut off
            return self.conv(_doubled(x, size))
        rows = [
            jnp.stack(
                [_phase(x, kernel, row, col) for col, kernel in enumerate(_phase_kernels(half, 1))],
                axis=3,
            )
            for row, half in enumerate(_phase_kernels(self.conv.kernel[...], 0))
        ]
        return jnp.stack(rows, axis=2).reshape(len(x), *size, -1) + self.conv.bias[...]


def _doubled(x, size: tuple[int, int]):
    """Repeat each cell along both axes."""
    doubled = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    return doubled[:, : size[0], : size[1]]


def _phase_kernels(kernel, axis: int):
    """Return what an axis of three taps becomes for even and for odd places: two taps."""
    before, at, after = jnp.split(kernel, 3, axis)
    return (
        jnp.concatenate([before, at + after], axis),
        jnp.concatenate([before + at, after], axis),
    )


def _phase(x, kernel, row: int, col: int):
    """Convolve with two taps per axis: an even place meets the cell before, an odd one after."""
    padding = ((1 - row, row), (1 - col, col))
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
