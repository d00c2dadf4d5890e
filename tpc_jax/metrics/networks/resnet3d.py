"""The 3-D ResNet-50 behind FID-VID."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.metrics.networks.layers import convolution, frozen_norm, max_pool, shrunk

_EPSILON = 1e-5
_EXPANSION = 4
# Planes, bottlenecks, and stride in time and space of each stage.
_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


class Bottleneck(nnx.Module):
    """1x1x1, 3x3x3 and 1x1x1 convolutions with a shortcut; the middle one strides."""

    def __init__(
        self,
        in_channels: int,
        planes: int,
        *,
        stride: int = 1,
        has_projection: bool = False,
        rngs: nnx.Rngs,
    ):
        channels, point = _EXPANSION * planes, (1, 1, 1)
        self.conv1 = convolution(in_channels, planes, point, rngs=rngs)
        self.bn1 = frozen_norm(planes, _EPSILON, rngs=rngs)
        self.conv2 = convolution(planes, planes, (3, 3, 3), stride=stride, padding=1, rngs=rngs)
        self.bn2 = frozen_norm(planes, _EPSILON, rngs=rngs)
        self.conv3 = convolution(planes, channels, point, rngs=rngs)
        self.bn3 = frozen_norm(channels, _EPSILON, rngs=rngs)
        self.has_projection = has_projection
        if has_projection:
            projection = convolution(in_channels, channels, point, stride=stride, rngs=rngs)
            self.downsample = nnx.List([projection, frozen_norm(channels, _EPSILON, rngs=rngs)])

    def __call__(self, x: Float[Array, "clips t h w c"]) -> Float[Array, "clips t2 h2 w2 c2"]:
        """Transform the clips."""
        hidden = jax.nn.relu(self.bn1(self.conv1(x)))
        hidden = jax.nn.relu(self.bn2(self.conv2(hidden)))
        hidden = self.bn3(self.conv3(hidden))
        shortcut = self.downsample[1](self.downsample[0](x)) if self.has_projection else x
        return jax.nn.relu(hidden + shortcut)


class ResNet3D(nnx.Module):
    """Segments of 16 frames of 112x112 to 2048 features.

    Source: the Kinetics network with shortcuts of type B that DisCo's FID-VID loads; matched to a
    torch re-statement.
    """

    def __init__(self, shrink: int = 1, *, rngs: nnx.Rngs):
        width = shrunk(_STAGES[0][0], shrink)
        self.conv1 = convolution(3, width, (7, 7, 7), stride=(1, 2, 2), padding=3, rngs=rngs)
        self.bn1 = frozen_norm(width, _EPSILON, rngs=rngs)
        for number, (published, count, stride) in enumerate(_STAGES, 1):
            planes, stage = shrunk(published, shrink), nnx.List()
            for index in range(count):
                is_first = index == 0
                block = Bottleneck(
                    *(width, planes),
                    stride=stride if is_first else 1,
                    has_projection=is_first,
                    rngs=rngs,
                )
                stage.append(block)
                width = _EXPANSION * planes
            setattr(self, f"layer{number}", stage)

    def __call__(
        self, clips: Float[Array, "clips frames height width 3"]
    ) -> Float[Array, "clips features"]:
        """Return features averaged over time and space."""
        x = jax.nn.relu(self.bn1(self.conv1(clips)))
        x = max_pool(x, (3, 3, 3), (2, 2, 2), [(1, 1)] * 3)
        for number in range(1, len(_STAGES) + 1):
            for block in getattr(self, f"layer{number}"):
                x = block(x)
        return jnp.mean(x, axis=(1, 2, 3))
