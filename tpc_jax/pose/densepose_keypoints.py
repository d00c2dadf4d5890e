"""COCO-17 keypoints from DensePose part maps.

Joints lie where two body segments meet: the middle of an elbow's seam is the elbow. Where a seam
says little (an arm lying along the torso touches it from shoulder to hip) the end of the limb's
core is taken. The face follows from a cylinder that is turned until its two halves show as much
of themselves as the head's halves do.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.pose.densepose import HEAD_LEFT, SEGMENTS, TORSO_BACK, TORSO_FRONT
from tpc_jax.pose.skeletons import KEYPOINT_INDEX, NUM_KEYPOINTS

# Confidence of a joint whose seam is as long as the limb is wide, and of one guessed from the end
# of a limb alone (above the usual visibility threshold 0.3, but last in any weighting).
_SEEN, _GUESSED = 0.9, 0.4
# What is left of the confidence of a joint that a limb in front of it hides.
_HIDDEN = 0.6
# A speck smaller than this share of its segment's largest piece is a decoding error.
_SPECK = 0.1
# Pixels this deep, relative to the deepest, are the core of a limb.
_CORE = 0.6


class _Segment(NamedTuple):
    """One body segment in the crop.

    Attributes:
        mask: Its pixels.
        box: (left, top, right, bottom) around them, exclusive at the far ends.
        radius: Half its width in pixels.
        core: (x, y) of the pixels deep inside.
    """

    mask: UInt8[np.ndarray, "height width"]
    box: tuple[int, int, int, int]
    radius: float
    core: Float[np.ndarray, "pixels 2"]


class _Seam(NamedTuple):
    """Where two segments meet: pixels on both sides, and how sure a joint in its middle is."""

    pixels: Float[np.ndarray, "pixels 2"]
    conf: float


# The head of the body model behind DensePose, in metres: across, front to back, vertex to collar.
_HEAD_BREADTH, _HEAD_DEPTH, _HEAD_HEIGHT = 0.16, 0.195, 0.245
# Face points on the cylinder: degrees from the nose towards the person's left, metres below the
# vertex, distance from the axis in radii.
_FACE_POINTS = {
    "nose": (0, 0.138, 1.1),
    "left_eye": (21, 0.095, 1.0),
    "right_eye": (-21, 0.095, 1.0),
    "left_ear": (90, 0.112, 0.9),
    "right_ear": (-90, 0.112, 0.9),
}
_TURN_TABLE = np.linspace(-np.pi / 2, np.pi / 2, 181)
_SHARE_TABLE = 0.5 + (_TURN_TABLE + np.sin(_TURN_TABLE) * np.cos(_TURN_TABLE)) / np.pi

_Point = tuple[Float[np.ndarray, " 2"], float]
_NOTHING: _Point = (np.zeros(2), 0.0)


def keypoints_from_parts(
    parts: UInt8[np.ndarray, "height width"], person: Bool[np.ndarray, "height width"]
) -> Keypoints:
    """Find one person's joints in a part map.

    Args:
        parts: Clean part map (0 background, 1 to 24).
        person: The person's pixels.

    Returns:
        NumPy keypoints `[17]` in pixels. Confidence is up to 0.9 for a joint on a clear seam or a
        face point turned to the camera, 0.4 for a joint guessed from a limb's end, 0 for a
        joint that is hidden or out of the picture.

    Source:
        Own derivation from the part layout of DensePose.
    """
    xy, conf = np.zeros((NUM_KEYPOINTS, 2), np.float32), np.zeros(NUM_KEYPOINTS, np.float32)
    rows, columns = np.nonzero(person.any(axis=1))[0], np.nonzero(person.any(axis=0))[0]
    if len(rows) == 0:
        return Keypoints(xy, conf)
    margin = 2
    top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
    box = np.s_[top : rows[-1] + margin + 1, left : columns[-1] + margin + 1]
    crop = np.where(person[box], parts[box], 0)
    body = _segments(crop)
    origin = np.array([left, top], float)
    frame = np.array(parts.shape[::-1]) - 1.0
    points: dict[str, _Point] = {}
    for side in ("left", "right"):
        points |= _arm(body, side, origin, frame)
        points |= _leg(body, side, origin, frame)
    points |= _face(body, crop, origin)
    for name, (position, certainty) in points.items():
        xy[KEYPOINT_INDEX[name]], conf[KEYPOINT_INDEX[name]] = position + origin, certainty
    return Keypoints(xy, conf)


def _segments(crop: UInt8[np.ndarray, "height width"]) -> dict[str, _Segment]:
    found = {}
    for name, numbers in SEGMENTS.items():
        members = np.zeros(256, np.uint8)
        members[list(numbers)] = 1
        mask = members[crop]
        left, top, width, height = cv2.boundingRect(mask)
        if width == 0:
            continue
        window = np.s_[top : top + height, left : left + width]
        count, labels, stats, _ = cv2.connectedComponentsWithStats(mask[window], connectivity=8)
        area = stats[:, cv2.CC_STAT_AREA].copy()
        area[0] = 0
        if count > 2:
            mask[window] = (area >= _SPECK * area.max())[labels]
        padded = cv2.copyMakeBorder(mask[window], 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        depth = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
        radius = float(depth.max())
        core = _positions(depth >= _CORE * radius) + [left, top]
        found[name] = _Segment(mask, (left, top, left + width, top + height), radius, core)
    return found


def _positions(mask: np.ndarray) -> Float[np.ndarray, "pixels 2"]:
    """Return (x, y) of the non-zero pixels."""
    found = cv2.findNonZero(mask.astype(np.uint8))
    return np.zeros((0, 2)) if found is None else found[:, 0].astype(float)


def _seam(body: dict[str, _Segment], first: str, second: str) -> _Seam | None:
    if first not in body or second not in body:
        return None
    one, two = body[first], body[second]
    left, top = max(one.box[0], two.box[0]) - 1, max(one.box[1], two.box[1]) - 1
    right, bottom = min(one.box[2], two.box[2]) + 1, min(one.box[3], two.box[3]) + 1
    left, top = max(left, 0), max(top, 0)
    if right <= left or bottom <= top:
        return None
    # Both regions within one pixel of the other's box: enough to see where they touch.
    near = np.s_[top:bottom, left:right]
    ours, theirs, window = one.mask[near], two.mask[near], np.ones((3, 3), np.uint8)
    touching = (cv2.dilate(ours, window) & theirs) | (cv2.dilate(theirs, window) & ours)
    pixels = _positions(touching) + [left, top]
    if len(pixels) == 0:
        return None
    width = 2 * min(one.radius, two.radius)
    return _Seam(pixels, _SEEN * min(1.0, len(pixels) / 2 / width))


def _far_end(segment: _Segment, start: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " 2"]:
    """Return the end of a limb's core that is farthest from a point: about a radius inside."""
    distance = np.linalg.norm(segment.core - start, axis=1)
    return segment.core[distance >= distance.max() - 0.5 * segment.radius].mean(axis=0)


