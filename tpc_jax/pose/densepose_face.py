"""The face of a DensePose head: five points from a turned cylinder.

A DensePose head has two parts, its right and its left half. The seam between them runs down the
face and down the back of the head, so the shares of the two tell how far the head is turned; the
face points then lie at fixed angles on an upright elliptic cylinder around the silhouette.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

# The head, in metres: across, front to back, from the vertex to the collar, and how far the neck
# sits behind the axis.
_BREADTH, _DEPTH, _HEIGHT, _NECK_BACK = 0.16, 0.195, 0.245, 0.02
# Degrees from the nose towards the person's left, metres below the vertex, distance from the axis
# in radii, and what is added to the cosine of the angle to the camera to tell what shows: the
# nose sticks out and ears are seen edge-on.
_POINTS = {
    "nose": (0, 0.138, 1.1, 0.4),
    "left_eye": (21, 0.095, 1.0, 0.1),
    "right_eye": (-21, 0.095, 1.0, 0.1),
    "left_ear": (90, 0.112, 0.9, 0.5),
    "right_ear": (-90, 0.112, 0.9, 0.5),
}
# Of a half that shows less than this share nothing certain is known.
_SLIVER = 0.04
_TURNS = np.linspace(-np.pi / 2, np.pi / 2, 181)
_SHARES = 0.5 + (_TURNS + np.sin(_TURNS) * np.cos(_TURNS)) / np.pi


class _Head(NamedTuple):
    """A measured head.

    Attributes:
        centre: Mean of its pixels.
        up: Direction from the neck to the vertex.
        right: The screen's right when the head is upright.
        along: Height of each pixel over the centre.
        axis: Where the cylinder's axis lies to the right of the centre.
        radius: Half the silhouette's width.
        turn: Angle of the nose from the camera, positive to the right.
        scale: Pixels per metre, from the width.
    """

    centre: Float[np.ndarray, " 2"]
    up: Float[np.ndarray, " 2"]
    right: Float[np.ndarray, " 2"]
    along: Float[np.ndarray, " pixels"]
    axis: float
    radius: float
    turn: float
    scale: float


def locate_face(
    pixels: Float[np.ndarray, "pixels 2"],
    is_left: Bool[np.ndarray, " pixels"],
    neck: Float[np.ndarray, " 2"] | None,
    *,
    is_back: bool,
    frame_size: tuple[int, int],
) -> dict[str, tuple[Float[np.ndarray, " 2"], float]]:
    """Place nose, eyes and ears on a head.

    Args:
        pixels: (x, y) of the head's pixels.
        is_left: Which of them belong to the left half.
        neck: The middle of the seam between head and torso, if there is one.
        is_back: Whether the torso shows its back; decides where the head is in profile.
        frame_size: (height, width); a head cut off by the border is measured by its width alone.

    Returns:
        Position and visibility in [0, 1] per COCO name.

    Source:
        Own derivation; proportions of an adult head, offsets measured on real frames.
    """
    head = _measure(pixels, is_left, neck, is_back=is_back)
    if neck is not None:  # where the neck sits depends on how far the head is turned
        root = neck + _NECK_BACK * head.scale * np.sin(head.turn) * head.right
        head = _measure(pixels, is_left, root, is_back=is_back)
    scale, (top, bottom) = head.scale, np.quantile(head.along, (0.995, 0.005))
    limit = np.array(frame_size[::-1]) - 1.0
    crown = pixels[head.along > top - 1]
    is_cut = bool(((crown < 1.5) | (crown > limit - 1.5)).any())
    if neck is not None and is_cut:
        top = bottom + _HEIGHT * scale
    elif neck is not None:
        scale = (scale + (top - bottom) / _HEIGHT) / 2
    face = {}
    for name, (angle, below, out, bonus) in _POINTS.items():
        theta = head.turn + np.deg2rad(angle)
        x, y = head.axis + out * head.radius * np.sin(theta), top - below * scale
        visibility = float(np.clip(2 * (np.cos(theta) + bonus), 0, 1))
        face[name] = (head.centre + x * head.right + y * head.up, visibility)
    return face


def _measure(
    pixels: Float[np.ndarray, "pixels 2"],
    is_left: Bool[np.ndarray, " pixels"],
    root: Float[np.ndarray, " 2"] | None,
    *,
    is_back: bool,
) -> _Head:
    centre = pixels.mean(axis=0)
    up = np.array([0.0, -1.0])
    if root is not None and (height := float(np.linalg.norm(centre - root))) > 0:
        up = (centre - root) / height
    right = np.array([-up[1], up[0]])
    across, along = (pixels - centre) @ right, (pixels - centre) @ up
    # The neck is narrower than the head and off its axis: measure the upper part alone.
    upper = across[along >= np.quantile(along, 0.3)]
    axis, radius = float(np.median(upper)), max(float(2 * upper.std()), 1.0)
    turn = _turn(across, is_left, is_back)
    scale = 2 * radius / float(np.hypot(_BREADTH * np.cos(turn), _DEPTH * np.sin(turn)))
    return _Head(centre, up, right, along, axis, radius, turn, scale)


def _turn(
    across: Float[np.ndarray, " pixels"], is_left: Bool[np.ndarray, " pixels"], is_back: bool
) -> float:
    """Return the angle of the nose from the camera, positive to the screen's right.

    A seam at angle t divides the silhouette, an ellipse, at sin t of its half width; the share
    on one side of it is 1/2 + (t + sin t cos t) / pi.
    """
    right_share = float(1 - is_left.mean())
    seam = float(np.interp(right_share, _SHARES, _TURNS))
    if min(right_share, 1 - right_share) > _SLIVER:
        is_back = across[is_left].mean() < across[~is_left].mean()
    return np.pi - seam if is_back else seam
