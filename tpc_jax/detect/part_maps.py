"""A person's DensePose-style part map from landmarks with depth and a mask.

Every body segment is a tapered tube around an axis in space. A pixel of the mask belongs to the
nearest tube that covers it, or to the tube at whose rim it lies; which half of the tube is seen
there, front or back, inner or outer, left or right, follows from where its surface looks.

Source: own derivation; how parts divide the body is DensePose's (`pose.densepose.SEGMENTS`).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax.pose.densepose import HEAD_LEFT, HEAD_RIGHT, SEGMENTS, TORSO_BACK, TORSO_FRONT

# Numbers of BlazePose's landmarks: shoulder, elbow, wrist, little finger, index finger, ...
_NOSE, _EARS = 0, (7, 8)
_ARMS = {"left": (11, 13, 15, 17, 19), "right": (12, 14, 16, 18, 20)}
# ... and hip, knee, ankle, heel, toes.
_LEGS = {"left": (23, 25, 27, 29, 31), "right": (24, 26, 28, 30, 32)}

# Half the widths of tubes at both ends, in torsos (shoulders to hips).
_UPPER_ARM, _LOWER_ARM, _HAND = (0.07, 0.09), (0.09, 0.075), (0.075, 0.075)
_UPPER_LEG, _LOWER_LEG, _FOOT = (0.095, 0.12), (0.105, 0.08), (0.08, 0.07)
_NECK, _HEAD_WIDTH, _HEAD_HEIGHT, _HEAD_UP = 0.09, 0.13, 0.24, 0.05
# Where the head's ellipse ends along its axis; a cap closes it.
_ROUND = 0.95
# Half the width of the trunk along its axis, from the neck (shoulders at 0, hips at 1) down to the
# crotch; its depth per width.
_TRUNK = (
    *((-0.22, 0.07), (-0.14, 0.14), (-0.04, 0.27), (0.1, 0.24), (0.35, 0.25)),
    *((0.6, 0.26), (0.85, 0.26), (1.0, 0.3), (1.12, 0.17), (1.3, 0.02)),
)
_TRUNK_DEPTH = 0.8
# How much nearer its lower end is taken to be, in torsos: the thighs begin at the groin.
_TRUNK_LIFT = 0.25
# DensePose's thigh ends above the middle of the knee, and its forearm beyond the wrist.
_KNEE_UP, _WRIST_DOWN = 0.12, 0.11
# A hand from the wrist to this many torsos beyond.
_HAND_LENGTH = 0.45
# How far inner halves of arms look to the front when arms hang, in degrees.
_TWIST = 12.0
# DensePose paints bodies: beyond so many half widths the mask shows clothes or hair.
_LOOSE = 1.4
# Beyond this share of half the width a surface is seen edge on.
_EDGE = 0.95

_Point = Float[np.ndarray, " 3"]


class Tube(NamedTuple):
    """A body segment in space; x to the right, y down, z away from the camera, in pixels.

    Attributes:
        start: One end of the axis.
        end: The other.
        widths: Half the width across at equal steps along the axis.
        side: Unit vector across.
        front: Unit vector across, orthogonal to it, out of the half that has the second number.
        depth: Half the width along `front` per half the width along `side`.
        parts: Numbers of both halves.
    """

    start: _Point
    end: _Point
    widths: Float[np.ndarray, " steps"]
    side: _Point
    front: _Point
    depth: float
    parts: tuple[int, int]


def draw_parts(
    landmarks: Float[np.ndarray, "33 3"], mask: Bool[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width"]:
    """Divide a person's mask into the 24 parts of DensePose.

    Args:
        landmarks: BlazePose's landmarks in pixels; smaller depth is nearer.
        mask: Pixels of the person.

    Returns:
        Part numbers; 0 beside the mask, and where it reaches beyond the body. Two numbers where
        halves of a segment meet.
    """
    parts = np.zeros(mask.shape, np.uint8)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return parts
    box = (int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)
    nearest, rim = np.full(mask.shape, np.inf), np.full(mask.shape, _LOOSE)
    for tube in body_tubes(landmarks.astype(float)):
        crop = _crop(tube, box)
        if crop is None:
            continue
        distance, depth, part = _look_at(tube, crop)
        covers = distance <= 1
        is_nearer = covers & (depth < nearest[crop])
        is_rim = ~covers & np.isinf(nearest[crop]) & (distance < rim[crop])
        parts[crop] = np.where(is_nearer | is_rim, part, parts[crop])
        nearest[crop] = np.where(is_nearer, depth, nearest[crop])
        rim[crop] = np.where(is_rim, distance, rim[crop])
    return np.where(mask, parts, 0).astype(np.uint8)


def body_tubes(xyz: Float[np.ndarray, "33 3"]) -> Iterator[Tube]:
    """Yield the segments of a body whose joints are at BlazePose's landmarks."""
    shoulders, hips = ((xyz[list(pair)]) for pair in ((11, 12), (23, 24)))
    collar, waist = shoulders.mean(axis=0), hips.mean(axis=0)
    unit = float(np.linalg.norm((waist - collar)[:2]))
    down = _unit(waist - collar)
    left = _across(_unit(shoulders[0] - shoulders[1]) + _unit(hips[0] - hips[1]) / 2, down)
    front = np.cross(down, left)
    yield _trunk(collar, waist, left, front, unit)
    yield from _head(xyz, collar, down, left, unit)
    for side, numbers in _ARMS.items():
        yield from _arm(side, xyz[list(numbers)], (down, left, front), unit)
    for side, numbers in _LEGS.items():
        yield from _leg(side, xyz[list(numbers)], (down, left, front), unit)


