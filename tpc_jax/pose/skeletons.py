"""The COCO-17 skeleton: names in order, mirrored joints, bones, named subsets, limbs to draw.

Left and right are the person's own. Everything here is static host data.
"""

from types import MappingProxyType

import numpy as np

from tpc_jax._types import KEYPOINT_NAMES as KEYPOINT_NAMES

NUM_KEYPOINTS = len(KEYPOINT_NAMES)
KEYPOINT_INDEX = MappingProxyType({name: i for i, name in enumerate(KEYPOINT_NAMES)})

# keypoints[MIRRORED] names the joints of the same person seen in a mirror.
MIRRORED: tuple[int, ...] = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)

# Joints at the ends of arms' and legs' bones, the one nearer to the trunk first; a bone is called
# as the body segment around it (`densepose.SEGMENTS`).
BONES: MappingProxyType[str, tuple[int, int]] = MappingProxyType(
    {
        f"{side}_{segment}": (KEYPOINT_INDEX[f"{side}_{start}"], KEYPOINT_INDEX[f"{side}_{end}"])
        for segment, start, end in (
            ("upper_arm", "shoulder", "elbow"),
            ("lower_arm", "elbow", "wrist"),
            ("upper_leg", "hip", "knee"),
            ("lower_leg", "knee", "ankle"),
        )
        for side in ("left", "right")
    }
)

FACE_POINTS: tuple[int, ...] = (0, 1, 2, 3, 4)
TORSO_POINTS: tuple[int, ...] = (5, 6, 11, 12)
ARM_POINTS: tuple[int, ...] = (5, 6, 7, 8, 9, 10)
LEG_POINTS: tuple[int, ...] = (11, 12, 13, 14, 15, 16)


def keypoint_mask(*indices: int) -> np.ndarray:
    """Return a read-only boolean mask over COCO-17, True at the given indices."""
    mask = np.zeros(NUM_KEYPOINTS, dtype=bool)
    mask[list(indices)] = True
    mask.setflags(write=False)
    return mask


SUBSETS: MappingProxyType[str, np.ndarray] = MappingProxyType(
    {
        "all": keypoint_mask(*range(NUM_KEYPOINTS)),
        "face": keypoint_mask(*FACE_POINTS),
        "torso": keypoint_mask(*TORSO_POINTS),
        "arms": keypoint_mask(*ARM_POINTS),
        "legs": keypoint_mask(*LEG_POINTS),
        "upper_body": keypoint_mask(*FACE_POINTS, *ARM_POINTS, 11, 12),
    }
)

LIMBS: tuple[tuple[int, int], ...] = (
    (0, 1), (0, 2), (1, 3), (2, 4),  # face
    (5, 6), (5, 11), (6, 12), (11, 12),  # torso
    (5, 7), (7, 9), (6, 8), (8, 10),  # arms
    (11, 13), (13, 15), (12, 14), (14, 16),  # legs
)  # fmt: skip
