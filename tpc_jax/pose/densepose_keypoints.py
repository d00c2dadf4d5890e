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
from tpc_jax.pose.densepose import HEAD_LEFT, SEGMENTS, TORSO_BACK, TORSO_FRONT, segment_mask
from tpc_jax.pose.densepose_face import locate_face
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
        arm = _arm(body, side, origin, frame)
        leg = _leg(body, side, origin, frame)
        points |= _discount(arm, _showing(body, side, "upper_arm"))
        points |= _discount(leg, _showing(body, side, "upper_leg"))
    points |= _face(body, crop, origin, parts.shape)
    for name, (position, certainty) in points.items():
        xy[KEYPOINT_INDEX[name]], conf[KEYPOINT_INDEX[name]] = position + origin, certainty
    return Keypoints(xy, conf)


def _segments(crop: UInt8[np.ndarray, "height width"]) -> dict[str, _Segment]:
    found = {}
    for name in SEGMENTS:
        mask = segment_mask(crop, name)
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
        core = _positions(depth >= _CORE * radius, left, top)
        found[name] = _Segment(mask, (left, top, left + width, top + height), radius, core)
    return found


def _positions(mask: np.ndarray, left: int = 0, top: int = 0) -> Float[np.ndarray, "pixels 2"]:
    """Return (x, y) of the non-zero pixels of a window with its corner at (left, top)."""
    found = cv2.findNonZero(mask.astype(np.uint8))
    if found is None:
        return np.zeros((0, 2))
    return found.reshape(-1, 2) + np.array([left, top], float)


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
    pixels = _positions(touching, left, top)
    if len(pixels) == 0:
        return None
    width = 2 * min(one.radius, two.radius)
    return _Seam(pixels, _SEEN * min(1.0, len(pixels) / 2 / width))


def _far_end(segment: _Segment, start: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " 2"]:
    """Return the end of a limb's core that is farthest from a point: about a radius inside."""
    distance = np.linalg.norm(segment.core - start, axis=1)
    return segment.core[distance >= distance.max() - 0.5 * segment.radius].mean(axis=0)


def _hinge(body: dict[str, _Segment], upper: str, lower: str, root: str, tip: str) -> _Point:
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


def _showing(body: dict[str, _Segment], side: str, segment: str) -> float:
    """Compare a limb's width with its twin's: a sliver beside the torso is mostly hidden."""
    radii = [body[name].radius for name in (f"left_{segment}", f"right_{segment}") if name in body]
    own = body.get(f"{side}_{segment}")
    return 1.0 if own is None else min(1.0, 1.5 * own.radius / max(radii))


def _discount(points: dict[str, _Point], factor: float) -> dict[str, _Point]:
    return {name: (position, conf * factor) for name, (position, conf) in points.items()}


def _face(
    body: dict[str, _Segment],
    crop: UInt8[np.ndarray, "height width"],
    origin: Float[np.ndarray, " 2"],
    frame_size: tuple[int, int],
) -> dict[str, _Point]:
    if "head" not in body:
        return {}
    pixels = _positions(body["head"].mask)
    columns, rows = pixels.T.astype(int)
    neck = _seam(body, "head", "torso")
    face = locate_face(
        pixels + origin,
        crop[rows, columns] == HEAD_LEFT,
        None if neck is None else neck.pixels.mean(axis=0) + origin,
        is_back=bool((crop == TORSO_BACK).sum() > (crop == TORSO_FRONT).sum()),
        frame_size=frame_size,
    )
    return {name: (xy - origin, _SEEN * visible) for name, (xy, visible) in face.items()}
