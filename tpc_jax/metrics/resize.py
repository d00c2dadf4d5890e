"""Resizing as the evaluation tools of the field do it: Pillow's filters, in float and in 8 bits."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from tpc_jax.io.resampling import Filter, resample, resize_8bit, resize_weights


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
    rows, columns = (
        resize_weights(length, new_length, method, antialias).astype(np.float32)
        for length, new_length in zip((height, width), new_size, strict=True)
    )
    return jnp.asarray(resample(jnp.asarray(images, jnp.float32), rows, columns))


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
