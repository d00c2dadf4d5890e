"""Whole-body skeletons, arranged and drawn as by the annotator that AnimateAnyone was trained on.

Body as in `pose.openpose`, then hands (thin rainbow lines, blue discs), then the face (white).
"""

import colorsys
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.pose.adapters import to_coco
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.openpose import NUM_JOINTS, STROKE, draw_body, openpose_from_coco, stroke_radius
from tpc_jax.pose.skeletons import NUM_KEYPOINTS

_HAND_POINTS, _FACE_POINTS = 21, 68
# Where sets of points keep the face, the left and the right hand.
_WHOLE = {
    "wholebody-133": (23, 91, 112),
    "halpe-136": (26, 94, 115),
    "openpose-130": (18, 88, 109),
    "openpose-137": (25, 95, 116),
}
# From the wrist along each finger.
HAND_EDGES = tuple((0 if k == 1 else base + k - 1, base + k) for base in range(0, 20, 4)
                   for k in range(1, 5))  # fmt: skip
HAND_COLOURS = tuple(
    tuple(round(255 * value) for value in colorsys.hsv_to_rgb(edge / len(HAND_EDGES), 1.0, 1.0))
    for edge in range(len(HAND_EDGES))
)
_HAND_POINT, _FACE_POINT = (0, 0, 255), (255, 255, 255)
# Strokes in units of the radius of a joint.
_LINE, _DOT = 0.5, 0.75


class WholeBody(NamedTuple):
    """People with hands and faces; what is missing has zero confidence.

    Attributes:
        body: NumPy OpenPose-18 keypoints `[*batch 18]` in pixels.
        hands: Left and right hand, NumPy keypoints `[*batch 2 21]`.
        face: NumPy keypoints `[*batch 68]`.
    """

    body: Keypoints
    hands: Keypoints
    face: Keypoints


def whole_body(points: Float[np.ndarray, "*batch points 3"], layout: str) -> WholeBody:
    """Arrange a detector's points.

    Args:
        points: (x, y, confidence) in pixels.
        layout: As for `to_coco`; sets of at least 130 points have hands and a face.

    Raises:
        ValueError: If the layout is unknown.

    Source:
        `dwpose/wholebody.py` of Moore-AnimateAnyone: the neck is the middle of two visible
        shoulders.
    """
    if layout in ("openpose-18", "openpose-130"):
        body = _keypoints(points[..., :NUM_JOINTS, :])
    elif layout == "wholebody-133":  # not by `to_coco`, whose single precision moves pixels
        body = openpose_from_coco(_keypoints(points[..., :NUM_KEYPOINTS, :]), DEFAULT_TAU)
    else:
        body = openpose_from_coco(to_coco(points, layout), DEFAULT_TAU)
    if layout in _WHOLE:
        face, *hands = _WHOLE[layout]
        both = np.stack([points[..., at : at + _HAND_POINTS, :] for at in hands], axis=-3)
        face_points = points[..., face : face + _FACE_POINTS, :]
        return WholeBody(body, _keypoints(both), _keypoints(face_points))
    batch = points.shape[:-2]
    hands, face = (np.zeros((*batch, *n, 3)) for n in ((2, _HAND_POINTS), (_FACE_POINTS,)))
    return WholeBody(body, _keypoints(hands), _keypoints(face))


def _keypoints(points: np.ndarray) -> Keypoints:
    return Keypoints(points[..., :2], points[..., 2])


def frame_of(people: WholeBody, index: int) -> WholeBody:
    """Take one frame out of a clip `[people frames ...]`."""
    return WholeBody(*(part.select(np.s_[:, index]) for part in people))


def strongest(people: WholeBody, count: int = 1) -> WholeBody:
    """Keep the people of one frame whose bodies are surest; the annotator keeps one.

    Args:
        people: The people of one frame.
        count: How many to keep at most.
    """
    order = np.argsort(-np.asarray(people.body.conf).mean(axis=-1), kind="stable")[:count]
    return WholeBody(*(part.select(order) for part in people))


def draw_whole_body(
    people: WholeBody, height: int, width: int, *, radius: int | None = None
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Draw the people of one frame, feet left out.

    Args:
        people: The people of one frame, in pixels of the canvas. Joints of the body show with
            confidence above 0.3, points of hands and face from 0.3 on, never in row or column 0.
        height: Canvas height in pixels.
        width: Canvas width in pixels.
        radius: Radius of a joint in pixels; by default as for `draw_skeleton`.

    Returns:
        RGB canvas.

    Source:
        `draw_pose` of Moore-AnimateAnyone's `dwpose/util.py`.
    """
    radius = stroke_radius(height, width) if radius is None else radius
    canvas = draw_body(people.body, height, width, tau=DEFAULT_TAU, radius=radius)
    xy, shows = _pixels(people.hands)
    for hand, is_drawn in zip(xy.reshape(-1, 21, 2), shows.reshape(-1, 21), strict=True):
        _draw_hand(canvas, hand, is_drawn, radius)
    xy, shows = _pixels(people.face)
    dot = max(1, round(_DOT * radius))
    for point in xy[shows].tolist():
        cv2.circle(canvas, point, dot, _FACE_POINT, thickness=-1)
    return canvas


def _draw_hand(canvas: np.ndarray, xy: np.ndarray, shows: np.ndarray, radius: int) -> None:
    thickness = max(1, round(_LINE * radius))
    for (start, end), colour in zip(HAND_EDGES, HAND_COLOURS, strict=True):
        if shows[start] and shows[end]:
            cv2.line(canvas, xy[start].tolist(), xy[end].tolist(), colour, thickness)
    for point in xy[shows].tolist():
        cv2.circle(canvas, point, radius, _HAND_POINT, thickness=-1)


def _pixels(keypoints: Keypoints):
    """Return whole pixels, cut off as the annotator does, and which points show."""
    xy, conf = np.asarray(keypoints.xy), np.asarray(keypoints.conf)
    shows = (conf >= DEFAULT_TAU) & np.isfinite(xy).all(axis=-1)
    pixels = np.trunc(np.where(shows[..., None], xy, 0)).astype(int)
    return pixels, shows & (pixels > 0).all(axis=-1)


def draw_motion(
    people: WholeBody, size: tuple[int, int], side: int, count: int = 1
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Draw a clip at the scale of the annotator, whose strokes do not grow with the picture.

    Args:
        people: People of every frame, `[people frames ...]`, in pixels of frames of `size`.
        size: (height, width) of the frames that the points belong to.
        side: Short side of the drawing in pixels.
        count: How many people per frame are drawn at most.

    Returns:
        RGB drawings with the aspect of the frames.
    """
    scale = side / min(size)
    height, width = (max(1, round(length * scale)) for length in size)
    stretch = np.array([width / size[1], height / size[0]])
    frames = []
    for index in range(people.body.conf.shape[1]):
        one = strongest(frame_of(people, index), count)
        # Pixel areas are what is scaled, so centres move by half a pixel.
        moved = (Keypoints((p.xy + 0.5) * stretch - 0.5, p.conf) for p in one)
        frames.append(draw_whole_body(WholeBody(*moved), height, width, radius=STROKE))
    return np.stack(frames)
