"""Small feature networks that this project trains on its drawn people: "synthetic features".

They stand in for the published networks of FID and FVD where those cannot be had, and are made for
drawn people only. Their scores are Frechet distances of synthetic features, never FID or FVD, and
can be compared with each other alone.
"""

from importlib import resources
from pathlib import Path
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.metrics.networks.layers import convolution
from tpc_jax.model.checkpoint import load_params
from tpc_jax.model.params import Network, Params, abstract

SyntheticKind = Literal["pictures", "clips"]

PICTURE_SIZE, CLIP_SIZE = 64, 32
NUM_PARTS, NUM_COLORED, NUM_JOINTS, NUM_DISTURBANCES = 25, 7, 17, 3
_PICTURE_WIDTHS = (32, 64, 96, 64)
_CLIP_WIDTHS = (32, 64, 96)
_CLIP_FEATURES = 64
# Changes from frame to frame are small beside the pictures.
_CHANGE_WEIGHT = 4.0


class PictureNetwork(nnx.Module):
    """Strided convolutions that tell body parts and the colours of clothes and background."""

    def __init__(self, *, rngs: nnx.Rngs):
        strides, width = (2, 2, 2, 1), 3
        self.convs, self.norms = nnx.List(), nnx.List()
        for channels, stride in zip(_PICTURE_WIDTHS, strides, strict=True):
            self.convs.append(_conv2d(width, channels, stride, rngs))
            self.norms.append(_norm(channels, rngs))
            width = channels
        seen = _PICTURE_WIDTHS[1] + width
        self.parts = convolution(seen, NUM_PARTS, (1, 1), use_bias=True, rngs=rngs)
        self.colors = nnx.Linear(width, 3 * NUM_COLORED, rngs=rngs)
        self.joints = nnx.Linear(width, 2 * NUM_JOINTS, rngs=rngs)

    def _maps(self, pictures: Float[Array, "pictures 64 64 3"]) -> list[Array]:
        maps, x = [], 2.0 * pictures - 1.0
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = jax.nn.silu(norm(conv(x)))
            maps.append(x)
        return maps

    def features(self, pictures: Float[Array, "pictures 64 64 3"]) -> Float[Array, "pictures 64"]:
        """Return what all predictions about the whole picture are made from."""
        return jnp.mean(self._maps(pictures)[-1], axis=(1, 2))

    def __call__(
        self, pictures: Float[Array, "pictures 64 64 3"]
    ) -> tuple[
        Float[Array, "pictures 16 16 25"],
        Float[Array, "pictures 7 3"],
        Float[Array, "pictures 17 2"],
    ]:
        """Predict logits of parts, mean colours of groups of parts, and joints in canvas sizes."""
        maps = self._maps(pictures)
        pooled = jnp.mean(maps[-1], axis=(1, 2))
        coarse = jnp.repeat(jnp.repeat(maps[-1], 2, axis=1), 2, axis=2)
        return (
            self.parts(jnp.concatenate([maps[1], coarse], axis=-1)),
            self.colors(pooled).reshape(-1, NUM_COLORED, 3),
            self.joints(pooled).reshape(-1, NUM_JOINTS, 2),
        )


class ClipNetwork(nnx.Module):
    """Convolutions over pairs of frames that tell motion, and true clips from disturbed ones."""

    def __init__(self, *, rngs: nnx.Rngs):
        width = 6
        self.convs, self.norms = nnx.List(), nnx.List()
        for channels in _CLIP_WIDTHS:
            self.convs.append(_conv2d(width, channels, 2, rngs))
            self.norms.append(_norm(channels, rngs))
            width = channels
        self.steps = nnx.Linear(width, 2 * NUM_JOINTS, rngs=rngs)
        self.over_time = convolution(
            width, _CLIP_FEATURES, (3,), padding=1, use_bias=True, rngs=rngs
        )
        self.disturbance = nnx.Linear(_CLIP_FEATURES, NUM_DISTURBANCES, rngs=rngs)

    def _pairs(self, clips: Float[Array, "clips frames 32 32 3"]) -> Array:
        """Return what is known of each step from one frame to the next."""
        x = 2.0 * clips - 1.0
        change = _CHANGE_WEIGHT * (x[:, 1:] - x[:, :-1])
        pairs = jnp.concatenate([x[:, :-1], change], axis=-1)
        y = pairs.reshape(-1, *pairs.shape[2:])
        for conv, norm in zip(self.convs, self.norms, strict=True):
            y = jax.nn.silu(norm(conv(y)))
        return jnp.mean(y, axis=(1, 2)).reshape(*pairs.shape[:2], -1)

    def _pooled(self, pairs: Array) -> Float[Array, "clips 64"]:
        return jnp.mean(jax.nn.silu(self.over_time(pairs)), axis=1)

    def features(self, clips: Float[Array, "clips frames 32 32 3"]) -> Float[Array, "clips 64"]:
        """Return what the kind of disturbance is told from."""
        return self._pooled(self._pairs(clips))

    def __call__(
        self, clips: Float[Array, "clips frames 32 32 3"]
    ) -> tuple[Float[Array, "clips steps 17 2"], Float[Array, "clips 3"]]:
        """Predict joint motion per step in canvas sizes, and logits of the disturbance."""
        pairs = self._pairs(clips)
        steps = self.steps(pairs).reshape(*pairs.shape[:2], NUM_JOINTS, 2)
        return steps, self.disturbance(self._pooled(pairs))


def _conv2d(width: int, channels: int, stride: int, rngs: nnx.Rngs) -> nnx.Conv:
    return convolution(width, channels, (3, 3), stride=stride, padding=1, use_bias=True, rngs=rngs)


def _norm(channels: int, rngs: nnx.Rngs) -> nnx.GroupNorm:
    return nnx.GroupNorm(channels, num_groups=8, rngs=rngs)


MAKERS: dict[SyntheticKind, type[nnx.Module]] = {"pictures": PictureNetwork, "clips": ClipNetwork}


def synthetic_network(kind: SyntheticKind) -> Network:
    """Describe a network of synthetic features without its numbers.

    Raises:
        ValueError: The kind is unknown.
    """
    if kind not in MAKERS:
        raise ValueError(f"kind must be one of {get_args(SyntheticKind)}, got {kind!r}")
    return abstract(MAKERS[kind])


def load_synthetic_params(folder: Path | None = None) -> Params:
    """Load the parameters of both networks, by kind.

    Args:
        folder: Where training stored them; the embedded ones by default.

    Raises:
        UserError: They are missing or damaged.
    """
    if folder is None:
        folder = Path(str(resources.files("tpc_jax") / "assets" / "synthetic_features"))
    return load_params(folder, {kind: synthetic_network(kind) for kind in MAKERS})
