"""What the feature networks share: exact convolutions, frozen norms, pools with torch's borders.

Every `shrink` divides the published channel counts: tests run whole networks at a small size.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

Padding = str | int | Sequence[tuple[int, int]]


def shrunk(channels: int, shrink: int) -> int:
    """Divide a channel count, down to one channel at least."""
    return max(1, channels // shrink)


def convolution(
    in_channels: int,
    channels: int,
    kernel: tuple[int, ...],
    *,
    stride: int | tuple[int, ...] = 1,
    padding: Padding = 0,
    use_bias: bool = False,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """Build a convolution in full float32, which accelerators do only when asked to."""
    return nnx.Conv(
        in_channels,
        channels,
        kernel,
        strides=stride,
        padding=padding,
        use_bias=use_bias,
        precision=lax.Precision.HIGHEST,
        rngs=rngs,
    )


def frozen_norm(channels: int, epsilon: float, *, rngs: nnx.Rngs) -> nnx.BatchNorm:
    """Build a batch norm that always uses its stored statistics."""
    return nnx.BatchNorm(channels, use_running_average=True, epsilon=epsilon, rngs=rngs)


class ConvNorm(nnx.Module):
    """A convolution without bias, a frozen norm and a rectifier, in two dimensions."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: tuple[int, int],
        *,
        stride: int = 1,
        padding: Padding = 0,
        epsilon: float,
        rngs: nnx.Rngs,
    ):
        self.conv = convolution(
            in_channels, channels, kernel, stride=stride, padding=padding, rngs=rngs
        )
        self.bn = frozen_norm(channels, epsilon, rngs=rngs)

    def __call__(self, x: Float[Array, "images h w c"]) -> Float[Array, "images h2 w2 c2"]:
        """Transform the pictures."""
        return jax.nn.relu(self.bn(self.conv(x)))


def max_pool(
    x: Float[Array, "batch *space channels"],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Sequence[tuple[int, int]] | None = None,
) -> Float[Array, "batch *space2 channels"]:
    """Take the maximum of windows; a border never wins, incomplete windows at the end are cut."""
    # Flax's types know only borders with a name.
    pads: Any = padding or [(0, 0)] * len(window)
    return nnx.max_pool(x, window, strides=strides, padding=pads)


def zero_bordered_max_pool(
    x: Float[Array, "batch *space channels"], window: tuple[int, ...], strides: tuple[int, ...]
) -> Float[Array, "batch *space2 channels"]:
    """Take the maximum of windows over TensorFlow's `SAME` extent, with zeros in the border.

    Unlike TensorFlow's own pool, which ignores the border, a window at the edge that holds only
    negative values gives zero.

    Source: `MaxPool3dSamePadding` of the published I3D in PyTorch.
    """
    pads = lax.padtype_to_pads(x.shape[1:-1], window, strides, "SAME")
    bordered = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    return nnx.max_pool(bordered, window, strides=strides, padding="VALID")


def inner_average_pool(x: Float[Array, "images h w c"]) -> Float[Array, "images h w c"]:
    """Average 3x3 windows at stride 1 over those of their pixels that lie inside the picture."""
    # Flax's types know only borders with a name.
    pads: Any = ((1, 1), (1, 1))
    return nnx.avg_pool(x, (3, 3), strides=(1, 1), padding=pads, count_include_pad=False)