def _hinge(
    body: dict[str, _Segment], upper: str, lower: str, root: str, tip: str
) -> _Point:
    """Locate an elbow or a knee on the seam of the two halves of a limb."""
    seam = _seam(body, upper, lower)
    if seam is None:
        return _NOTHING
    pixels = seam.pixels
    extent = np.sqrt(12 * pixels.var(axis=0).sum())
    if extent > 3 * min(body[upper].radius, body[lower].radius):
        # A folded limb touches itself along its length: the joint is at the far end of the seam.
        ends = [other for other in (_seam(body, upper, root), _seam(body, lower, tip)) if other]
        if ends:
            start = np.mean([end.pixels.mean(axis=0) for end in ends], axis=0)
            distance = np.linalg.norm(pixels - start, axis=1)
            pixels = pixels[distance >= np.quantile(distance, 0.7)]
    joint = pixels.mean(axis=0)
    end = _seam(body, lower, tip)
    if end is not None:
        # Pointing at the camera, the lower half hides the joint: it ends beyond the seam.
        start = end.pixels.mean(axis=0)
        far = _far_end(body[lower], start)
        beyond = np.linalg.norm(far - start) - np.linalg.norm(joint - start)
        if beyond > body[lower].radius:
            return far, seam.conf * _HIDDEN
    return joint, seam.conf


def _end(
    body: dict[str, _Segment],
    limb: str,
    start: _Point,
    origin: Float[np.ndarray, " 2"],
    frame: Float[np.ndarray, " 2"],
) -> _Point:
    """Guess a joint from the far end of a limb, unless the picture's border cuts it off."""
    if limb not in body or start[1] == 0:
        return _NOTHING
    point = _far_end(body[limb], start[0])
    reach = 2 * body[limb].radius
    if np.linalg.norm(point - start[0]) < reach:
        return _NOTHING
    absolute = point + origin
    if min(*absolute, *(frame - absolute)) < reach:
        return _NOTHING
    return point, _GUESSED


def _middle(seam: _Seam | None) -> _Point:
    return _NOTHING if seam is None else (seam.pixels.mean(axis=0), seam.conf)


