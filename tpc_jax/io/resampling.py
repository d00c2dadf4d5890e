"""Resizing one axis after the other: Pillow's filters, bit for bit on the host, and PyTorch's."""

import functools
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped, UInt8

Filter = Literal["bilinear", "bicubic", "lanczos"]

# Keys' parameter in Pillow; OpenCV and PyTorch take -0.75.
_CUBIC_SLOPE = -0.5
_TORCH_SLOPE = -0.75
# Lobes of the windowed sinc on either side.
_LANCZOS_LOBES = 3
# Pillow's 8-bit filters keep 32 - 8 - 2 bits behind the point.
_FIXED_POINT = 22


@functools.lru_cache(maxsize=64)
def resize_weights(
    size: int, new_size: int, method: Filter, antialias: bool = True
) -> Float[np.ndarray, "{new_size} {size}"]:
    """Return the matrix that resizes one axis, in float64.

    Row i samples the filter about `(i + 1/2) size / new_size`, and sums to 1 over the pixels that
    exist.

    Args:
        size: Pixels along the axis.
        new_size: Pixels wanted.
        method: The filter.
        antialias: Whether shrinking widens the filter, as Pillow does and PyTorch does not.

    Raises:
        ValueError: A size below 1 or an unknown filter.

    Source:
        Pillow's `ImagingResample`; without anti-aliasing PyTorch's `interpolate` with
        `align_corners=False` (bilinear only).
    """
    if method not in get_args(Filter):
        raise ValueError(f"method must be one of {get_args(Filter)}, got {method!r}")
    if size < 1 or new_size < 1:
        raise ValueError(f"sizes must be at least 1 pixel, got {size} and {new_size}")
    scale = size / new_size
    spread = max(scale, 1.0) if antialias else 1.0
    centers = (np.arange(new_size) + 0.5) * scale
    distance = (np.arange(size)[None, :] + 0.5 - centers[:, None]) / spread
    weights = _FILTERS[method](distance)
    return weights / weights.sum(axis=1, keepdims=True)


def resample(
    images: Float[Array, "*batch height width channels"]
    | Shaped[np.ndarray, "*batch height width channels"],
    rows: Float[np.ndarray, "new_height height"],
    columns: Float[np.ndarray, "new_width width"],
    rounding: Callable[[Any], Any] = lambda sums: sums,
) -> (
    Float[Array, "*batch new_height new_width channels"]
    | Shaped[np.ndarray, "*batch new_height new_width channels"]
):
    """Resize pictures by one matrix per axis, width first, in the arrays' own types.

    Args:
        images: Pictures, on the host or on the device.
        rows: Weights of the rows, such as `resize_weights`.
        columns: Weights of the columns.
        rounding: Applied after each axis.
    """
    if isinstance(images, np.ndarray):
        einsum = functools.partial(np.einsum, optimize=True)
    else:
        einsum = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    wide = rounding(einsum("ow,...hwc->...hoc", columns, images))
    return rounding(einsum("oh,...hwc->...owc", rows, wide))


def resize_8bit(
    images: UInt8[np.ndarray, "*batch height width channels"],
    new_size: tuple[int, int],
    method: Filter,
) -> UInt8[np.ndarray, "*batch new_height new_width channels"]:
    """Resize 8-bit pictures bit for bit like Pillow, on the host.

    Pillow rounds its weights to 22 binary places and the result of each axis, width first, to 8
    bits; float64 holds these sums exactly. Its newest versions begin with the height where that is
    faster, never for squares.

    Args:
        images: Pictures.
        new_size: Height and width wanted, in pixels.
        method: The filter, widened where it shrinks.
    """
    rows = _fixed_point(images.shape[-3], new_size[0], method)
    columns = _fixed_point(images.shape[-2], new_size[1], method)
    return np.asarray(resample(images, rows, columns, _to_8bit))


@functools.lru_cache(maxsize=64)
def torch_cubic_weights(size: int, new_size: int) -> Float[np.ndarray, "{new_size} {size}"]:
    """Return the matrix that resizes one axis by PyTorch's bicubic filter, in float64.

    Four taps about `(i + 1/2) size / new_size - 1/2`, however much it shrinks; pixels beyond the
    edge are those of the edge.

    Args:
        size: Pixels along the axis.
        new_size: Pixels wanted.

    Source: PyTorch's `interpolate(mode="bicubic", align_corners=False, antialias=False)`.
    """
    centre = (np.arange(new_size) + 0.5) * size / new_size - 0.5
    taps = np.floor(centre)[:, None] + np.arange(-1, 3)
    weights = _cubic(taps - centre[:, None], _TORCH_SLOPE)
    matrix = np.zeros((new_size, size))
    rows = np.repeat(np.arange(new_size), 4)
    np.add.at(matrix, (rows, np.clip(taps, 0, size - 1).astype(int).ravel()), weights.ravel())
    return matrix


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _cubic(x: np.ndarray, a: float = _CUBIC_SLOPE) -> np.ndarray:
    x = np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < _LANCZOS_LOBES, np.sinc(x) * np.sinc(x / _LANCZOS_LOBES), 0.0)


_FILTERS = {"bilinear": _triangle, "bicubic": _cubic, "lanczos": _lanczos}


def _fixed_point(size: int, new_size: int, method: Filter) -> np.ndarray:
    scaled = resize_weights(size, new_size, method) * (1 << _FIXED_POINT)
    return np.trunc(scaled + np.copysign(0.5, scaled))


def _to_8bit(sums: np.ndarray) -> np.ndarray:
    shifted = np.floor((sums + (1 << (_FIXED_POINT - 1))) / (1 << _FIXED_POINT))
    return np.clip(shifted, 0, 255).astype(np.uint8)
