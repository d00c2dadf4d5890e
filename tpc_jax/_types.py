"""Containers shared by every stage: keypoints, planar transforms, solver status.

Points are (x, y) in pixels with the origin at the centre of the top-left pixel and y down.
Angles are radians, positive from +x towards +y.
"""

import enum
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, Int

# The points of COCO-17 in order; left and right are the person's own.
KEYPOINT_NAMES: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip


class Keypoints(NamedTuple):
    """COCO-17 keypoints of one or many people, on the host (NumPy) or on the device.

    Attributes:
        xy: Positions in pixels (x, y). The values of points with zero confidence are ignored.
        conf: Detector confidence in [0, 1]; 0 marks a missing point.
    """

    xy: Float[Array, "*batch points 2"] | Float[np.ndarray, "*batch points 2"]
    conf: Float[Array, "*batch points"] | Float[np.ndarray, "*batch points"]

    def select(self, index: Any) -> "Keypoints":
        """Index the batch axes of both arrays, as in `keypoints.select(np.s_[:, frame])`."""
        return Keypoints(self.xy[index], self.conf[index])


class Transform2D(NamedTuple):
    """A planar linear map plus translation: `x_out = linear @ x_in + offset`.

    Variables are named target-from-source, e.g. `drv_from_ref`. For a similarity `linear` is
    scale times rotation; for an affine fit it is any 2x2 matrix.

    Attributes:
        linear: 2x2 matrix, unitless.
        offset: Translation in pixels of the target frame.
    """

    linear: Float[Array, "*batch 2 2"] | Float[np.ndarray, "*batch 2 2"]
    offset: Float[Array, "*batch 2"] | Float[np.ndarray, "*batch 2"]


class SolveStatus(enum.IntEnum):
    """Outcome of one fit, carried as int32 through jit.

    UNSUPPORTED: the points determine a transform, but say too little of the rest of the person. A
    fit that is not OK holds the identity until the degenerate-frame policy replaces it.
    """

    OK = 0
    TOO_FEW_POINTS = 1
    ZERO_SPREAD = 2
    OUT_OF_RANGE = 3
    UNSUPPORTED = 4


class ProcrustesResult(NamedTuple):
    """The least-squares alignment of reference points to driving points.

    Attributes:
        drv_from_ref: The fitted transform.
        residual: Weighted mean squared distance after alignment, in squared driving pixels.
        status: A `SolveStatus` value.
    """

    drv_from_ref: Transform2D
    residual: Float[Array, "*batch"]
    status: Int[Array, "*batch"]


class SubsetFit(NamedTuple):
    """The chosen keypoint subset of one problem and the fit to it.

    Attributes:
        result: The alignment fitted to the chosen points.
        subset: True for the points that steered the fit.
    """

    result: ProcrustesResult
    subset: Bool[Array, "*batch points"]
