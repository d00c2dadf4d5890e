"""The discs of joints in a skeleton rendering, and their size."""

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax.pose.openpose import FACE_JOINTS, LIMBS, NUM_JOINTS
from tpc_jax.pose.openpose_pixels import (
    LIMB,
    WHITE,
    Drawing,
    Style,
    classify_frame,
    is_painted,
    pixels_of,
)

# Discs with a smaller radius are mostly rim once the colours have been compressed.
_LEAST_RADIUS, _FACTORS = 3, (1, 2, 4)
# What fills so much of the circle around it is taken for a disc when discs are measured: bright
# (limbs are not, 153) and not white (faces are).
_FILL, _BRIGHT, _WHITE = 0.6, 204, 128
# Deeper inside than so many radii is hardly anything of a skeleton, up to this share.
_WIDE, _MOST_INSIDE = 2.5, 0.1
# More discs than so many are no people.
_MOST_DISCS = 400
_LEFT_KNEE = 12
# A disc shows at least this share of its area, and at most so many times it.
_DISC_SHARE, _DISC_EXCESS = 0.2, 1.6
# So much of a disc is taken for a whole one.
_WHOLE_SHARE = 0.85
# Pieces of a disc that limbs have cut are at least so large a share of it.
_PIECE_SHARE = 0.06


def measure_radius(frames: UInt8[np.ndarray, "frames height width 3"]) -> Style | None:
    """Measure the discs of a few frames; nothing is returned if there are none."""
    style = None
    for factor in _FACTORS:
        found = [piece for frame in frames for piece in _round_pieces(frame, factor)]
        if not found:
            continue
        radius, area = np.array(sorted(found)).T
        weight = np.cumsum(area)
        middle = radius[np.searchsorted(weight, weight[-1] / 2)]
        style = Style(max(1, round(float(middle))), factor)
        if style.radius >= _LEAST_RADIUS:
            break
    return style


def measure_limbs(frames: UInt8[np.ndarray, "frames height width 3"], style: Style) -> Style:
    """Measure half the width of limbs, in a style whose discs are known."""
    depths: list[np.ndarray] = [np.zeros(0)]
    for frame in frames:
        drawing = classify_frame(frame, style)
        if drawing is not None:
            depth = cv2.distanceTransform(drawing.painted.astype(np.uint8), cv2.DIST_L2, 5)
            depths.append(depth[(drawing.cores >= LIMB) & (drawing.cores < WHITE)])
    deep = np.concatenate(depths)
    return (
        style._replace(stick=max(1, round(float(np.quantile(deep, 0.95)) - 0.5)))
        if len(deep)
        else style
    )


def are_strokes(frames: UInt8[np.ndarray, "frames height width 3"], style: Style) -> bool:
    """Tell whether what is drawn is about as wide as its discs, not areas."""
    inside = np.zeros(2)
    for frame in frames:
        painted = is_painted(frame).astype(np.uint8)
        depth = cv2.distanceTransform(painted, cv2.DIST_L2, 3)
        inside += painted.sum(), (depth * style.factor > _WIDE * style.radius).sum()
    return bool(inside[1] < _MOST_INSIDE * inside[0])


