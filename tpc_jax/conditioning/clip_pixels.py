"""Pictures as CLIP's vision encoder wants them."""

import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax.io.resampling import resize_8bit

_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
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
    return (squares.astype(np.float32) / np.float32(255) - _MEAN) / _DEVIATION
