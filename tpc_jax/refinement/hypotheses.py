"""Where a search begins: what keypoints say of a person who may have turned about."""

from typing import Any

import numpy as np

from tpc_jax._types import Keypoints, Transform2D
from tpc_jax.calibration import calibrate_on_host
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.skeletons import FACE_POINTS, KEYPOINT_INDEX, MIRRORED

# Joints in pairs, whose middles stay in place when a person turns about the vertical.
_PAIRED = ("shoulder", "hip", "knee", "ankle")


def mirrored_fit(reference: Keypoints, driving: Keypoints, **options: Any) -> Transform2D:
    """Fit as if left and right had changed places; arguments as for `calibrate`."""
    order = list(MIRRORED)
    swapped = Keypoints(reference.xy[..., order, :], reference.conf[..., order])
    return calibrate_on_host(swapped, driving, **options).drv_from_ref


def middle_fit(reference: Keypoints, driving: Keypoints, **options: Any) -> Transform2D:
    """Fit the points that a turn leaves in place; arguments as for `calibrate`."""
    sides = (_middles(reference), _middles(driving))
    return calibrate_on_host(*sides, method="all", **options).drv_from_ref


def _middles(keypoints: Keypoints) -> Keypoints:
    """Return the middle of the face and of every pair, `[*batch 5]`."""
    xy, conf = np.asarray(keypoints.xy), np.asarray(keypoints.conf)
    groups = [list(FACE_POINTS)]
    groups += [[KEYPOINT_INDEX[f"{side}_{name}"] for side in ("left", "right")] for name in _PAIRED]
    places, certainties = [], []
    for group in groups:
        seen = (conf[..., group] > DEFAULT_TAU) & np.isfinite(xy[..., group, :]).all(-1)
        count = seen.sum(-1)
        total = np.where(seen[..., None], xy[..., group, :], 0).sum(-2)
        places.append(total / np.maximum(count, 1)[..., None])
        # Half a pair has no middle, but a face has one by any of its points.
        is_whole = count >= (1 if len(group) > 2 else 2)
        certainties.append(np.where(is_whole, 1.0, 0.0))
    return Keypoints(
        np.stack(places, -2).astype(np.float32), np.stack(certainties, -1).astype(np.float32)
    )
