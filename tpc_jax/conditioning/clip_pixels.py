"""Pictures as CLIP's vision encoder wants them."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from tpc_jax.io.resampling import resample, resize_8bit, resize_weights

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
_DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def clip_pixels(
    images: UInt8[np.ndarray, "*batch height width 3"], side: int
) -> Float[np.ndarray, "*batch {side} {side} 3"]:
    """Stretch pictures to squares, whatever their aspect, and normalise their channels.

    Args:
        images: RGB pictures.
        side: Side of the square in pixels.

    Source: Moore-AnimateAnyone's long pipeline, which resizes by Pillow's bicubic filter in front
        of CLIP's processor, so that the processor's own resizing and cropping change nothing.
    """
    squares = resize_8bit(images, (side, side), "bicubic")
    return (squares.astype(np.float32) / np.float32(255) - MEAN) / _DEVIATION


def normalise(
    images: Float[Array, "*batch height width 3"],
) -> Float[Array, "*batch height width 3"]:
    """Normalise the channels of pictures in [0, 1]; `MEAN` becomes 0."""
    return (images - MEAN) / _DEVIATION


def centre_pixels(
    images: Float[Array, "*batch height width 3"], side: int
) -> Float[Array, "*batch {side} {side} 3"]:
    """Shrink pictures in [0, 1] to a short side, cut out the central square and normalise it.

    What CLIP's own processor does, Pillow's bicubic filter and grey levels included; on the edge
    between two grey levels the result may be the other one.

    Args:
        images: RGB pictures.
        side: Side of the square in pixels.

    Source: transformers `CLIPImageProcessor` at its published settings.
    """
    height, width = images.shape[-3:-1]
    short = min(height, width)
    size = (height * side // short, width * side // short)
    top, left = ((length - side) // 2 for length in size)
    rows = resize_weights(height, size[0], "bicubic")[top : top + side]
    columns = resize_weights(width, size[1], "bicubic")[left : left + side]
    rows, columns = rows.astype(np.float32), columns.astype(np.float32)
    levels = jnp.asarray(resample(255.0 * images, rows, columns, _levels))
    return normalise(levels / 255.0)


def _levels(pixels):
    return jnp.clip(jnp.round(pixels), 0.0, 255.0)
