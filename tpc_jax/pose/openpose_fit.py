"""Faces of skeletons whose limbs are blended over the joints, by drawing them again.

Where eyes and ears are a few strokes apart, nothing but mixtures is left of their discs.
"""

from itertools import combinations, product

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int16, UInt8

from tpc_jax.pose.openpose import FACE_JOINTS, NECK, draw_blended
from tpc_jax.pose.openpose_pixels import Drawing

# Joints are moved by so many pixels, in turn.
_STEPS, _ROUNDS = (4, 2, 1), 3
_MOVES = ((1, 0), (-1, 0), (0, 1), (0, -1))


def fit_face(
    drawing: Drawing, person: Float[np.ndarray, "joints 3"]
) -> Float[np.ndarray, "joints 3"]:
    """Move nose, eyes and ears, or exchange two, until their drawing is most like the picture.

    Args:
        drawing: One frame.
        person: (x, y, confidence) of the joints of one person, in the crop.

    Returns:
        The same with moved face joints.
    """
    face = [joint for joint in FACE_JOINTS if person[joint, 2] > 0]
    if not face:
        return person
    margin = 3 * drawing.radius + drawing.style.stick
    low = np.floor(person[face, :2].min(axis=0) - margin).astype(int).clip(0)
    high = np.ceil(person[face, :2].max(axis=0) + margin + 1).astype(int)
    shown = drawing.rgb[low[1] : high[1], low[0] : high[0]]
    if not shown.size:
        return person
    visible = np.zeros(len(person), bool)
    visible[face] = True
    visible[NECK] = person[NECK, 2] > 0
    xy = _fit(drawing, shown, np.rint(person[:, :2] - low), visible)
    relocated = _relocate(drawing, shown, xy, visible)
    if relocated is not xy:
        xy = _fit(drawing, shown, relocated, visible)
    fitted = person.copy()
    fitted[face, :2] = xy[face] + low
    return fitted


def _fit(
    drawing: Drawing,
    shown: UInt8[np.ndarray, "height width 3"],
    xy: Float[np.ndarray, "joints 2"],
    visible: Bool[np.ndarray, " joints"],
) -> Float[np.ndarray, "joints 2"]:
    for step in _STEPS:
        for _ in range(_ROUNDS):
            before, xy = xy, _move(drawing, shown, xy, visible, step)
            if before is xy:
                break
    return xy


def _relocate(
    drawing: Drawing,
    shown: UInt8[np.ndarray, "height width 3"],
    xy: Float[np.ndarray, "joints 2"],
    visible: Bool[np.ndarray, " joints"],
) -> Float[np.ndarray, "joints 2"]:
    """Exchange two joints of the face, or take one to where the drawing is worst, if that helps.

    Mixtures may look like another joint, even where its own disc shows.
    """
    candidates = [xy]
    for pair in combinations(FACE_JOINTS, 2):
        if visible[list(pair)].all():
            candidates.append(xy.copy())
            candidates[-1][list(pair)] = xy[list(pair[::-1])]
    off = _differences(drawing, shown, xy, visible).sum(axis=-1).astype(np.float32)
    window = (2 * drawing.radius + 1, 2 * drawing.radius + 1)
    row, column = np.unravel_index(cv2.blur(off, window).argmax(), off.shape)
    for joint in FACE_JOINTS:
        if visible[joint]:
            candidates.append(xy.copy())
            candidates[-1][joint] = column, row
    return min(candidates, key=lambda one: _difference(drawing, shown, one, visible))


def _move(
    drawing: Drawing,
    shown: UInt8[np.ndarray, "height width 3"],
    xy: Float[np.ndarray, "joints 2"],
    visible: Bool[np.ndarray, " joints"],
    step: int,
) -> Float[np.ndarray, "joints 2"]:
    """Move every joint of the face once, where that helps."""
    off = _difference(drawing, shown, xy, visible)
    for joint, move in product(FACE_JOINTS, _MOVES):
        if visible[joint]:
            moved = xy.copy()
            moved[joint] += step * np.array(move)
            found = _difference(drawing, shown, moved, visible)
            if found < off:
                xy, off = moved, found
    return xy


def _difference(
    drawing: Drawing,
    shown: UInt8[np.ndarray, "height width 3"],
    xy: Float[np.ndarray, "joints 2"],
    visible: Bool[np.ndarray, " joints"],
) -> float:
    return float(_differences(drawing, shown, xy, visible).sum())


def _differences(
    drawing: Drawing,
    shown: UInt8[np.ndarray, "height width 3"],
    xy: Float[np.ndarray, "joints 2"],
    visible: Bool[np.ndarray, " joints"],
) -> Int16[np.ndarray, "height width 3"]:
    canvas = np.zeros_like(shown)
    drawn = draw_blended(canvas, xy, visible, drawing.radius, drawing.style.stick)
    return np.abs(drawn.astype(np.int16) - shown)
