"""What a skeleton rendering shows: every pixel as a joint, a limb, a face point, or nothing."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from tpc_jax.pose.openpose import COLOURS, LIMB_BRIGHTNESS, LIMBS, NUM_JOINTS, stroke_radius

# Classes of a pixel: joint k is k, limb k is LIMB + k, then white (the face), and nothing.
LIMB, WHITE, NOTHING = NUM_JOINTS, NUM_JOINTS + len(LIMBS), 255
_BITS = 5
# RGB distance within which a pixel belongs to a colour; dim limbs are 51 apart.
_TOLERANCE = 70.0
# Grey level of the strongest channel from which something is drawn.
_PAINTED = 60
# Discs with a smaller radius are mostly rim once the colours have been compressed.
_LEAST_RADIUS = 3

# A person under assembly: joint -> (x, y) in the crop.
Person = dict[int, Float[np.ndarray, " 2"]]


class Drawing(NamedTuple):
    """One frame, cropped to what is drawn.

    Attributes:
        classes: Class of every pixel.
        painted: Whether anything is drawn there.
        cores: The classes, where the four neighbours agree; `NOTHING` elsewhere.
        radius: Radius of a disc.
        corner: (x, y) of the crop in the enlarged frame.
        factor: How many times the frame was enlarged.
    """

    classes: UInt8[np.ndarray, "height width"]
    painted: Bool[np.ndarray, "height width"]
    cores: UInt8[np.ndarray, "height width"]
    radius: int
    corner: Float[np.ndarray, " 2"]
    factor: int

    def to_frame(self, xy: Float[np.ndarray, " 2"]) -> Float[np.ndarray, " 2"]:
        """Carry a point of the crop to the frame as it came."""
        return (xy + self.corner + 0.5) / self.factor - 0.5


def classify_frame(frame: UInt8[np.ndarray, "height width 3"]) -> Drawing | None:
    """Classify the pixels of one frame by colour; nothing is returned for a blank frame.

    A small frame is doubled first: its discs would have no inside.
    """
    factor = 1 if stroke_radius(*frame.shape[:2]) >= _LEAST_RADIUS else 2
    if factor > 1:
        frame = np.asarray(cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
    red, green, blue = cv2.split(frame)
    painted = np.asarray(cv2.max(cv2.max(red, green), blue)) > _PAINTED
    left, top, width, height = cv2.boundingRect(painted.astype(np.uint8))
    if width == 0:
        return None
    crop = np.s_[top : top + height, left : left + width]
    high = (frame[crop] >> (8 - _BITS)).astype(np.int32)
    classes = _CLASSES[(high[..., 0] << (2 * _BITS)) | (high[..., 1] << _BITS) | high[..., 2]]
    window = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    is_core = cv2.erode(classes, window) == cv2.dilate(classes, window)
    cores = np.where(is_core, classes, NOTHING).astype(np.uint8)
    radius = stroke_radius(*frame.shape[:2])
    return Drawing(classes, painted[crop], cores, radius, np.array([left, top], float), factor)


def pixels_of(mask: np.ndarray) -> Float[np.ndarray, "pixels 2"]:
    """Return (x, y) of the true pixels."""
    found = cv2.findNonZero(mask.astype(np.uint8))
    return np.zeros((0, 2)) if found is None else found.reshape(-1, 2).astype(float)


def owners_of(
    pixels: Float[np.ndarray, "pixels 2"], people: list[Person]
) -> Int[np.ndarray, " pixels"]:
    """Return for every pixel the index of the person with the nearest joint."""
    if len(people) == 1:
        return np.zeros(len(pixels), np.int64)
    distance = [
        np.min([np.linalg.norm(pixels - xy, axis=1) for xy in body.values()], axis=0)
        for body in people
    ]
    return np.argmin(distance, axis=0)


def _lookup() -> UInt8[np.ndarray, " colours"]:
    """Tabulate the class of every quantised colour."""
    dim = COLOURS[: len(LIMBS)] * LIMB_BRIGHTNESS
    known = np.concatenate([COLOURS, dim, [[255, 255, 255]], [[0, 0, 0]]]).astype(np.float32)
    step = 256 >> _BITS
    level = np.arange(1 << _BITS, dtype=np.float32) * step + (step - 1) / 2
    colours = np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1).reshape(-1, 3)
    distance = np.linalg.norm(colours[:, None] - known[None], axis=-1)
    nearest = distance.argmin(axis=1)
    is_known = (distance.min(axis=1) <= _TOLERANCE) & (nearest < len(known) - 1)
    return np.where(is_known, nearest, NOTHING).astype(np.uint8)


_CLASSES = _lookup()
