"""Whether what was read of a skeleton rendering explains what is drawn there."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax.pose.openpose import LIMBS, NUM_JOINTS
from tpc_jax.pose.openpose_pixels import LIMB, NOTHING, WHITE, Drawing, Style, classify_frame

# Cores of limbs that make up less than this share of a disc say nothing.
_LEAST_CORES = 0.5
# Pairs of colours of a joint and the next one outwards, in OpenPose's order of 25 points: neck to
# shoulders, middle of the hips and nose; arms; legs with toes; face. Compression adds other pairs.
_OPENPOSE_25 = frozenset(
    {
        (0, 1), (1, 2), (2, 3), (0, 4), (4, 5), (5, 6), (0, 7), (7, 8), (8, 9), (0, 10), (10, 11),
        (11, 12), (0, 17), (16, 17), (15, 16), (14, 17), (13, 14), (7, 10), (1, 4), (14, 16),
    }
)  # fmt: skip
# Cores of two colours touch within so many pixels, in so many of them.
_LEAST_TOUCHING, _LEAST_PAIRS, _NEAR, _LEAST_NEAR = 0.7, 6, 9, 4


def explained_share(drawing: Drawing, points: Float[np.ndarray, "people joints 3"]) -> float:
    """Return which share of the drawn limbs lies on a limb of that colour that was read.

    Args:
        drawing: One frame.
        points: (x, y, confidence) of the joints read from it, in pixels of the frame as it came.

    Returns:
        A share in [0, 1]; 0 where no limb is drawn.
    """
    cores = drawing.cores
    is_limb = (cores >= LIMB) & (cores < WHITE)
    if is_limb.sum() < _LEAST_CORES * np.pi * drawing.radius**2:
        return 0.0
    expected = np.full(cores.shape, NOTHING, np.uint8)
    for person in points:
        xy = np.rint(drawing.from_frame(person[:, :2])).astype(int)
        for limb, (start, end) in enumerate(LIMBS):
            if person[start, 2] > 0 and person[end, 2] > 0:
                ends = xy[start].tolist(), xy[end].tolist()
                cv2.line(expected, *ends, LIMB + limb, 2 * drawing.radius + 3)
    return float((expected[is_limb] == cores[is_limb]).mean())


def is_openpose_25(frames: UInt8[np.ndarray, "frames height width 3"]) -> bool:
    """Tell whether the colours that touch each other are those of OpenPose's BODY_25 joints.

    There a limb has the colour of its outer joint, and every joint another colour than here.
    """
    touching: set[tuple[int, int]] = set()
    for frame in frames:
        drawing = classify_frame(frame, Style(1))
        if drawing is not None:
            touching |= _touching(drawing)
    known = len(touching & _OPENPOSE_25)
    return known >= _LEAST_PAIRS and known >= _LEAST_TOUCHING * len(touching)


def _touching(drawing: Drawing) -> set[tuple[int, int]]:
    """Return the pairs of hues, as numbers of joints, whose cores are near each other."""
    hues = np.where(drawing.cores < WHITE, drawing.cores % NUM_JOINTS, NOTHING).astype(np.uint8)
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_NEAR, _NEAR))
    found = set()
    for hue in range(NUM_JOINTS):
        reached = np.asarray(cv2.dilate((hues == hue).astype(np.uint8), window)) > 0
        counts = np.bincount(hues[reached], minlength=256)[:NUM_JOINTS]
        others = np.flatnonzero(counts >= _LEAST_NEAR)
        found |= {(min(hue, other), max(hue, other)) for other in others.tolist() if other != hue}
    return found
