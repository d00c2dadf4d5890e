"""A person's body guessed from keypoints: tapered capsules around the limbs.

A rendered skeleton has no outline. Its segments are drawn with the thickness of an average body, in
units of the torso (from the middle of the shoulders to the middle of the hips).
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.pose.densepose import SEGMENT_NUMBERS
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.skeletons import FACE_POINTS, KEYPOINT_INDEX, KEYPOINT_NAMES

# Lengths between visible joints, in torsos, that tell the size of a torso seen foreshortened.
LENGTHS = {
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
# Limbs as start, end, radius at the start, radius at the end, radii in torsos.
_LIMBS = {
    "upper_arm": ("shoulder", "elbow", 0.115, 0.09),
    "lower_arm": ("elbow", "wrist", 0.09, 0.065),
    "upper_leg": ("hip", "knee", 0.18, 0.125),
    "lower_leg": ("knee", "ankle", 0.125, 0.08),
}
# Distance of the hips where they are out of sight, in distances of the shoulders.
_HIP_WIDTH = 0.65
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
_FACE = [KEYPOINT_NAMES[index] for index in FACE_POINTS]
_CIRCLE = np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 24)), np.sin(np.linspace(0, 2 * np.pi, 24))], axis=-1
)
# Polygon corners are passed with 1/16 pixel.
_SHIFT = 4

_Points = dict[str, Float[np.ndarray, " 2"]]


def capsule_parts(
    keypoints: Keypoints, height: int, width: int, tau: float = DEFAULT_TAU
) -> UInt8[np.ndarray, "{height} {width}"]:
    """Draw the body segments of one person.

    Legs that no joint shows go on straight to the picture's border or to their full length, and
    missing hips lie a torso below the shoulders: people in half pictures do not end there.

    Args:
        keypoints: NumPy COCO-17 keypoints `[17]` in pixels of the canvas.
        height: Canvas height in pixels.
        width: Canvas width in pixels.
        tau: Points with confidence above this are used; what they do not determine is left out.

    Returns:
        Numbers of `densepose.SEGMENTS` from 1, 0 beside the person; arms lie in front. Nothing but
        0 with fewer than two visible points.

    Source:
        Own derivation; thickness fitted by eye to DensePose masks of several people.
    """
    canvas = np.zeros((height, width), np.uint8)
    points = _visible_points(keypoints, tau)
    torso = _torso_length(points)
    if torso == 0:
        return canvas
    face = np.array([points[name] for name in _FACE if name in points]).reshape(-1, 2)
    _complete(points, face, torso)
    _draw_trunk(canvas, points, torso)
    _draw_limbs(canvas, points, torso, ("upper_leg", "lower_leg"))
    for side in ("left", "right"):
        _draw_foot(canvas, points, side, torso)
    _draw_head(canvas, face, points, torso)
    _draw_limbs(canvas, points, torso, ("upper_arm", "lower_arm"))
    for side in ("left", "right"):
        _draw_hand(canvas, points, side, torso)
    return canvas


def capsule_mask(
    keypoints: Keypoints, height: int, width: int, tau: float = DEFAULT_TAU
) -> Bool[np.ndarray, "{height} {width}"]:
    """Draw the silhouette of one person; arguments as for `capsule_parts`."""
    return capsule_parts(keypoints, height, width, tau) > 0


def _visible_points(keypoints: Keypoints, tau: float) -> _Points:
    xy, conf = np.asarray(keypoints.xy, float), np.asarray(keypoints.conf)
    seen = (conf > tau) & np.isfinite(xy).all(axis=-1)
    return {name: xy[index] for name, index in KEYPOINT_INDEX.items() if seen[index]}


def _torso_length(points: _Points) -> float:
    """Estimate the torso's length in pixels from every visible pair; 0 if there is none.

    Foreshortening only shortens, so the long estimates are right; the longest may be an error.
    """
    estimates = sorted(
        float(np.linalg.norm(points[a] - points[b])) / length
        for (a, b), length in LENGTHS.items()
        if a in points and b in points
    )
    if not estimates:
        return 0.0
    return estimates[-2] if len(estimates) > 2 else estimates[-1]


def _complete(points: _Points, face: Float[np.ndarray, "seen 2"], torso: float) -> None:
    """Add the hips, knees and ankles that are out of sight, in place."""
    shoulders, hips = (_pair(points, joint) for joint in ("shoulder", "hip"))
    down = _downward(shoulders, hips, face, torso)
    if down is None:
        return
    across = np.zeros(2)
    if len(shoulders) == 2:
        across = _HIP_WIDTH * (shoulders[0] - shoulders[1])
    if not hips:
        middle = np.mean(shoulders, axis=0) + torso * down
        points["left_hip"], points["right_hip"] = middle + across / 2, middle - across / 2
    elif "left_hip" not in points:
        points["left_hip"] = points["right_hip"] + across
    elif "right_hip" not in points:
        points["right_hip"] = points["left_hip"] - across
    for side in ("left", "right"):
        hip, thigh = points[f"{side}_hip"], down
        knee = points.get(f"{side}_knee")
        if knee is None:
            length = LENGTHS["left_hip", "left_knee"] * torso
            knee = points[f"{side}_knee"] = hip + length * down
        elif (reach := float(np.linalg.norm(knee - hip))) > 0:
            thigh = (knee - hip) / reach
        if f"{side}_ankle" not in points:
            length = LENGTHS["left_knee", "left_ankle"] * torso
            points[f"{side}_ankle"] = knee + length * thigh


def _pair(points: _Points, joint: str) -> list[Float[np.ndarray, " 2"]]:
    return [points[name] for name in (f"left_{joint}", f"right_{joint}") if name in points]


def _downward(shoulders, hips, face, torso: float) -> Float[np.ndarray, " 2"] | None:
    """Return the direction from shoulders to hips, else from the face to the shoulders."""
    for start, end, least in ((shoulders, hips, 0.3), (face, shoulders, 0.1)):
        if len(start) and len(end):
            axis = np.mean(end, axis=0) - np.mean(start, axis=0)
            length = float(np.linalg.norm(axis))
            if length > least * torso:
                return axis / length
    return None


def _draw_limbs(canvas: np.ndarray, points: _Points, torso: float, names: tuple[str, ...]) -> None:
    for name in names:
        start, end, wide, narrow = _LIMBS[name]
        for side in ("left", "right"):
            joints = [f"{side}_{joint}" for joint in (start, end)]
            if all(joint in points for joint in joints):
                circles = [
                    points[joint] + radius * torso * _CIRCLE
                    for joint, radius in zip(joints, (wide, narrow), strict=True)
                ]
                _fill(canvas, np.concatenate(circles), f"{side}_{name}")


def _draw_trunk(canvas: np.ndarray, points: _Points, torso: float) -> None:
    circles = []
    for joint, (radius, least_width) in _TRUNK.items():
        pair = _pair(points, joint)
        width = float(np.linalg.norm(pair[0] - pair[-1])) if pair else 0.0
        reach = max(radius * torso, (least_width * torso - width) / 2)
        circles += [position + reach * _CIRCLE for position in pair]
    if len(circles) > 1:
        _fill(canvas, np.concatenate(circles), "torso")


def _draw_hand(canvas: np.ndarray, points: _Points, side: str, torso: float) -> None:
    wrist, elbow = points.get(f"{side}_wrist"), points.get(f"{side}_elbow")
    if wrist is not None:
        tip = wrist if elbow is None else wrist + _HAND_LENGTH * (wrist - elbow)
        # A forearm that points at the camera has a hand all the same, but not a long one.
        circles = [point + _HAND * torso * _CIRCLE for point in (wrist, tip)]
        _fill(canvas, np.concatenate(circles), f"{side}_hand")


def _draw_foot(canvas: np.ndarray, points: _Points, side: str, torso: float) -> None:
    ankle = points.get(f"{side}_ankle")
    if ankle is not None:
        _fill(canvas, ankle + _FOOT * torso * _CIRCLE, f"{side}_foot")


def _draw_head(
    canvas: np.ndarray, face: Float[np.ndarray, "seen 2"], points: _Points, torso: float
) -> None:
    if len(face) == 0:
        return
    ears = _pair(points, "ear")
    middle = np.mean(ears, axis=0) if len(ears) == 2 else face.mean(axis=0)
    if len(ears) == 1 and "nose" in points:
        middle = ears[0] + _PROFILE * (points["nose"] - ears[0])
    shoulders = _pair(points, "shoulder")
    up = np.array([0.0, -1.0])
    if shoulders:
        collar = np.mean(shoulders, axis=0)
        up = (middle - collar) / max(float(np.linalg.norm(middle - collar)), 1e-6)
        if len(shoulders) == 2:
            circles = [point + _NECK * torso * _CIRCLE for point in (collar, middle)]
            _fill(canvas, np.concatenate(circles), "head")
    right = np.array([-up[1], up[0]])
    centre = middle + _HEAD_UP * torso * up
    axes = np.stack([_HEAD_WIDTH * torso * right, _HEAD_HEIGHT * torso * up])
    _fill(canvas, centre + _CIRCLE @ axes, "head")


def _fill(canvas: np.ndarray, outline: Float[np.ndarray, "corners 2"], segment: str) -> None:
    """Fill the convex hull of points with the number of a segment."""
    corners = cv2.convexHull(np.rint(outline * 2**_SHIFT).astype(np.int32))
    cv2.fillConvexPoly(canvas, corners, SEGMENT_NUMBERS[segment], shift=_SHIFT)
