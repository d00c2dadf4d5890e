"""A drawn person for the tests of the refinement."""

import numpy as np

from tpc_jax._types import Keypoints
from tpc_jax.pose.body_model import capsule_parts

SIZE = (200, 240)
# A person who faces the camera with one arm raised, in units of the torso about the hips' middle;
# the person's left is on the right of the picture.
_POSE = np.array(
    [
        [0, -1.45], [0.07, -1.52], [-0.07, -1.52], [0.15, -1.48], [-0.15, -1.48],
        [0.35, -1.0], [-0.35, -1.0], [0.75, -1.35], [-0.45, -0.5], [0.8, -1.85], [-0.4, 0.0],
        [0.2, 0.0], [-0.2, 0.0], [0.25, 0.85], [-0.22, 0.85], [0.27, 1.65], [-0.24, 1.65],
    ]
)  # fmt: skip


def place(degrees: float = 0, scale: float = 1, at=(120, 100), *, turned: bool = False):
    """Return the person's 17 points in pixels; turned about, seen from behind."""
    points = _POSE * (-1, 1) if turned else _POSE
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return 45 * scale * points @ turn.T + at


def keypoints(xy, missing=()) -> Keypoints:
    """Return points as keypoints, of which some are missing."""
    conf = np.ones(17, np.float32)
    conf[list(missing)] = 0
    return Keypoints(np.asarray(xy, np.float32), conf)


def parts_of(xy) -> np.ndarray:
    """Return the segments of the person."""
    return capsule_parts(keypoints(xy), *SIZE)
