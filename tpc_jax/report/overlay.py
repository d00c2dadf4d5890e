"""Drawings over frames: the warped person's outline and both sets of keypoints."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax.pose.skeletons import LIMBS

_WARPED, _DRIVING, _CHOSEN = (255, 60, 60), (80, 200, 255), (255, 230, 0)


def draw_calibration(
    frame: UInt8[np.ndarray, "height width 3"],
    mask: UInt8[np.ndarray, "height width"],
    warped_xy: Float[np.ndarray, "17 2"],
    driving_xy: Float[np.ndarray, "17 2"],
    is_drawn: Bool[np.ndarray, " 17"],
    is_chosen: Bool[np.ndarray, " 17"],
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw one person's calibration over a driving frame.

    Red: outline and keypoints of the warped reference. Blue: driving keypoints and limbs. Yellow
    rings: the keypoints that steered the fit.

    Args:
        frame: RGB driving frame.
        mask: Warped person mask, coverage 0...255.
        warped_xy: Reference keypoints moved into the frame, in pixels.
        driving_xy: Driving keypoints in pixels.
        is_drawn: Which points both sides show.
        is_chosen: Which points steered the fit.
    """
    picture = frame.copy()
    unit = max(1, round(min(frame.shape[:2]) / 256))
    outlines, _ = cv2.findContours(
        (mask > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    cv2.drawContours(picture, outlines, -1, _WARPED, unit, cv2.LINE_AA)
    warped, driving = (_as_points(xy, frame.shape) for xy in (warped_xy, driving_xy))
    for start, end in LIMBS:
        if is_drawn[start] and is_drawn[end]:
            cv2.line(picture, driving[start], driving[end], _DRIVING, unit, cv2.LINE_AA)
    for point in np.flatnonzero(is_drawn):
        cv2.line(picture, warped[point], driving[point], (255, 255, 255), 1, cv2.LINE_AA)
        cv2.circle(picture, driving[point], 2 * unit, _DRIVING, -1, cv2.LINE_AA)
        cv2.circle(picture, warped[point], 2 * unit, _WARPED, -1, cv2.LINE_AA)
        if is_chosen[point]:
            cv2.circle(picture, driving[point], 4 * unit, _CHOSEN, unit, cv2.LINE_AA)
    return picture


def _as_points(xy, shape) -> list[tuple[int, int]]:
    """Round to pixels; OpenCV needs coordinates that fit 16 bits."""
    limit = 4 * max(shape)
    return [
        tuple(p) for p in np.clip(np.nan_to_num(np.round(xy)), -limit, limit).astype(int).tolist()
    ]
