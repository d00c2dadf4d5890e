"""What a skeleton rendering shows: every pixel as a joint, a limb, a face point, or nothing."""

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from tpc_jax.pose.openpose import COLOURS, LIMB_BRIGHTNESS, LIMBS, NUM_JOINTS

# Classes of a pixel: joint k is k, limb k is LIMB + k, then white (the face), and nothing.
LIMB, WHITE, NOTHING = NUM_JOINTS, NUM_JOINTS + len(LIMBS), 255
_BITS = 5
# RGB distance within which a pixel belongs to a colour; dim limbs are 51 apart.
_TOLERANCE = 70.0
# Grey level of the strongest channel from which something is drawn.
_PAINTED = 60
# How much of what is below a limb shows through it, where limbs are blended over joints.
_SHINES, _BRIGHTER = 0.4, 204

# A person under assembly: joint -> (x, y) in the crop.
Person = dict[int, Float[np.ndarray, " 2"]]


class Style(NamedTuple):
    """How the skeletons of a clip are drawn.

    Attributes:
        radius: Radius of a disc in pixels of the enlarged frame.
        factor: How many times frames are enlarged: small discs would have no inside.
        is_blended: Whether limbs lie half transparent over joints, not below them.
        is_swapped: Whether red and blue are exchanged.
        stick: Half the width of a limb.
    """

    radius: int
    factor: int = 1
    is_blended: bool = False
    is_swapped: bool = False
    stick: int = 1


class Drawing(NamedTuple):
    """One frame, cropped to what is drawn.

    Attributes:
        classes: Class of every pixel.
        painted: Whether anything is drawn there.
        cores: The classes, where the four neighbours agree; `NOTHING` elsewhere.
        corner: (x, y) of the crop in the enlarged frame.
        style: How it is drawn.
        rgb: The crop itself.
    """

    classes: UInt8[np.ndarray, "height width"]
    painted: Bool[np.ndarray, "height width"]
    cores: UInt8[np.ndarray, "height width"]
    corner: Float[np.ndarray, " 2"]
    style: Style
    rgb: UInt8[np.ndarray, "height width 3"]

    @property
    def radius(self) -> int:
        """Radius of a disc."""
        return self.style.radius

    def to_frame(self, xy: Float[np.ndarray, "*points 2"]) -> Float[np.ndarray, "*points 2"]:
        """Carry points of the crop to the frame as it came."""
        return (xy + self.corner + 0.5) / self.style.factor - 0.5

    def from_frame(self, xy: Float[np.ndarray, "*points 2"]) -> Float[np.ndarray, "*points 2"]:
        """Carry points of the frame as it came to the crop."""
        return (xy + 0.5) * self.style.factor - 0.5 - self.corner


def is_painted(frame: UInt8[np.ndarray, "height width 3"]) -> Bool[np.ndarray, "height width"]:
    """Tell where something is drawn on black."""
    red, green, blue = cv2.split(frame)
    return np.asarray(cv2.max(cv2.max(red, green), blue)) > _PAINTED


def classify_frame(frame: UInt8[np.ndarray, "height width 3"], style: Style) -> Drawing | None:
    """Classify the pixels of one frame by colour; nothing is returned for a blank frame."""
    painted = is_painted(frame)
    left, top, width, height = cv2.boundingRect(painted.astype(np.uint8))
    if width == 0:
        return None
    frame = frame[top : top + height, left : left + width]
    corner = style.factor * np.array([left, top], float)
    if style.factor > 1:
        size = (width * style.factor, height * style.factor)
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC))
        painted = is_painted(frame)
    else:
        painted = painted[top : top + height, left : left + width]
    if style.is_swapped:
        frame = np.ascontiguousarray(frame[..., ::-1])
    high = (frame >> (8 - _BITS)).astype(np.int32)
    index = (high[..., 0] << (2 * _BITS)) | (high[..., 1] << _BITS) | high[..., 2]
    classes = _lookup(style.is_blended)[index]
    window = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    is_core = cv2.erode(classes, window) == cv2.dilate(classes, window)
    cores = np.where(is_core, classes, NOTHING).astype(np.uint8)
    return Drawing(classes, painted, cores, corner, style, frame)


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


@cache
def _lookup(is_blended: bool) -> UInt8[np.ndarray, " colours"]:
    """Tabulate the class of every quantised colour."""
    dim = COLOURS[: len(LIMBS)] * LIMB_BRIGHTNESS
    known = [COLOURS, dim, [[255, 255, 255]]]
    number = list(range(WHITE + 1))
    if is_blended:  # a joint below one of its limbs is the joint still, if it outshines limbs
        for limb, ends in enumerate(LIMBS):
            for joint in ends:
                mixture = _SHINES * COLOURS[joint] + (1 - _SHINES) * COLOURS[limb]
                if mixture.max() > _BRIGHTER:
                    known.append(mixture[None])
                    number.append(joint)
    known = np.concatenate([*known, [[0, 0, 0]]]).astype(np.float32)
    step = 256 >> _BITS
    level = np.arange(1 << _BITS, dtype=np.float32) * step + (step - 1) / 2
    colours = np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1).reshape(-1, 3)
    distance = np.linalg.norm(colours[:, None] - known[None], axis=-1)
    is_known = distance.min(axis=1) <= _TOLERANCE
    nearest = np.array([*number, NOTHING])[distance.argmin(axis=1)]
    return np.where(is_known, nearest, NOTHING).astype(np.uint8)
