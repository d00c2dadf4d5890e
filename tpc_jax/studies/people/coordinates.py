"""Where on the body a pixel is: coordinates of drawn people, in place of DensePose's U and V."""

import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.pose.densepose import BONE_PARTS, SEGMENTS
from tpc_jax.pose.skeletons import BONES, KEYPOINT_INDEX


def body_coordinates(
    parts: UInt8[np.ndarray, "frames height width"], keypoints: Keypoints
) -> Float[np.ndarray, "frames height width 2"]:
    """Return coordinates in (0, 1) of every pixel of one person; 0 where nobody is.

    They are fixed to the body as DensePose's are, and turn and grow with it, but they are not
    DensePose's own charts: the first runs along the limb, the second across it, in its lengths.

    Args:
        parts: DensePose part ids.
        keypoints: The person `[frames 17]` in pixels.
    """
    uv: np.ndarray = np.zeros((*parts.shape, 2), np.float32)
    for out, ids, xy in zip(uv, parts, np.asarray(keypoints.xy), strict=True):
        for part, frame in part_frames(xy).items():
            y, x = np.nonzero(ids == part)
            along, across = frame[:2, 0], frame[:2, 1]
            # Limbs measure what lies across them in pixels.
            unit = max(np.hypot(*along), 1.0) / max(np.hypot(*across), 1e-3)
            own = np.linalg.pinv(frame) @ np.stack([x, y, np.ones_like(x)])
            out[y, x] = 0.5 + np.arctan(own[:2].T / [1.0, unit]) / np.pi
    return uv


def part_frames(keypoints: np.ndarray) -> dict[int, np.ndarray]:
    """Return per part id the affine map from the part's own coordinates to pixels."""
    joint = {name: keypoints[index].astype(float) for name, index in KEYPOINT_INDEX.items()}
    left, right = (
        {name: joint[f"{side}_{name}"] for name in ("ear", "shoulder", "hip")}
        for side in ("left", "right")
    )
    middle = {name: (left[name] + right[name]) / 2 for name in left}
    frames = {}
    for bone, (start, end) in BONES.items():
        along = (keypoints[end] - keypoints[start]).astype(float)
        across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-3)
        frames |= dict.fromkeys(BONE_PARTS[bone], _affine(along, across, keypoints[start]))
    width = (left["shoulder"] - right["shoulder"] + left["hip"] - right["hip"]) / 2
    down = middle["hip"] - middle["shoulder"]
    frames |= dict.fromkeys(SEGMENTS["torso"], _affine(width, down, middle["shoulder"]))
    neck = middle["shoulder"] - middle["ear"]
    frames |= dict.fromkeys(SEGMENTS["head"], _affine(neck[::-1] * [1, -1], neck, middle["ear"]))
    return frames


def _affine(*columns: np.ndarray) -> np.ndarray:
    return np.vstack([np.stack(columns, axis=1), [0.0, 0.0, 1.0]])
