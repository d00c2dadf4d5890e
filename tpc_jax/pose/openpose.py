"""OpenPose-18 skeleton renderings: tables, drawing, and a test of what a video is.

The style is that of the DWPose annotator: limbs as slim ellipses at 60 % brightness, then joints as
full-strength discs, on black. Limb k and joint k share colour k.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.pose.adapters import COCO_FROM_OPENPOSE_18
from tpc_jax.pose.filtering import DEFAULT_TAU

NECK = 1
NUM_JOINTS = 18
# Nose, eyes and ears.
FACE_JOINTS = (0, 14, 15, 16, 17)
# Joints that each limb connects, in the order of drawing: later limbs hide earlier ones.
LIMBS: tuple[tuple[int, int], ...] = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
COLOURS = np.array(
    [
        (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
        (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
        (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
    ],
    np.uint8,
)  # fmt: skip
LIMB_BRIGHTNESS = 0.6
# Half the width of a limb and the radius of a joint on a canvas whose short side is 512.
STROKE, CANVAS = 4, 512
# A skeleton rendering: mostly black, the rest saturated or white, as far as compression of thin
# strokes lets it.
_BLACK, _LEAST_BLACK, _LEAST_PURE, _LEAST_DRAWN = 40, 0.5, 0.6, 2e-5


def stroke_radius(height: int, width: int) -> int:
    """Return the half width of limbs and radius of joints that suit a canvas, in pixels."""
    return max(1, round(STROKE * min(height, width) / CANVAS))


def openpose_from_coco(keypoints: Keypoints, tau: float = DEFAULT_TAU) -> Keypoints:
    """Reorder COCO-17 to OpenPose-18; the neck is the middle of two visible shoulders.

    Args:
        keypoints: NumPy keypoints `[*batch 17]`.
        tau: A shoulder is visible if its confidence is above this.

    Returns:
        NumPy keypoints `[*batch 18]` of the same type.

    Source:
        The DWPose annotator.
    """
    xy, conf = np.asarray(keypoints.xy), np.asarray(keypoints.conf)
    joints = np.zeros((*conf.shape[:-1], NUM_JOINTS, 2), xy.dtype)
    certainty = np.zeros((*conf.shape[:-1], NUM_JOINTS), conf.dtype)
    order = list(COCO_FROM_OPENPOSE_18)
    joints[..., order, :], certainty[..., order] = xy, conf
    shoulders = [5, 6]
    joints[..., NECK, :] = xy[..., shoulders, :].mean(axis=-2)
    certainty[..., NECK] = (conf[..., shoulders] > tau).all(axis=-1)
    return Keypoints(joints, certainty)


def draw_skeleton(
    keypoints: Keypoints,
    height: int,
    width: int,
    *,
    tau: float = DEFAULT_TAU,
    radius: int | None = None,
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Draw the people of one frame as an OpenPose skeleton, without hands and faces.

    Args:
        keypoints: NumPy COCO-17 keypoints `[people 17]` in pixels of the canvas.
        height: Canvas height in pixels.
        width: Canvas width in pixels.
        tau: Points with confidence above this are drawn.
        radius: Half width of limbs and radius of joints in pixels; by default 4 on a canvas with
            a short side of 512, as the annotator draws, and in proportion on others.

    Returns:
        RGB canvas.

    Source:
        Style of the DWPose annotator.
    """
    radius = stroke_radius(height, width) if radius is None else radius
    return draw_body(openpose_from_coco(keypoints, tau), height, width, tau=tau, radius=radius)


