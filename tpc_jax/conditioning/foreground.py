"""A picture divided into its person and its scene, as DisCo reads it."""

import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax.conditioning.canvas import Canvas, crop_to_aspect, to_coverage
from tpc_jax.conditioning.clip_pixels import MEAN
from tpc_jax.io.resampling import Filter, resample, resize_8bit, torch_cubic_weights

Mask = Bool[np.ndarray, "*batch height width"] | UInt8[np.ndarray, "*batch height width"]


def foreground(
    images: UInt8[np.ndarray, "*batch height width 3"], masks: Mask, side: int
) -> Float[np.ndarray, "*batch {side} {side} 3"]:
    """Return the central squares of pictures with CLIP's mean colour in place of the scene.

    The picture is resized as numbers by PyTorch's bicubic filter without anti-aliasing, which the
    model is trained with, and may leave [0, 1]; the mask by Pillow's, to soft edges. Normalised,
    the scene is 0: the same as multiplying the normalised picture by the mask.

    Args:
        images: RGB pictures.
        masks: Where the people are in them.
        side: Side of the squares in pixels.

    Source: DisCo's data set: `reference_img` in evaluation.
    """
    pixels = crop_to_aspect(images, (1, 1)).astype(np.float32) / np.float32(255)
    rows, columns = (
        torch_cubic_weights(length, side).astype(np.float32) for length in pixels.shape[-3:-1]
    )
    resized = np.asarray(resample(pixels, rows, columns))
    mask = _soft(masks, (side, side), "bicubic")
    return resized * mask + MEAN * (1 - mask)


def scene(
    image: UInt8[np.ndarray, "height width 3"], mask: Mask, canvas: Canvas
) -> Float[np.ndarray, "{canvas.size[0]} {canvas.size[1]} 3"]:
    """Return the central piece of a picture in [-1, 1] with mid grey in place of the people.

    Args:
        image: RGB picture.
        mask: Where the people are in it.
        canvas: Where it goes, by cropping.

    Source: DisCo's data set: `reference_img_controlnet` in evaluation.
    """
    pixels = canvas.pictures(image).astype(np.float32) / np.float32(127.5) - 1
    return pixels * (1 - _soft(mask, canvas.size, "bilinear"))


def _soft(masks: Mask, size: tuple[int, int], method: Filter):
    """Return the central pieces of masks in [0, 1], with one channel."""
    levels = crop_to_aspect(to_coverage(masks)[..., None], size)
    return resize_8bit(levels, size, method).astype(np.float32) / np.float32(255)
