"""The network of LPIPS: a classifier's features, compared channel by channel."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.metrics.networks.layers import convolution, max_pool, shrunk

Backbone = Literal["vgg", "alex"]

# The mean and deviation that the package takes of pictures in [-1, 1].
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_EPSILON = 1e-10


class _Conv(NamedTuple):
    """One convolution with bias and rectifier.

    Attributes:
        number: Its place among the layers of torchvision's `features`.
        channels: Output channels.
        size: Side of the kernel.
        stride: Step of the kernel.
        padding: Border of zeros.
        pool: Side of the max pool in front of it, stride 2; 0 for none.
        is_compared: Whether the distance looks at its output.
    """

    number: int
    channels: int
    size: int = 3
    stride: int = 1
    padding: int = 1
    pool: int = 0
    is_compared: bool = False


_VGG16 = (
    *(_Conv(0, 64), _Conv(2, 64, is_compared=True)),
    *(_Conv(5, 128, pool=2), _Conv(7, 128, is_compared=True)),
    *(_Conv(10, 256, pool=2), _Conv(12, 256), _Conv(14, 256, is_compared=True)),
    *(_Conv(17, 512, pool=2), _Conv(19, 512), _Conv(21, 512, is_compared=True)),
    *(_Conv(24, 512, pool=2), _Conv(26, 512), _Conv(28, 512, is_compared=True)),
)
_ALEXNET = (
    _Conv(0, 64, size=11, stride=4, padding=2, is_compared=True),
    _Conv(3, 192, size=5, padding=2, pool=3, is_compared=True),
    _Conv(6, 384, pool=3, is_compared=True),
    _Conv(8, 256, is_compared=True),
    _Conv(10, 256, is_compared=True),
)
_TABLES: dict[Backbone, tuple[_Conv, ...]] = {"vgg": _VGG16, "alex": _ALEXNET}


class LPIPS(nnx.Module):
    """VGG-16 up to relu5_3, or AlexNet up to relu5, and five non-negative linear heads.

    `features` keeps torchvision's layer numbers.

    Source: the `lpips` package, version 0.1 heads; matched to a torch re-statement.
    """

    def __init__(self, backbone: Backbone = "vgg", shrink: int = 1, *, rngs: nnx.Rngs):
        self.table = _TABLES[backbone]
        self.features = nnx.Dict({})
        self.lins = nnx.List()
        width = 3
        for spec in self.table:
            channels, kernel = shrunk(spec.channels, shrink), (spec.size, spec.size)
            self.features[str(spec.number)] = convolution(
                *(width, channels, kernel),
                stride=spec.stride,
                padding=spec.padding,
                use_bias=True,
                rngs=rngs,
            )
            width = channels
            if spec.is_compared:
                self.lins.append(convolution(channels, 1, (1, 1), rngs=rngs))

    def activations(
        self, images: Float[Array, "images height width 3"]
    ) -> list[Float[Array, "images _h _w _c"]]:
        """Return the five compared feature maps of pictures, nominally in [-1, 1]."""
        x = (images - jnp.asarray(_SHIFT)) / jnp.asarray(_SCALE)
        compared = []
        for spec in self.table:
            if spec.pool:
                x = max_pool(x, (spec.pool, spec.pool), (2, 2))
            x = jax.nn.relu(self.features[str(spec.number)](x))
            if spec.is_compared:
                compared.append(x)
        return compared

    def __call__(
        self,
        pred: Float[Array, "images height width 3"],
        target: Float[Array, "images height width 3"],
    ) -> Float[Array, " images"]:
        """Return the distance of each pair: differences of unit features, averaged over space."""
        total = jnp.zeros(pred.shape[0])
        pairs = zip(self.activations(pred), self.activations(target), self.lins, strict=True)
        for ours, theirs, head in pairs:
            difference = jnp.square(_unit(ours) - _unit(theirs))
            total = total + jnp.mean(head(difference), axis=(1, 2, 3))
        return total


def _unit(x: Float[Array, "images h w c"]) -> Float[Array, "images h w c"]:
    """Divide by the length over channels; zero features stay zero."""
    return x / (jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True)) + _EPSILON)