def draw_body(
    people: Keypoints, height: int, width: int, *, tau: float, radius: int
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Draw joints and limbs of the people of one frame.

    Args:
        people: NumPy OpenPose-18 keypoints `[people 18]` in pixels of the canvas.
        height: Canvas height in pixels.
        width: Canvas width in pixels.
        tau: Joints with confidence above this are drawn, limbs between two of them.
        radius: Half width of limbs and radius of joints in pixels.

    Returns:
        RGB canvas.

    Source:
        `draw_bodypose` of Moore-AnimateAnyone's `dwpose/util.py`.
    """
    xy = np.nan_to_num(np.asarray(people.xy))
    visible = (np.asarray(people.conf) > tau) & np.isfinite(people.xy).all(axis=-1)
    canvas = np.zeros((height, width, 3), np.uint8)
    for limb, (start, end) in enumerate(LIMBS):
        for person in np.flatnonzero(visible[:, start] & visible[:, end]):
            _draw_limb(canvas, xy[person, start], xy[person, end], radius, COLOURS[limb])
    canvas = (canvas * LIMB_BRIGHTNESS).astype(np.uint8)
    for joint in range(NUM_JOINTS):
        for person in np.flatnonzero(visible[:, joint]):
            centre = tuple(int(value) for value in xy[person, joint])
            cv2.circle(canvas, centre, radius, COLOURS[joint].tolist(), thickness=-1)
    return canvas


def draw_openpose(
    keypoints: Keypoints, height: int, width: int, *, tau: float = DEFAULT_TAU
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Draw the people of one frame as OpenPose's own skeleton: limbs over joints, half transparent.

    Args:
        keypoints: NumPy COCO-17 keypoints `[people 17]` in pixels of the canvas.
        height: Canvas height in pixels.
        width: Canvas width in pixels.
        tau: Points with confidence above this are drawn.

    Returns:
        RGB canvas, whatever its size with lines of 8 pixels.

    Source: DisCo's data set.
    """
    people = openpose_from_coco(keypoints, tau)
    xy = np.nan_to_num(np.asarray(people.xy))
    visible = (np.asarray(people.conf) > tau) & np.isfinite(people.xy).all(axis=-1)
    canvas = np.zeros((height, width, 3), np.uint8)
    for person in range(len(xy)):
        canvas = draw_blended(canvas, xy[person], visible[person], STROKE, STROKE)
    return canvas


def draw_blended(
    canvas: UInt8[np.ndarray, "height width 3"],
    xy: Float[np.ndarray, "joints 2"],
    visible: Bool[np.ndarray, " joints"],
    radius: int,
    stick: int,
) -> UInt8[np.ndarray, "height width 3"]:
    """Draw one person on a canvas with limbs half transparent over joints.

    Args:
        canvas: RGB canvas, drawn on in place up to the first limb.
        xy: OpenPose-18 joints in pixels of the canvas.
        visible: Which of them are drawn.
        radius: Radius of a joint in pixels.
        stick: Half the width of a limb in pixels.

    Returns:
        RGB canvas.

    Source: `draw_bodypose` of pytorch-openpose, which DisCo's data set and ControlNet 1.0 use.
    """
    for joint in np.flatnonzero(visible):
        centre = tuple(int(value) for value in xy[joint])
        cv2.circle(canvas, centre, radius, COLOURS[joint].tolist(), thickness=-1)
    for limb, (start, end) in enumerate(LIMBS):
        if visible[start] and visible[end]:
            over = canvas.copy()
            _draw_limb(over, xy[start], xy[end], stick, COLOURS[limb])
            canvas = np.asarray(cv2.addWeighted(canvas, 0.4, over, 0.6, 0))
    return canvas


def is_skeleton(frames: UInt8[np.ndarray, "frames height width 3"]) -> bool:
    """Tell whether frames are a skeleton rendering: pure colours and white, mostly on black."""
    strongest, weakest = frames.max(axis=-1), frames.min(axis=-1)
    drawn = strongest > 2 * _BLACK
    if (strongest <= _BLACK).mean() < _LEAST_BLACK or drawn.mean() < _LEAST_DRAWN:
        return False
    pure = (weakest[drawn] < 0.3 * strongest[drawn]) | (weakest[drawn] > 0.8 * strongest[drawn])
    return bool(pure.mean() >= _LEAST_PURE)


def _draw_limb(
    canvas: UInt8[np.ndarray, "height width 3"],
    start: Float[np.ndarray, " 2"],
    end: Float[np.ndarray, " 2"],
    radius: int,
    colour: UInt8[np.ndarray, " 3"],
) -> None:
    centre = tuple(int(value) for value in (start + end) / 2)
    along = start - end
    axes = (int(np.linalg.norm(along) / 2), radius)
    angle = int(np.degrees(np.arctan2(along[1], along[0])))
    outline = cv2.ellipse2Poly(centre, axes, angle, 0, 360, 1)
    cv2.fillConvexPoly(canvas, np.asarray(outline), colour.tolist())