def _arm(
    body: dict[str, _Segment],
    side: str,
    origin: Float[np.ndarray, " 2"],
    frame: Float[np.ndarray, " 2"],
) -> dict[str, _Point]:
    upper, lower, hand = f"{side}_upper_arm", f"{side}_lower_arm", f"{side}_hand"
    elbow = _hinge(body, upper, lower, "torso", hand)
    wrist = _middle(_seam(body, lower, hand))
    contact = _middle(_seam(body, upper, "torso"))
    if elbow[1] == 0:
        elbow = _end(body, upper, contact, origin, frame)
    if elbow[1] == 0:
        elbow = _end(body, lower, wrist, origin, frame)
    if wrist[1] == 0:
        wrist = _end(body, lower, elbow, origin, frame)
    shoulder = contact
    if upper in body and elbow[1] > 0:
        shoulder = _far_end(body[upper], elbow[0]), max(contact[1], _GUESSED)
    return {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow, f"{side}_wrist": wrist}


def _leg(
    body: dict[str, _Segment],
    side: str,
    origin: Float[np.ndarray, " 2"],
    frame: Float[np.ndarray, " 2"],
) -> dict[str, _Point]:
    upper, lower, foot = f"{side}_upper_leg", f"{side}_lower_leg", f"{side}_foot"
    hip = _middle(_seam(body, upper, "torso"))
    knee = _hinge(body, upper, lower, "torso", foot)
    ankle = _middle(_seam(body, lower, foot))
    if knee[1] == 0:
        knee = _end(body, upper, hip, origin, frame)
    if knee[1] == 0:
        knee = _end(body, lower, ankle, origin, frame)
    if ankle[1] == 0:
        ankle = _end(body, lower, knee, origin, frame)
    return {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle}


def _face(
    body: dict[str, _Segment],
    crop: UInt8[np.ndarray, "height width"],
    origin: Float[np.ndarray, " 2"],
) -> dict[str, _Point]:
    """Place the face on an upright elliptic cylinder turned as far as the head's halves tell."""
    if "head" not in body:
        return {}
    pixels = np.argwhere(body["head"].mask)[:, ::-1].astype(float)
    centre = pixels.mean(axis=0)
    neck = _seam(body, "head", "torso")
    up = centre - neck.pixels.mean(axis=0) if neck else np.array([0.0, -1.0])
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    right = np.array([-up[1], up[0]])  # the screen's right when the head is upright
    across, along = (pixels - centre) @ right, (pixels - centre) @ up
    # The neck is narrower than the head and off its axis: measure the upper part alone.
    upper = along > np.quantile(along, 0.3)
    axis, half_width = float(np.median(across[upper])), float(2 * across[upper].std())
    is_left = crop[body["head"].mask > 0] == HEAD_LEFT
    turn = _head_turn(across, is_left, crop)
    # Pixels per metre from the silhouette's width; from its height too where that is all in view.
    half_metres = np.hypot(_HEAD_BREADTH * np.cos(turn), _HEAD_DEPTH * np.sin(turn)) / 2
    scale = half_width / half_metres
    top, bottom = np.quantile(along, 0.995), np.quantile(along, 0.005)
    at_border = (pixels[along > top - 1] + origin).min() < 2
    if neck and at_border:
        top = bottom + _HEAD_HEIGHT * scale
    elif neck:
        scale = (scale + (top - bottom) / _HEAD_HEIGHT) / 2
    points = {}
    for name, (angle, below, out) in _FACE_POINTS.items():
        theta = turn + np.deg2rad(angle)
        x = axis + out * half_width * np.sin(theta)
        position = centre + x * right + (top - below * scale) * up
        # An ear seen edge-on still shows; an eye or the nose needs to face the camera.
        facing = np.cos(theta) + (0.5 if abs(angle) == 90 else 0.1)
        points[name] = (position, _SEEN * float(np.clip(2 * facing, 0, 1)))
    return points


def _head_turn(
    across: Float[np.ndarray, " pixels"],
    is_left: Bool[np.ndarray, " pixels"],
    crop: UInt8[np.ndarray, "height width"],
) -> float:
    """Return the angle of the nose from the camera, positive to the screen's right.

    The seam between the halves runs down the face and down the back of the head. At angle t it
    divides a cylinder's silhouette, an ellipse, at sin t: (t + sin t cos t) / pi beyond one half.
    """
    share = float(1 - is_left.mean())
    seam = float(np.interp(share, _SHARE_TABLE, _TURN_TABLE))
    if min(share, 1 - share) > 0.04:
        is_back = across[is_left].mean() < across[~is_left].mean()
    else:
        is_back = (crop == TORSO_BACK).sum() > (crop == TORSO_FRONT).sum()
    return np.pi - seam if is_back else seam
