"""A person's silhouette guessed from keypoints: tapered capsules around the limbs.

A rendered skeleton has no outline. Its mask is drawn with the thickness of an average body, in
units of the torso (from the middle of the shoulders to the middle of the hips).
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from tpc_jax._types import Keypoints
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.skeletons import FACE_POINTS, KEYPOINT_INDEX

# Lengths between visible joints, in torsos, that tell the size of a torso seen foreshortened.
_LENGTHS = {
    ("left_shoulder", "right_shoulder"): 0.70,
    ("left_shoulder", "left_hip"): 1.00,
    ("right_shoulder", "right_hip"): 1.00,
    ("left_shoulder", "left_elbow"): 0.56,
    ("right_shoulder", "right_elbow"): 0.56,
    ("left_elbow", "left_wrist"): 0.50,
    ("right_elbow", "right_wrist"): 0.50,
    ("left_hip", "left_knee"): 0.85,
    ("right_hip", "right_knee"): 0.85,
    ("left_knee", "left_ankle"): 0.82,
    ("right_knee", "right_ankle"): 0.82,
    ("left_ear", "right_ear"): 0.30,
}
# Limbs as (start, end, radius at the start, radius at the end), radii in torsos.
_LIMBS = (
    ("shoulder", "elbow", 0.115, 0.09),
    ("elbow", "wrist", 0.09, 0.065),
    ("hip", "knee", 0.18, 0.125),
    ("knee", "ankle", 0.125, 0.08),
)
# The trunk at shoulders and hips: radius around each joint, and the least width, which is the
# depth of a body seen from the side.
_TRUNK = {"shoulder": (0.11, 0.44), "hip": (0.15, 0.48)}
_NECK = 0.12
# A hand goes on beyond the wrist, in forearms; a foot surrounds the ankle.
_HAND_LENGTH, _HAND, _FOOT = 0.55, 0.08, 0.11
# The head, from the middle of the ears: half its width and height, and how far up its middle is.
_HEAD_WIDTH, _HEAD_HEIGHT, _HEAD_UP = 0.175, 0.23, 0.04
# The middle of a head with one ear in view, from that ear towards the nose.
_PROFILE = 0.25
_CIRCLE = np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 24)), np.sin(np.linspace(0, 2 * np.pi, 24))], axis=-1
)
# Polygon corners are passed with 1/16 pixel.
_SHIFT = 4

_Points = dict[str, Float[np.ndarray, " 2"]]


def capsule_mask(
    keypoints: Keypoints, height: int, width: int, tau: float = DEFAULT_TAU
) -> Bool[np.ndarray, "{height} {width}"]:
    """Draw the silhouette of one person.

    Args:
        keypoints: NumPy COCO-17 keypoints `[17]` in pixels of the canvas.
        height: Canvas height in pixels.
        width: Canvas width in pixels.
        tau: Points with confidence above this are used; what they do not determine is left out.

    Returns:
        The person's pixels; empty with fewer than two visible points.

    Source:
        Own derivation; thickness fitted by eye to DensePose masks of several people.
    """
    canvas = np.zeros((height, width), np.uint8)
    xy, conf = np.asarray(keypoints.xy, float), np.asarray(keypoints.conf)
    seen = (conf > tau) & np.isfinite(xy).all(axis=-1)
    points = {name: xy[index] for name, index in KEYPOINT_INDEX.items() if seen[index]}
    torso = _torso_length(points)
    if torso == 0:
        return canvas.astype(bool)
    for side in ("left", "right"):
        for start, end, wide, narrow in _LIMBS:
            _capsule(canvas, points, (f"{side}_{start}", wide), (f"{side}_{end}", narrow), torso)
        _draw_ends(canvas, points, side, torso)
    _draw_trunk(canvas, points, torso)
    _draw_head(canvas, xy[list(FACE_POINTS)][seen[list(FACE_POINTS)]], points, torso)
    return canvas.astype(bool)


def _torso_length(points: _Points) -> float:
    """Estimate the torso's length in pixels from every visible pair; 0 if there is none.

    Foreshortening only shortens, so the long estimates are right; the longest may be an error.
    """
    estimates = sorted(
        float(np.linalg.norm(points[a] - points[b])) / length
        for (a, b), length in _LENGTHS.items()
        if a in points and b in points
    )
    if not estimates:
        return 0.0
    return estimates[-2] if len(estimates) > 2 else estimates[-1]


def _capsule(
    canvas: np.ndarray,
    points: _Points,
    start: tuple[str, float],
    end: tuple[str, float],
    torso: float,
) -> None:
    if start[0] in points and end[0] in points:
        circles = [points[name] + radius * torso * _CIRCLE for name, radius in (start, end)]
        _fill(canvas, np.concatenate(circles))


def _draw_trunk(canvas: np.ndarray, points: _Points, torso: float) -> None:
    circles = []
    for joint, (radius, least_width) in _TRUNK.items():
        pair = [points[name] for name in (f"left_{joint}", f"right_{joint}") if name in points]
        width = float(np.linalg.norm(pair[0] - pair[-1])) if pair else 0.0
        reach = max(radius * torso, (least_width * torso - width) / 2)
        circles += [position + reach * _CIRCLE for position in pair]
    if len(circles) > 1:
        _fill(canvas, np.concatenate(circles))


def _draw_ends(canvas: np.ndarray, points: _Points, side: str, torso: float) -> None:
    wrist, elbow = points.get(f"{side}_wrist"), points.get(f"{side}_elbow")
    if wrist is not None:
        tip = wrist if elbow is None else wrist + _HAND_LENGTH * (wrist - elbow)
        # A forearm that points at the camera has a hand all the same, but not a long one.
        _fill(canvas, np.concatenate([p + _HAND * torso * _CIRCLE for p in (wrist, tip)]))
    ankle = points.get(f"{side}_ankle")
    if ankle is not None:
        _fill(canvas, ankle + _FOOT * torso * _CIRCLE)


def _draw_head(
    canvas: np.ndarray, face: Float[np.ndarray, "seen 2"], points: _Points, torso: float
) -> None:
    if len(face) == 0:
        return
    ears = [points[name] for name in ("left_ear", "right_ear") if name in points]
    middle = np.mean(ears, axis=0) if len(ears) == 2 else face.mean(axis=0)
    if len(ears) == 1 and "nose" in points:
        middle = ears[0] + _PROFILE * (points["nose"] - ears[0])
    shoulders = [points[name] for name in ("left_shoulder", "right_shoulder") if name in points]
    up = np.array([0.0, -1.0])
    if shoulders:
        collar = np.mean(shoulders, axis=0)
        up = (middle - collar) / max(float(np.linalg.norm(middle - collar)), 1e-6)
        if len(shoulders) == 2:
            _fill(canvas, np.concatenate([p + _NECK * torso * _CIRCLE for p in (collar, middle)]))
    right = np.array([-up[1], up[0]])
    centre = middle + _HEAD_UP * torso * up
    axes = np.stack([_HEAD_WIDTH * torso * right, _HEAD_HEIGHT * torso * up])
    _fill(canvas, centre + _CIRCLE @ axes)


def _fill(canvas: np.ndarray, outline: Float[np.ndarray, "corners 2"]) -> None:
    """Fill the convex hull of points."""
    corners = cv2.convexHull(np.rint(outline * 2**_SHIFT).astype(np.int32))
    cv2.fillConvexPoly(canvas, corners, 1, shift=_SHIFT)
