"""Resizing as the evaluation tools of the field do it: Pillow's filters, in float and in 8 bits."""

import functools
from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, UInt8

Filter = Literal["bilinear", "bicubic"]

# Keys' parameter in Pillow; OpenCV and PyTorch take -0.75.
_CUBIC_SLOPE = -0.5
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
    weights = _triangle(distance) if method == "bilinear" else _cubic(distance)
    return weights / weights.sum(axis=1, keepdims=True)


def resize(
    images: Float[Array, "*batch height width channels"],
    new_size: tuple[int, int],
    method: Filter,
    *,
    antialias: bool = True,
) -> Float[Array, "*batch new_height new_width channels"]:
    """Resize pictures in float, without rounding or clipping.

    Args:
        images: Pictures of any range; bicubic overshoots it.
        new_size: Height and width wanted, in pixels.
        method: The filter.
        antialias: Whether shrinking widens the filter.

    Returns:
        The pictures, float32.

    Source:
        Pillow's filters on single channels of kind "F".
    """
    height, width = images.shape[-3:-1]
    rows = jnp.asarray(resize_weights(height, new_size[0], method, antialias), jnp.float32)
    columns = jnp.asarray(resize_weights(width, new_size[1], method, antialias), jnp.float32)
    exact = lax.Precision.HIGHEST
    wide = jnp.einsum("ow,...hwc->...hoc", columns, images.astype(jnp.float32), precision=exact)
    return jnp.einsum("oh,...hwc->...owc", rows, wide, precision=exact)


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
    wide = _to_8bit(np.einsum("ow,...hwc->...hoc", columns, images, optimize=True))
    return _to_8bit(np.einsum("oh,...hwc->...owc", rows, wide, optimize=True))


def central_square(
    images: UInt8[np.ndarray, "*batch height width channels"], size: int = 256
) -> UInt8[np.ndarray, "*batch {size} {size} channels"]:
    """Cut out the central square and resize it, as DisCo does with the pictures it scores.

    Args:
        images: 8-bit pictures.
        size: Side wanted, in pixels.

    Source:
        DisCo's target transform in evaluation: a central crop and Pillow's bilinear filter.
    """
    return resize_8bit(crop_square(images), (size, size), "bilinear")


def crop_square(
    images: UInt8[np.ndarray, "*batch height width channels"],
) -> UInt8[np.ndarray, "*batch side side channels"]:
    """Cut out the largest central square; half a pixel goes to the top and left."""
    height, width = images.shape[-3:-1]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images[..., top : top + side, left : left + side, :]


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1.0 - np.abs(x), 0.0)


def _cubic(x: np.ndarray) -> np.ndarray:
    a, x = _CUBIC_SLOPE, np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _fixed_point(size: int, new_size: int, method: Filter) -> np.ndarray:
    scaled = resize_weights(size, new_size, method) * (1 << _FIXED_POINT)
    return np.trunc(scaled + np.copysign(0.5, scaled))


def _to_8bit(sums: np.ndarray) -> np.ndarray:
    shifted = np.floor((sums + (1 << (_FIXED_POINT - 1))) / (1 << _FIXED_POINT))
    return np.clip(shifted, 0, 255).astype(np.uint8)
