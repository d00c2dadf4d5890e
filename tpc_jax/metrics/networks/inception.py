"""Inception V3 as FID uses it: TensorFlow's network of 2015, up to its pooled features."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.metrics.networks.layers import ConvNorm, inner_average_pool, max_pool, shrunk

_EPSILON = 1e-3


class _Unit(NamedTuple):
    """A convolution of a block: stride 1 keeps the size, stride 2 has no border."""

    name: str
    channels: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


# A branch is a chain of convolutions and pools; a tuple within it forks into parallel ends.
_Pool = Literal["average", "max", "max stride 2"]
_Step = _Unit | _Pool | tuple[_Unit, ...]
_Branch = tuple[_Step, ...]
_HALVING_POOL: _Branch = ("max stride 2",)


def _unit(name: str, channels: int, height: int = 1, width: int = 1, stride: int = 1) -> _Unit:
    return _Unit(name, channels, (height, width), stride)


def _double(first: int, middle: int, last_stride: int = 1) -> _Branch:
    return (
        _unit("branch3x3dbl_1", first),
        _unit("branch3x3dbl_2", middle, 3, 3),
        _unit("branch3x3dbl_3", middle, 3, 3, last_stride),
    )


def _block_a(pool: int) -> tuple[_Branch, ...]:
    return (
        (_unit("branch1x1", 64),),
        (_unit("branch5x5_1", 48), _unit("branch5x5_2", 64, 5, 5)),
        _double(64, 96),
        ("average", _unit("branch_pool", pool)),
    )


def _block_c(inner: int) -> tuple[_Branch, ...]:
    return (
        (_unit("branch1x1", 192),),
        (
            _unit("branch7x7_1", inner),
            _unit("branch7x7_2", inner, 1, 7),
            _unit("branch7x7_3", 192, 7, 1),
        ),
        (
            _unit("branch7x7dbl_1", inner),
            _unit("branch7x7dbl_2", inner, 7, 1),
            _unit("branch7x7dbl_3", inner, 1, 7),
            _unit("branch7x7dbl_4", inner, 7, 1),
            _unit("branch7x7dbl_5", 192, 1, 7),
        ),
        ("average", _unit("branch_pool", 192)),
    )


def _block_e(pool: _Pool) -> tuple[_Branch, ...]:
    fork = (_unit("branch3x3_2a", 384, 1, 3), _unit("branch3x3_2b", 384, 3, 1))
    double_fork = (_unit("branch3x3dbl_3a", 384, 1, 3), _unit("branch3x3dbl_3b", 384, 3, 1))
    return (
        (_unit("branch1x1", 320),),
        (_unit("branch3x3_1", 384), fork),
        (_unit("branch3x3dbl_1", 448), _unit("branch3x3dbl_2", 384, 3, 3), double_fork),
        (pool, _unit("branch_pool", 192)),
    )


_BLOCK_B = ((_unit("branch3x3", 384, 3, 3, 2),), _double(64, 96, 2), _HALVING_POOL)
_BLOCK_D = (
    (_unit("branch3x3_1", 192), _unit("branch3x3_2", 320, 3, 3, 2)),
    (
        _unit("branch7x7x3_1", 192),
        _unit("branch7x7x3_2", 192, 1, 7),
        _unit("branch7x7x3_3", 192, 7, 1),
        _unit("branch7x7x3_4", 192, 3, 3, 2),
    ),
    _HALVING_POOL,
)
_BLOCKS: dict[str, tuple[_Branch, ...]] = {
    "Mixed_5b": _block_a(32),
    "Mixed_5c": _block_a(64),
    "Mixed_5d": _block_a(64),
    "Mixed_6a": _BLOCK_B,
    "Mixed_6b": _block_c(128),
    "Mixed_6c": _block_c(160),
    "Mixed_6d": _block_c(160),
    "Mixed_6e": _block_c(192),
    "Mixed_7a": _BLOCK_D,
    "Mixed_7b": _block_e("average"),
    "Mixed_7c": _block_e("max"),
}
# Name, channels, kernel side, stride, border; a 3x3 max pool of stride 2 follows 2b and 4a.
_STEM = (
    ("Conv2d_1a_3x3", 32, 3, 2, 0),
    ("Conv2d_2a_3x3", 32, 3, 1, 0),
    ("Conv2d_2b_3x3", 64, 3, 1, 1),
    ("Conv2d_3b_1x1", 80, 1, 1, 0),
    ("Conv2d_4a_3x3", 192, 3, 1, 0),
)
_POOLED = ("Conv2d_2b_3x3", "Conv2d_4a_3x3")


class Mixed(nnx.Module):
    """Parallel branches over one input, concatenated."""

    def __init__(
        self, in_channels: int, branches: Sequence[_Branch], shrink: int, *, rngs: nnx.Rngs
    ):
        self.branches = tuple(branches)
        self.channels = 0
        for branch in self.branches:
            widths = [in_channels]
            for step in branch:
                if isinstance(step, str):
                    continue
                ends = (step,) if isinstance(step, _Unit) else step
                for name, channels, kernel, stride in ends:
                    border = [(k // 2, k // 2) if stride == 1 else (0, 0) for k in kernel]
                    unit = ConvNorm(
                        *(widths[0], shrunk(channels, shrink), kernel),
                        stride=stride,
                        padding=border,
                        epsilon=_EPSILON,
                        rngs=rngs,
                    )
                    setattr(self, name, unit)
                widths = [shrunk(end.channels, shrink) for end in ends]
            self.channels += sum(widths)

    def __call__(self, x: Float[Array, "images h w c"]) -> Float[Array, "images h2 w2 c2"]:
        """Transform the pictures."""
        return jnp.concatenate([self._run(branch, x) for branch in self.branches], axis=-1)

    def _run(self, branch: _Branch, x: Array) -> Array:
        for step in branch:
            if step == "average":
                x = inner_average_pool(x)
            elif step == "max":
                x = max_pool(x, (3, 3), (1, 1), [(1, 1), (1, 1)])
            elif step == "max stride 2":
                x = max_pool(x, (3, 3), (2, 2))
            elif isinstance(step, _Unit):
                x = getattr(self, step.name)(x)
            else:
                x = jnp.concatenate([getattr(self, end.name)(x) for end in step], axis=-1)
        return x


class InceptionV3(nnx.Module):
    """Pictures of 299x299 in [-1, 1] to 2048 features.

    Differs from torchvision's network: average pools leave the border out, and the last block
    pools by maximum.

    Source: the network of the `pytorch-fid` package; matched to a torch re-statement.
    """

    def __init__(self, shrink: int = 1, *, rngs: nnx.Rngs):
        width = 3
        for name, channels, size, stride, border in _STEM:
            unit = ConvNorm(
                *(width, shrunk(channels, shrink), (size, size)),
                stride=stride,
                padding=border,
                epsilon=_EPSILON,
                rngs=rngs,
            )
            setattr(self, name, unit)
            width = shrunk(channels, shrink)
        for name, branches in _BLOCKS.items():
            block = Mixed(width, branches, shrink, rngs=rngs)
            setattr(self, name, block)
            width = block.channels

    def __call__(
        self, images: Float[Array, "images height width 3"]
    ) -> Float[Array, "images features"]:
        """Return features averaged over the picture."""
        x = images
        for name, *_ in _STEM:
            x = getattr(self, name)(x)
            if name in _POOLED:
                x = max_pool(x, (3, 3), (2, 2))
        for name in _BLOCKS:
            x = getattr(self, name)(x)
        return jnp.mean(x, axis=(1, 2))
