"""Clips on a model's fixed canvas: pictures, masks, part maps and points."""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from tpc_jax.io.images import Letterbox, letterbox
from tpc_jax.io.resampling import resize_8bit

# "letterbox": all of the picture, aspect kept, bars beside it. "crop": the largest central piece of
# the canvas's aspect, by Pillow's bilinear filter. "stretch": all of it, whatever the aspect, by
# Pillow's bicubic filter.
Fit = Literal["letterbox", "crop", "stretch"]


def fit_images(
    images: UInt8[np.ndarray, "*batch height width 3"],
    size: tuple[int, int],
    padding: tuple[int, int, int] = (0, 0, 0),
    *,
    fit: Fit = "letterbox",
) -> UInt8[np.ndarray, "*batch out_height out_width 3"]:
    """Put RGB pictures onto a (height, width) canvas; bars have one colour."""
    flat = images.reshape(-1, *images.shape[-3:])
    fitted = np.empty((len(flat), *size, 3), np.uint8)
    for image, out in zip(flat, fitted, strict=True):
        out[:] = _fit_image(image, size, padding, fit)
    return fitted.reshape(*images.shape[:-3], *size, 3)


def _fit_image(image, size: tuple[int, int], padding, fit: Fit):
    if fit == "crop":
        return resize_8bit(crop_to_aspect(image, size), size, "bilinear")
    if fit == "stretch":
        return resize_8bit(image, size, "bicubic")
    return letterbox(image, *size, padding)[0]


def crop_to_aspect(
    images: UInt8[np.ndarray, "*batch height width channels"], size: tuple[int, int]
) -> UInt8[np.ndarray, "*batch _height _width channels"]:
    """Cut out the largest central piece with the aspect of (height, width)."""
    top, left, height, width = _central(images.shape[-3:-1], size)
    return images[..., top : top + height, left : left + width, :]


def _central(image_size: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return top, left, height and width; half a pixel goes to the top and left."""
    ratio = min(image_size[0] / size[0], image_size[1] / size[1])
    height, width = (max(1, round(ratio * side)) for side in size)
    return (image_size[0] - height) // 2, (image_size[1] - width) // 2, height, width


def fit_masks(
    masks: Bool[np.ndarray, "*batch height width"] | UInt8[np.ndarray, "*batch height width"],
    size: tuple[int, int],
    *,
    fit: Fit = "letterbox",
) -> UInt8[np.ndarray, "*batch out_height out_width"]:
    """Put masks (boolean, or coverage 0...255) onto the canvas as coverage 0...255."""
    flat = masks.reshape(-1, *masks.shape[-2:])
    fitted = np.empty((len(flat), *size), np.uint8)
    for mask, out in zip(flat, fitted, strict=True):
        levels = np.repeat(to_coverage(mask)[..., None], 3, axis=-1)
        out[:] = _fit_image(levels, size, (0, 0, 0), fit)[..., 0]
    return fitted.reshape(*masks.shape[:-2], *size)


def to_coverage(
    masks: Bool[np.ndarray, "*shape"] | UInt8[np.ndarray, "*shape"],
) -> UInt8[np.ndarray, "*shape"]:
    """Return masks as coverage 0...255."""
    return masks * np.uint8(255) if masks.dtype == np.bool_ else masks


def fit_parts(
    parts: UInt8[np.ndarray, "frames height width"],
    size: tuple[int, int],
    *,
    fit: Fit = "letterbox",
) -> UInt8[np.ndarray, "frames out_height out_width"]:
    """Put part maps onto the canvas without mixing parts; background beside them."""
    placement = placement_on(parts.shape[1:], size, fit=fit)
    matrix = placement.canvas_from_image
    return np.stack(
        [cv2.warpAffine(part, matrix, size[::-1], flags=cv2.INTER_NEAREST) for part in parts]
    )


def placement_on(
    image_size: tuple[int, ...], size: tuple[int, int], *, fit: Fit = "letterbox"
) -> Letterbox:
    """Return where a picture of (height, width) comes to lie on a canvas."""
    if fit == "letterbox":
        return letterbox(np.zeros((*image_size, 3), np.uint8), *size)[1]
    whole = (0, 0, *image_size)
    top, left, height, width = _central(image_size, size) if fit == "crop" else whole
    scale = np.array([size[1] / width, size[0] / height])
    return Letterbox(scale, scale / 2 - 0.5 - scale * np.array([left, top]))


def crop_to_content(
    frames: np.ndarray, image_size: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    """Cut letterbox bars off frames [frames height width 3] made on the canvas.

    Args:
        frames: Frames of the canvas's size.
        image_size: (height, width) of what was letterboxed.
        size: (height, width) of the canvas.
    """
    placement = placement_on(image_size, size)
    low = np.ceil(placement.apply(np.array([-0.5, -0.5]))).astype(int)
    high = np.round(placement.apply(np.array(image_size[::-1]) - 0.5) + 0.5).astype(int)
    return frames[:, low[1] : high[1], low[0] : high[0]]
