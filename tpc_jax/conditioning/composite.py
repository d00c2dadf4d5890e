"""The composite reference: calibrated people pasted over the reference's own background."""

import cv2
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from tpc_jax.warp.warp import composite

# Inpainting is slow and its result is smooth: a small picture is enough.
_INPAINT_SIDE = 160
# Blur beside a background, as a share of the canvas: streaks of its edge's pixels disappear.
_EDGE_BLUR = 1 / 64


def empty_background(
    reference: UInt8[np.ndarray, "height width 3"], mask: Bool[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Remove the people from a picture and fill the hole from its surroundings.

    Args:
        reference: RGB picture.
        mask: Where the people are.

    Returns:
        The picture, unchanged outside a small margin around the people.

    Source: own choice; Telea's inpainting as in OpenCV.
    """
    height, width = mask.shape
    scale = min(1.0, _INPAINT_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(reference, size, interpolation=cv2.INTER_AREA)
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    hole = cv2.dilate((share > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
    if hole.all():
        return reference
    filled = cv2.inpaint(small, hole, 3, cv2.INPAINT_TELEA)
    weight = cv2.resize(hole.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    filled = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    is_hole = (weight > 0)[..., None] | mask[..., None]
    return np.where(is_hole, filled, reference)


def extend(
    background: UInt8[np.ndarray, "height width 3"], content: tuple[slice, slice]
) -> UInt8[np.ndarray, "height width 3"]:
    """Continue a picture into the bars beside it: its edges, blurred.

    Args:
        background: RGB picture on a canvas.
        content: The rows and columns that it fills, where it stays as it is.

    Source: own choice; a blurred edge has the scene's colours and no objects.
    """
    rows, columns = (
        np.arange(side).clip(filled.start, filled.stop - 1)
        for side, filled in zip(background.shape[:2], content, strict=True)
    )
    sigma = _EDGE_BLUR * max(background.shape)
    extended = np.asarray(cv2.GaussianBlur(background[np.ix_(rows, columns)], (0, 0), sigma))
    extended[content] = background[content]
    return extended


def paste(
    background: Float[Array, "height width 3"],
    images: Float[Array, "people frames height width 3"],
    masks: Float[Array, "people frames height width"],
) -> Float[Array, "frames height width 3"]:
    """Lay calibrated people over one background, the last person in front.

    Args:
        background: RGB picture in [0, 1].
        images: Calibrated pictures of the same size.
        masks: Where the people are in them, in [0, 1], used as opacity.
    """
    result = jnp.broadcast_to(background, images.shape[1:])
    for image, mask in zip(images, masks, strict=True):
        result = composite(image, mask, result)
    return result


def blend_background(
    frames: UInt8[np.ndarray, "frames height width 3"],
    reference: UInt8[np.ndarray, "height width 3"],
    masks: Bool[np.ndarray, "people frames height width"],
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Put the reference behind the people: frames inside the widened masks, reference outside.

    Fits a still background only, for the reference is not warped.

    Args:
        frames: The animated clip.
        reference: The reference on the same canvas.
        masks: Where the people are in the frames.

    Source: TPC's released `animation.py` (`use_pad`); its masks of several people are joined here.
    """
    inside = [widen(mask)[..., None] for mask in np.any(masks, axis=0)]
    return np.where(np.stack(inside), frames, reference)


def widen(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Dilate a mask twice by a square of 3 x 3 pixels."""
    return cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=2) > 0