def _trunk(collar: _Point, waist: _Point, left: _Point, front: _Point, unit: float) -> Tube:
    at, widths = np.array(_TRUNK).T
    start, end = (collar + place * (waist - collar) for place in (at[0], at[-1]))
    end = end - np.array([0, 0, _TRUNK_LIFT * unit])
    steps = np.interp(np.linspace(at[0], at[-1], 32), at, widths)
    parts = TORSO_BACK, TORSO_FRONT
    return Tube(start, end, unit * steps, left, front, _TRUNK_DEPTH, parts)


def _head(
    xyz: Float[np.ndarray, "33 3"], collar: _Point, down: _Point, left: _Point, unit: float
) -> Iterator[Tube]:
    ears = xyz[list(_EARS)]
    middle = ears.mean(axis=0)
    parts = HEAD_RIGHT, HEAD_LEFT
    neck = _unit(middle - collar)
    side = _across(left, neck)
    yield Tube(collar, middle, np.full(2, _NECK * unit), np.cross(neck, side), side, 1.0, parts)
    to_left = _unit(ears[0] - ears[1])
    up = np.cross(to_left, _across(xyz[_NOSE] - middle, to_left))
    up = _unit(up if up @ down < 0 else -up)
    middle = middle + _HEAD_UP * unit * up
    reach = _ROUND * _HEAD_HEIGHT * unit * up
    widths = _HEAD_WIDTH * unit * np.sqrt(1 - np.linspace(-_ROUND, _ROUND, 16) ** 2)
    yield Tube(middle - reach, middle + reach, widths, np.cross(up, to_left), to_left, 1.0, parts)


def _arm(side: str, joints: Float[np.ndarray, "5 3"], body: tuple, unit: float) -> Iterator[Tube]:
    down, left, front = body
    shoulder, elbow, wrist, little, index = joints
    turn = np.deg2rad(_TWIST)
    outward = np.cos(turn) * (left if side == "left" else -left) - np.sin(turn) * front
    wrist = wrist + _WRIST_DOWN * (wrist - elbow)
    hand = _unit((little + index) / 2 - wrist)
    # An arm that hangs has its outer half outwards; other arms are turned there the short way.
    upper, lower = _unit(elbow - shoulder), _unit(wrist - elbow)
    outward = _carry(outward, down, upper)
    yield _limb(f"{side}_upper_arm", shoulder, elbow, _UPPER_ARM, outward, unit)
    outward = _carry(outward, upper, lower)
    yield _limb(f"{side}_lower_arm", elbow, wrist, _LOWER_ARM, outward, unit)
    ends = wrist + _HAND[0] * unit * hand, wrist + _HAND_LENGTH * unit * hand
    yield _limb(f"{side}_hand", *ends, _HAND, _across(outward, hand), unit)