def _round_pieces(
    frame: UInt8[np.ndarray, "height width 3"], factor: int
) -> Iterator[tuple[float, float]]:
    """Yield radius and area of everything round, bright and coloured, in the enlarged frame."""
    left, top, width, height = cv2.boundingRect(is_painted(frame).astype(np.uint8))
    if width == 0:
        return
    frame = frame[top : top + height, left : left + width]
    if factor > 1:
        size = (width * factor, height * factor)
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC))
    disc = (frame.max(axis=-1) > _BRIGHT) & (frame.min(axis=-1) < _WHITE)
    outlines, _ = cv2.findContours(disc.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    for outline in outlines:
        _, radius = cv2.minEnclosingCircle(outline)
        area = _area(outline)
        if area >= _FILL * np.pi * (radius + 0.5) ** 2:
            yield radius, area


def _area(outline: np.ndarray) -> float:
    """Return the number of pixels within an outline, its own ones included."""
    return cv2.contourArea(outline) + len(outline) / 2 + 1


def find_discs(drawing: Drawing) -> list[tuple[int, Float[np.ndarray, " 2"]]]:
    """Return (joint, position) of every disc."""
    pieces = _blended_discs(drawing) if drawing.style.is_blended else _whole_discs(drawing)
    if len(pieces) > _MOST_DISCS:
        return []
    # Every point of a hand is a disc of the left knee's colour.
    return [
        (joint, xy)
        for joint, xy in pieces
        if joint != _LEFT_KNEE or _limb_arrives(drawing, xy, joint)
    ]


def _whole_discs(drawing: Drawing) -> list[tuple[int, Float[np.ndarray, " 2"]]]:
    # Cores of different classes do not touch, so they can be told apart in one go.
    mask = (drawing.cores < NUM_JOINTS).astype(np.uint8)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(mask, connectivity=4)
    whole = np.pi * max(drawing.radius - 0.5, 1) ** 2
    discs = []
    for label in range(1, count):
        left, top, width, height, area = stats[label].tolist()
        if not _DISC_SHARE * whole <= area <= _DISC_EXCESS * whole:
            continue
        box = np.s_[top : top + height, left : left + width]
        pixels = pixels_of(labels[box] == label) + np.array([left, top])
        x, y = pixels[0].astype(int)
        is_whole = area >= _WHOLE_SHARE * whole
        xy = centres[label] if is_whole else _centre(pixels.astype(np.float32))
        discs.append((int(drawing.cores[y, x]), np.asarray(xy)))
    return discs


def _centre(pixels: np.ndarray) -> Float[np.ndarray, " 2"]:
    """Return the centre of a disc, even where others hide a part of it."""
    return np.array(cv2.minEnclosingCircle(pixels)[0], float)


def _blended_discs(drawing: Drawing) -> list[tuple[int, Float[np.ndarray, " 2"]]]:
    """Find discs that limbs have cut into pieces: what fits one circle of the known size."""
    whole = np.pi * (drawing.radius + 0.5) ** 2
    discs: list[tuple[float, int, Float[np.ndarray, " 2"]]] = []
    for joint in range(NUM_JOINTS):
        mask = (drawing.classes == joint).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        pieces = [(_area(outline), outline) for outline in outlines]
        pieces = sorted((p for p in pieces if p[0] >= _PIECE_SHARE * whole), key=lambda p: -p[0])
        while pieces:
            area, disc = pieces.pop(0)
            left = []
            for piece in pieces:
                union = np.concatenate([disc, piece[1]])
                if cv2.minEnclosingCircle(union)[1] <= drawing.radius + 1:
                    area, disc = area + piece[0], union
                else:
                    left.append(piece)
            pieces = left
            if area >= _DISC_SHARE * whole and area <= _DISC_EXCESS * whole:
                discs.append((area, joint, _centre(disc)))
    # Where a limb covers a joint, the mixture may look like another joint.
    discs.sort(key=lambda disc: -disc[0])
    kept: list[tuple[int, Float[np.ndarray, " 2"]]] = []
    for area, joint, xy in discs:
        reach = drawing.radius * (1.3 if joint in FACE_JOINTS else 2)
        if area >= 0.5 * whole or all(np.linalg.norm(at - xy) > reach for _, at in kept):
            kept.append((joint, xy))
    return kept


def _limb_arrives(drawing: Drawing, disc: Float[np.ndarray, " 2"], joint: int) -> bool:
    reach = drawing.radius + 3
    x, y = np.rint(disc).astype(int)
    near = drawing.classes[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    limbs = [LIMB + limb for limb, ends in enumerate(LIMBS) if joint in ends]
    return bool(np.isin(near, limbs).sum() >= drawing.radius)
