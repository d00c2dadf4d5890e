"""Pose pictures in the house colours: body parts filled, or a skeleton drawn in the same colours.

One colour code for both inputs lets one pose net read either: a limb of a skeleton has the colour
of the body parts around it.
"""

import colorsys

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# DensePose part -> (hue, lightness); hue tells the limb and the side, lightness how far out it is.
_TORSO, _HEAD = (0.75, 0.5), (0.0, 0.9)
_RIGHT_ARM, _LEFT_ARM, _RIGHT_LEG, _LEFT_LEG = 0.52, 0.09, 0.66, 0.33
_PARTS = {
    1: (0.83, 0.35), 2: _TORSO,
    3: (_RIGHT_ARM, 0.8), 4: (_LEFT_ARM, 0.8), 5: (_LEFT_LEG, 0.8), 6: (_RIGHT_LEG, 0.8),
    7: (_RIGHT_LEG, 0.45), 8: (_LEFT_LEG, 0.35), 9: (_RIGHT_LEG, 0.45), 10: (_LEFT_LEG, 0.35),
    11: (_RIGHT_LEG, 0.65), 12: (_LEFT_LEG, 0.6), 13: (_RIGHT_LEG, 0.65), 14: (_LEFT_LEG, 0.6),
    15: (_LEFT_ARM, 0.4), 16: (_RIGHT_ARM, 0.4), 17: (_LEFT_ARM, 0.4), 18: (_RIGHT_ARM, 0.4),
    19: (_LEFT_ARM, 0.6), 20: (_RIGHT_ARM, 0.6), 21: (_LEFT_ARM, 0.6), 22: (_RIGHT_ARM, 0.6),
    23: (0.95, 0.75), 24: (0.15, 0.85),
}  # fmt: skip
# COCO-17 limbs and the part whose colour they take, far limbs first.
_LIMBS = (
    (5, 6, 2), (11, 12, 2), (5, 11, 2), (6, 12, 2),
    (11, 13, 10), (12, 14, 9), (13, 15, 14), (14, 16, 13),
    (5, 7, 17), (6, 8, 18), (7, 9, 21), (8, 10, 22),
    (0, 1, 24), (0, 2, 23), (1, 3, 24), (2, 4, 23),
)  # fmt: skip
_SUBPIXEL_BITS = 4
_FAR = 1e6


def _color_table() -> UInt8[np.ndarray, "25 3"]:
    table = np.zeros((25, 3), np.uint8)
    for part, (hue, lightness) in _PARTS.items():
        table[part] = np.round(255 * np.array(colorsys.hls_to_rgb(hue, lightness, 1.0)))
    return table


PART_COLORS = _color_table()


def part_pictures(
    parts: UInt8[np.ndarray, "*batch height width"],
) -> Float[np.ndarray, "*batch height width 3"]:
    """Colour DensePose part maps (0 background, 1...24) as pictures in [0, 1]."""
    return (PART_COLORS.astype(np.float32) / 255)[parts]


def draw_skeleton_lines(
    canvas: UInt8[np.ndarray, "height width 3"],
    xy: Float[np.ndarray, "17 2"],
    is_visible: np.ndarray,
) -> None:
    """Draw one person's limbs onto an RGB picture, in place."""
    thickness = max(1, round(min(canvas.shape[:2]) / 64))
    is_visible = is_visible & np.isfinite(xy).all(axis=-1)
    # OpenCV's fixed-point numbers overflow far outside the canvas.
    points = np.clip(np.where(is_visible[:, None], xy, 0), -_FAR, _FAR)
    points = np.round(points * 2**_SUBPIXEL_BITS).astype(int)
    for start, end, part in _LIMBS:
        if is_visible[start] and is_visible[end]:
            cv2.line(
                canvas, tuple(points[start].tolist()), tuple(points[end].tolist()),
                PART_COLORS[part].tolist(), thickness, cv2.LINE_AA, _SUBPIXEL_BITS,
            )  # fmt: skip
