"""Joints whose discs are hidden: by the white points of a face, by a hand, by another limb."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float

from tpc_jax.pose.openpose import FACE_JOINTS, LIMBS, NECK
from tpc_jax.pose.openpose_pixels import LIMB, WHITE, Drawing, Person, owners_of, pixels_of

_NOSE = 0
# Pieces of a limb smaller than this share of its largest piece are rims of something else.
_SPECK = 0.3
# More of a colour than so many discs is no piece of one.
_MOST_DISCS = 12
# Discs nearer than this many radii are one.
_SAME_PLACE = 1.3


class Face(NamedTuple):
    """Where a face is.

    Attributes:
        centre: Middle of a circle that holds nose, eyes and ears.
        radius: Its radius.
        white: Mean of the white points of the face, which is near the nose; none if not drawn.
    """

    centre: Float[np.ndarray, " 2"]
    radius: float
    white: Float[np.ndarray, " 2"] | None


def find_face(drawing: Drawing, people: list[Person], index: int) -> Face | None:
    """Find the circle that nose, eyes and ears of one of the people lie in."""
    person = people[index]
    white = pixels_of(drawing.cores == WHITE)
    white = white[owners_of(white, people) == index]
    if len(white) >= 4 * drawing.radius**2:
        low, high = np.quantile(white, (0.02, 0.98), axis=0)  # crossing colours flash white
        return Face((low + high) / 2, 0.8 * float(np.linalg.norm(high - low)), white.mean(axis=0))
    if NECK not in person:
        return None
    nose = person.get(_NOSE)
    if nose is None:
        pixels = _loose_pixels(drawing, LIMBS.index((NECK, _NOSE)), people, index)
        if len(pixels) < 2 * drawing.radius:
            return None
        nose = _reach(drawing, person[NECK], pixels)
    return Face(nose, float(np.linalg.norm(nose - person[NECK])), None)


def find_partial_discs(drawing: Drawing, person: Person, face: Face | None) -> Person:
    """Find what the white points of the face leave of the discs of nose, eyes and ears."""
    if face is None:
        return {}
    pieces: list[tuple[int, int, Float[np.ndarray, " 2"]]] = []
    for joint in FACE_JOINTS:
        pixels = pixels_of(drawing.classes == joint)
        pixels = pixels[np.linalg.norm(pixels - face.centre, axis=1) < face.radius]
        most = _MOST_DISCS * np.pi * drawing.radius**2
        if joint in person or not drawing.radius <= len(pixels) <= most:
            continue
        # One disc may show on both sides of a row of points: take the densest neighbourhood.
        distance = np.linalg.norm(pixels[:, None] - pixels[None], axis=-1)
        near = distance <= 2 * drawing.radius
        piece = pixels[near[near.sum(axis=1).argmax()]]
        pieces.append((len(piece), joint, piece.mean(axis=0)))
    # Rims and mixtures of one disc may look like another joint.
    found: Person = {}
    for _, joint, xy in sorted(pieces, key=lambda piece: -piece[0]):
        others = (person | found).values()
        if all(np.linalg.norm(xy - at) > _SAME_PLACE * drawing.radius for at in others):
            found[joint] = xy
    return found


def infer_hidden(drawing: Drawing, people: list[Person], index: int, face: Face | None) -> Person:
    """Estimate the joints without a disc from the visible pixels of their limbs."""
    person = people[index]
    guesses: dict[int, list[Float[np.ndarray, " 2"]]] = {}
    if face is not None and face.white is not None:
        guesses[_NOSE] = [face.white]
    free = []
    for limb, (start, end) in enumerate(LIMBS):
        if start in person and end in person:
            continue
        pixels = _loose_pixels(drawing, limb, people, index)
        if {start, end} <= set(FACE_JOINTS):  # hands reuse these colours
            if face is None:
                continue
            pixels = pixels[np.linalg.norm(pixels - face.centre, axis=1) < face.radius]
        if len(pixels) < 2 * drawing.radius:
            continue
        for known, hidden in ((start, end), (end, start)):
            # The mouth cuts the limb to the nose short.
            if known in person and not (known == NECK and hidden in guesses):
                guesses.setdefault(hidden, []).append(_reach(drawing, person[known], pixels))
        if start not in person and end not in person:
            free.append((start, end, _extremes(pixels)))
    first = {joint: np.mean(found, axis=0) for joint, found in guesses.items()}
    for start, end, (one, other) in free:
        # Neither end shows: the neighbours' guesses tell which end is which.
        forward, backward = 0.0, 0.0
        for joint, ahead, behind in ((start, one, other), (end, other, one)):
            if joint in first:
                forward += float(np.linalg.norm(first[joint] - ahead))
                backward += float(np.linalg.norm(first[joint] - behind))
        if forward == backward:
            continue
        ends = (one, other) if forward < backward else (other, one)
        for joint, xy in zip((start, end), ends, strict=True):
            guesses.setdefault(joint, []).append(xy)
    return {
        joint: np.mean(found, axis=0) for joint, found in guesses.items() if joint not in person
    }


def _loose_pixels(
    drawing: Drawing, limb: int, people: list[Person], index: int
) -> Float[np.ndarray, "pixels 2"]:
    """Return the pixels of a limb that belong to no other person's limb of that kind."""
    start, end = LIMBS[limb]
    core = (drawing.cores == LIMB + limb).astype(np.uint8)
    left, top, width, height = cv2.boundingRect(core)
    if width == 0:
        return np.zeros((0, 2))
    left, top = max(left - 1, 0), max(top - 1, 0)
    box = np.s_[top : top + height + 2, left : left + width + 2]
    mask = np.asarray(cv2.dilate(core[box], np.ones((3, 3), np.uint8)))
    mask &= drawing.classes[box] == LIMB + limb
    for other in people:
        if start in other and end in other:
            ends = [np.rint(other[joint] - [left, top]).astype(int) for joint in (start, end)]
            cv2.line(mask, ends[0].tolist(), ends[1].tolist(), 0, 2 * drawing.radius + 3)
    if not mask.any():
        return np.zeros((0, 2))
    # The rims of hands and faces leave specks of any colour.
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    area = stats[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    pixels = pixels_of((area >= _SPECK * area.max())[labels]) + np.array([left, top])
    return pixels[owners_of(pixels, people) == index]


def _reach(
    drawing: Drawing, known: Float[np.ndarray, " 2"], pixels: Float[np.ndarray, "pixels 2"]
) -> Float[np.ndarray, " 2"]:
    """Follow a limb from its known end to where it stops showing."""
    along = pixels.mean(axis=0) - known
    along = along / max(float(np.linalg.norm(along)), 1e-6)
    shown = float(((pixels - known) @ along).max())
    # The tip of the ellipse is too thin to show, and what hides the joint hides its radius.
    x, y = np.rint(known + along * (shown + drawing.radius)).astype(int)
    height, width = drawing.painted.shape
    is_hidden = 0 <= y < height and 0 <= x < width and drawing.painted[y, x]
    return known + along * (shown + (1.0 if is_hidden else 0.5) * drawing.radius)


def _extremes(
    pixels: Float[np.ndarray, "pixels 2"],
) -> tuple[Float[np.ndarray, " 2"], Float[np.ndarray, " 2"]]:
    centre = pixels.mean(axis=0)
    axis = np.linalg.svd(pixels - centre, full_matrices=False)[2][0]
    along = (pixels - centre) @ axis
    return centre + along.min() * axis, centre + along.max() * axis
