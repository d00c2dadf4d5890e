"""I3D on RGB frames, the network behind FVD."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.metrics.networks.layers import (
    convolution,
    frozen_norm,
    shrunk,
    zero_bordered_max_pool,
)

_EPSILON = 1e-3
_SPATIAL_POOL = ((1, 3, 3), (1, 2, 2))
_POOL = ((3, 3, 3), (2, 2, 2))
_SMALL_POOL = ((2, 2, 2), (2, 2, 2))
# Channels of b0, b1a, b1b, b2a, b2b, b3b.
Widths = tuple[int, int, int, int, int, int]
_LAYERS: tuple[tuple[str, tuple], ...] = (
    ("Conv3d_1a_7x7", (64, 7, 2)),
    ("MaxPool3d_2a_3x3", _SPATIAL_POOL),
    ("Conv3d_2b_1x1", (64, 1, 1)),
    ("Conv3d_2c_3x3", (192, 3, 1)),
    ("MaxPool3d_3a_3x3", _SPATIAL_POOL),
    ("Mixed_3b", (64, 96, 128, 16, 32, 32)),
    ("Mixed_3c", (128, 128, 192, 32, 96, 64)),
    ("MaxPool3d_4a_3x3", _POOL),
    ("Mixed_4b", (192, 96, 208, 16, 48, 64)),
    ("Mixed_4c", (160, 112, 224, 24, 64, 64)),
    ("Mixed_4d", (128, 128, 256, 24, 64, 64)),
    ("Mixed_4e", (112, 144, 288, 32, 64, 64)),
    ("Mixed_4f", (256, 160, 320, 32, 128, 128)),
    ("MaxPool3d_5a_2x2", _SMALL_POOL),
    ("Mixed_5b", (256, 160, 320, 32, 128, 128)),
    ("Mixed_5c", (384, 192, 384, 48, 128, 128)),
)


class Unit3D(nnx.Module):
    """A convolution with TensorFlow's `SAME` border, a frozen norm and a rectifier."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: tuple[int, int, int] = (1, 1, 1),
        stride: tuple[int, int, int] = (1, 1, 1),
        *,
        rngs: nnx.Rngs,
    ):
        self.conv3d = convolution(
            in_channels, channels, kernel, stride=stride, padding="SAME", rngs=rngs
        )
        self.bn = frozen_norm(channels, _EPSILON, rngs=rngs)

    def __call__(self, x: Float[Array, "clips t h w c"]) -> Float[Array, "clips t2 h2 w2 c2"]:
        """Transform the clips."""
        return jax.nn.relu(self.bn(self.conv3d(x)))


class MixedBlock(nnx.Module):
    """Four branches over one input, concatenated."""

    def __init__(self, in_channels: int, widths: Widths, *, rngs: nnx.Rngs):
        cube = (3, 3, 3)
        self.b0 = Unit3D(in_channels, widths[0], rngs=rngs)
        self.b1a = Unit3D(in_channels, widths[1], rngs=rngs)
        self.b1b = Unit3D(widths[1], widths[2], cube, rngs=rngs)
        self.b2a = Unit3D(in_channels, widths[3], rngs=rngs)
        self.b2b = Unit3D(widths[3], widths[4], cube, rngs=rngs)
        self.b3b = Unit3D(in_channels, widths[5], rngs=rngs)

    def __call__(self, x: Float[Array, "clips t h w c"]) -> Float[Array, "clips t h w c2"]:
        """Transform the clips."""
        pooled = zero_bordered_max_pool(x, (3, 3, 3), (1, 1, 1))
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x)), self.b3b(pooled)]
        return jnp.concatenate(branches, axis=-1)


class _Logits(nnx.Module):
    """The classifier, a pointwise convolution with bias."""

    def __init__(self, in_channels: int, classes: int, *, rngs: nnx.Rngs):
        self.conv3d = convolution(in_channels, classes, (1, 1, 1), use_bias=True, rngs=rngs)


class I3D(nnx.Module):
    """Clips of 224x224 in [-1, 1] to the 400 logits of Kinetics, before softmax.

    Source: the network that DisCo's FVD loads; matched to a torch re-statement.
    """

    def __init__(self, shrink: int = 1, *, rngs: nnx.Rngs):
        width = 3
        for name, spec in _LAYERS:
            if name.startswith("Conv"):
                channels, size, stride = shrunk(spec[0], shrink), *spec[1:]
                layer = Unit3D(width, channels, (size,) * 3, (stride,) * 3, rngs=rngs)
                width = channels
            elif name.startswith("Mixed"):
                b0, b1a, b1b, b2a, b2b, b3b = (shrunk(channels, shrink) for channels in spec)
                layer = MixedBlock(width, (b0, b1a, b1b, b2a, b2b, b3b), rngs=rngs)
                width = b0 + b1b + b2b + b3b
            else:
                continue
            setattr(self, name, layer)
        self.logits = _Logits(width, shrunk(400, shrink), rngs=rngs)

    def __call__(
        self, clips: Float[Array, "clips frames height width 3"]
    ) -> Float[Array, "clips features"]:
        """Return the logits averaged over time; clips may have any number of frames."""
        x = clips
        for name, spec in _LAYERS:
            x = (
                zero_bordered_max_pool(x, *spec)
                if name.startswith("MaxPool")
                else getattr(self, name)(x)
            )
        x = nnx.avg_pool(x, (1, 7, 7), strides=(1, 1, 1), padding="VALID")
        return jnp.mean(self.logits.conv3d(x), axis=(1, 2, 3))
