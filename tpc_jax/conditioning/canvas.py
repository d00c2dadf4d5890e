"""Clips on a model's fixed canvas: pictures, masks, part maps and points, aspect kept."""

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from tpc_jax.io.images import Letterbox, letterbox


def fit_images(
    images: UInt8[np.ndarray, "*batch height width 3"],
    size: tuple[int, int],
    padding: tuple[int, int, int] = (0, 0, 0),
) -> UInt8[np.ndarray, "*batch out_height out_width 3"]:
    """Letterbox RGB pictures onto a (height, width) canvas of one colour."""
    flat = images.reshape(-1, *images.shape[-3:])
    fitted = np.empty((len(flat), *size, 3), np.uint8)
    for image, out in zip(flat, fitted, strict=True):
        out[:] = letterbox(image, *size, padding)[0]
    return fitted.reshape(*images.shape[:-3], *size, 3)


def fit_masks(
    masks: Bool[np.ndarray, "*batch height width"] | UInt8[np.ndarray, "*batch height width"],
    size: tuple[int, int],
) -> UInt8[np.ndarray, "*batch out_height out_width"]:
    """Letterbox masks (boolean, or coverage 0...255) as coverage 0...255."""
    flat = masks.reshape(-1, *masks.shape[-2:])
    fitted = np.empty((len(flat), *size), np.uint8)
    for mask, out in zip(flat, fitted, strict=True):
        levels = mask * np.uint8(255) if mask.dtype == np.bool_ else mask
        out[:] = letterbox(np.repeat(levels[..., None], 3, axis=-1), *size)[0][..., 0]
    return fitted.reshape(*masks.shape[:-2], *size)


def fit_parts(
    parts: UInt8[np.ndarray, "frames height width"], size: tuple[int, int]
) -> UInt8[np.ndarray, "frames out_height out_width"]:
    """Letterbox part maps without mixing parts; background beside them."""
    placement = placement_on(parts.shape[1:], size)
    matrix = placement.canvas_from_image
    return np.stack(
        [cv2.warpAffine(part, matrix, size[::-1], flags=cv2.INTER_NEAREST) for part in parts]
    )


def placement_on(image_size: tuple[int, int], size: tuple[int, int]) -> Letterbox:
    """Return where `letterbox` puts a picture of (height, width) on a canvas."""
    return letterbox(np.zeros((*image_size, 3), np.uint8), *size)[1]


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
