"""A standing person as BlazePose's landmarks, seen from any side."""

import numpy as np

# The left half: x to the person's left, y down, z behind them, in torsos from between the hips.
# Right landmarks have the next number, in the face three more.
_LEFT = {
    1: (0.03, -1.47, -0.2), 2: (0.06, -1.47, -0.2), 3: (0.1, -1.47, -0.15),
    7: (0.15, -1.42, 0.0), 9: (0.05, -1.33, -0.2), 11: (0.36, -1.0, 0.0),
    13: (0.5, -0.45, 0.0), 15: (0.6, 0.05, -0.02), 17: (0.62, 0.17, -0.02),
    19: (0.6, 0.18, -0.06), 21: (0.58, 0.12, -0.08), 23: (0.2, 0.0, 0.0),
    25: (0.22, 0.85, -0.02), 27: (0.22, 1.65, 0.02), 29: (0.22, 1.72, 0.06),
    31: (0.24, 1.75, -0.18),
}  # fmt: skip


def landmarks(turn=0.0, scale=100.0, at=(256.0, 200.0)):
    """Return [33, 3] in pixels, turned by degrees about the vertical; 0 faces the camera."""
    points = np.zeros((33, 3))
    points[0] = (0, -1.42, -0.26)
    for number, place in _LEFT.items():
        points[number] = place
        points[number + (3 if number < 4 else 1)] = place * np.array([-1, 1, 1])
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    about_vertical = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
    return (scale * points @ about_vertical.T + np.array([*at, 0.0])).astype(np.float32)
