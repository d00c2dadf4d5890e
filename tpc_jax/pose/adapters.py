"""Bring any detector's point set to COCO-17."""

from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from tpc_jax._types import Keypoints

# Entry k is the index, in the detector's order, of COCO-17 point k.
COCO_FROM_OPENPOSE_18: tuple[int, ...] = (
    0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10,
)  # fmt: skip
# The 25-point set has the hips' middle at 8, which moves the legs by one.
COCO_FROM_OPENPOSE_25: tuple[int, ...] = (
    0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11,
)  # fmt: skip
# COCO, Halpe and whole-body sets begin with COCO-17.
_COCO_FIRST: tuple[int, ...] = tuple(range(17))
_COCO_FROM_MEDIAPIPE: tuple[int, ...] = (0, 2, 5, 7, 8, *range(11, 17), *range(23, 29))

COCO_FROM_LAYOUT = MappingProxyType(
    {
        "coco-17": _COCO_FIRST,
        "halpe-26": _COCO_FIRST,
        "halpe-136": _COCO_FIRST,
        "wholebody-133": _COCO_FIRST,
        "mediapipe-33": _COCO_FROM_MEDIAPIPE,
        "openpose-18": COCO_FROM_OPENPOSE_18,
        "openpose-25": COCO_FROM_OPENPOSE_25,
        # With a face of 70 points, left and right hand.
        "openpose-130": COCO_FROM_OPENPOSE_18,
        "openpose-137": COCO_FROM_OPENPOSE_25,
    }
)


def to_coco(points: Float[np.ndarray, "*batch points 3"], layout: str) -> Keypoints:
    """Pick the COCO-17 points out of a detector's output.

    Args:
        points: (x, y, confidence) in pixels.
        layout: A point set of `COCO_FROM_LAYOUT`.

    Returns:
        NumPy keypoints `[*batch 17]`, float32.

    Raises:
        ValueError: If the layout is unknown.

    Source:
        The published point orders of COCO, COCO-WholeBody, Halpe, MediaPipe and OpenPose.
    """
    if layout not in COCO_FROM_LAYOUT:
        raise ValueError(f"layout must be one of {sorted(COCO_FROM_LAYOUT)}, got {layout!r}")
    chosen = points[..., list(COCO_FROM_LAYOUT[layout]), :].astype(np.float32)
    return Keypoints(chosen[..., :2], chosen[..., 2])