def _leg(side: str, joints: Float[np.ndarray, "5 3"], body: tuple, unit: float) -> Iterator[Tube]:
    down, _, front = body
    hip, knee, ankle, heel, toes = joints
    knee = knee + _KNEE_UP * (hip - knee)
    upper, lower = _unit(knee - hip), _unit(ankle - knee)
    front = _carry(front, down, upper)
    yield _limb(f"{side}_upper_leg", hip, knee, _UPPER_LEG, front, unit)
    front = _carry(front, upper, lower)
    yield _limb(f"{side}_lower_leg", knee, ankle, _LOWER_LEG, front, unit)
    yield _limb(f"{side}_foot", heel, toes, _FOOT, _across(front, _unit(toes - heel)), unit)


def _limb(
    name: str, start: _Point, end: _Point, widths: tuple[float, float], front: _Point, unit: float
) -> Tube:
    # A segment with one part has it on both sides.
    parts = SEGMENTS[name]
    side = np.cross(_unit(end - start), front)
    return Tube(start, end, unit * np.array(widths), side, front, 1.0, (parts[0], parts[-1]))


def _crop(tube: Tube, box: tuple[int, int, int, int]) -> tuple[slice, slice] | None:
    """Return rows and columns of a box that the tube may reach."""
    reach = _LOOSE * float(tube.widths.max()) + 1
    ends = np.stack([tube.start, tube.end])[:, 1::-1]
    low, high = np.floor(ends.min(axis=0) - reach), np.ceil(ends.max(axis=0) + reach)
    low = np.maximum(low, box[::2]).astype(int)
    high = np.minimum(high, box[1::2]).astype(int)
    if (low >= high).any():
        return None
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))


def _look_at(tube: Tube, crop: tuple[slice, slice]):
    """Return every pixel's distance from the axis in half widths, its depth, and its part."""
    y, x = np.mgrid[crop]
    from_start = np.stack([x, y], axis=-1) - tube.start[:2]
    axis = (tube.end - tube.start)[:2]
    length = max(float(np.hypot(*axis)), 1e-6)
    along = axis / length
    across = np.array([-along[1], along[0]])
    place = from_start @ along
    share = np.clip(place / length, 0, 1)
    width = np.interp(share, np.linspace(0, 1, len(tube.widths)), tube.widths)
    # The section is the ellipse cos(a) side + sin(a) depth front: what of it is seen, and where.
    seen = np.array([tube.side[:2] @ across, tube.depth * (tube.front[:2] @ across)])
    toward = -np.array([tube.side[2], tube.depth * tube.front[2]])
    reach = max(float(np.hypot(*seen)), 1e-6)
    lateral = (from_start @ across) / (width * reach)
    distance = np.hypot(lateral, (place - share * length) / width)
    # At the rim both halves are seen edge on: what faces the camera is painted there too.
    inner = np.clip(lateral, -_EDGE, _EDGE)
    facing = np.array([-seen[1], seen[0]]) / reach
    if facing @ toward < 0:
        facing = -facing
    rise = np.sqrt(1 - inner**2)
    is_front = inner * seen[1] / reach + rise * facing[1] > 0
    bulge = np.sqrt(np.clip(1 - distance**2, 0, 1)) * width * float(np.hypot(*toward))
    depth = tube.start[2] + share * (tube.end - tube.start)[2] - bulge
    return distance, depth, np.where(is_front, tube.parts[1], tube.parts[0])


def _unit(vector: _Point) -> _Point:
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def _across(vector: _Point, axis: _Point) -> _Point:
    """Return the part of a vector orthogonal to a unit axis, of length 1."""
    return _unit(vector - (vector @ axis) * axis)


def _carry(vector: _Point, before: _Point, after: _Point) -> _Point:
    """Turn a vector by the smallest rotation from one unit axis to another."""
    axis, cosine = np.cross(before, after), float(before @ after)
    if cosine < -0.99:
        return vector
    turned = vector + np.cross(axis, vector)
    return turned + np.cross(axis, np.cross(axis, vector)) / (1 + cosine)
