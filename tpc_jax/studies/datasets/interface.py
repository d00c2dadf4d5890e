"""What every data set offers: named clips that are read one at a time."""

import abc
import hashlib
import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError

# (angle, scale, (dx, dy)): radians positive from +x towards +y, shift in canvas sizes.
Misalignment = tuple[float, float, tuple[float, float]]
ALIGNED: Misalignment = (0.0, 1.0, (0.0, 0.0))


class DataClip(NamedTuple):
    """Frames of a clip with what the data set knows about them.

    Attributes:
        name: Name of the clip.
        frames: RGB pictures.
        fps: Frames per second.
        keypoints: NumPy COCO-17 keypoints `[frames people 17]` in pixels.
        masks: Pixels of each person, in the order of `keypoints`.
        parts: DensePose part ids 0 to 24.
    """

    name: str
    frames: UInt8[np.ndarray, "frames height width 3"]
    fps: Fraction
    keypoints: Keypoints | None = None
    masks: Bool[np.ndarray, "people frames height width"] | None = None
    parts: UInt8[np.ndarray, "frames height width"] | None = None


class Still(NamedTuple):
    """One picture of a clip, as reference.

    Attributes:
        image: RGB picture.
        keypoints: Its people `[people 17]` in pixels.
        masks: Where each of them is.
    """

    image: UInt8[np.ndarray, "height width 3"]
    keypoints: Keypoints | None
    masks: Bool[np.ndarray, "people height width"] | None


class DataSet(abc.ABC):
    """Clips by name.

    Attributes:
        kind: Name of the kind of data set.
        names: Names of its clips, in order.
    """

    kind: str
    names: Sequence[str]

    @abc.abstractmethod
    def num_frames(self, name: str) -> int:
        """Return the length of a clip."""

    @abc.abstractmethod
    def read(self, name: str, frames: Sequence[int] | None = None) -> DataClip:
        """Read a clip.

        Args:
            name: Its name.
            frames: Numbers of the frames to read, counted from 0; all by default.

        Raises:
            UserError: There is no such clip or frame, or a file is missing or damaged.
        """

    def clips(self) -> Iterator[DataClip]:
        """Yield all clips, of which one is held at a time."""
        return (self.read(name) for name in self.names)

    def still(self, name: str, frame: int, misalignment: Misalignment = ALIGNED) -> Still:
        """Return a frame as reference, moved as a whole picture about its centre.

        What lies outside the frame repeats its border; nobody is there.

        Args:
            name: Name of the clip.
            frame: Number of the frame.
            misalignment: Turn, scale and shift.
        """
        clip = self.read(name, [frame])
        keypoints = clip.keypoints and Keypoints(clip.keypoints.xy[0], clip.keypoints.conf[0])
        masks = None if clip.masks is None else clip.masks[:, 0]
        return move_still(Still(clip.frames[0], keypoints, masks), misalignment)

    def candidates(self, case: str) -> Sequence[str]:
        """Return the clips that may hold the motion of a case; all of them by default."""
        return self.names

    def identity(self) -> dict[str, Any]:
        """Return what tells this data set from others, as plain values.

        The digest covers names and lengths of all clips: enough to notice another version, and
        cheap for sets of any size.
        """
        listing = [[name, self.num_frames(name)] for name in self.names]
        return {"kind": self.kind, "clips": len(listing), "digest": digest(listing)}


def digest(value: Any) -> str:
    """Return a short checksum of plain values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def check_frames(name: str, frames: Sequence[int] | None, count: int) -> Sequence[int]:
    """Return the frame numbers to read.

    Raises:
        UserError: The clip has no such frame.
    """
    if frames is None:
        return range(count)
    if missing := [frame for frame in frames if not 0 <= frame < count]:
        raise UserError(f"{name}: has {count} frames, none numbered {missing[0]}; count from 0")
    return frames


def move_still(still: Still, misalignment: Misalignment) -> Still:
    """Turn, scale and shift a reference about the centre of its canvas."""
    angle, scale, shift = misalignment
    if misalignment == ALIGNED:
        return still
    height, width = still.image.shape[:2]
    matrix = similarity_matrix(angle, scale, shift, (height, width))
    image, masks = still.image, still.masks
    source = matrix
    if scale < 1:
        # Shrinking first averages the pixels that a bare warp would skip.
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        factor = np.array([width / small[0], height / small[1]])
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        from_small = np.column_stack([np.diag(factor), factor / 2 - 0.5])
        source = matrix @ np.vstack([from_small, [0, 0, 1]])
    size = (width, height)
    image = cv2.warpAffine(
        image, source, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    if masks is not None:
        moved = [cv2.warpAffine(m.astype(np.float32), matrix, size) >= 0.5 for m in masks]
        masks = np.stack(moved) if moved else masks
    keypoints = still.keypoints and move_keypoints(still.keypoints, matrix, (height, width))
    return Still(image, keypoints, masks)


def lower_resolution(still: Still, share: float) -> Still:
    """Take away the detail that the reference would lose if it were drawn smaller.

    Args:
        still: The reference.
        share: Factor of at most 1; the picture is shrunk by it and enlarged again.
    """
    if share == 1:
        return still
    height, width = still.image.shape[:2]
    small = (max(1, round(width * share)), max(1, round(height * share)))
    image = cv2.resize(still.image, small, interpolation=cv2.INTER_AREA)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    return still._replace(image=image)


def similarity_matrix(
    angle: float, scale: float, shift: tuple[float, float], size: tuple[int, int]
) -> Float[np.ndarray, "2 3"]:
    """Return the map from old to new pixels of a turn, scale and shift about the centre."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    extent = np.array(size[::-1], float)
    centre = (extent - 1) / 2
    return np.column_stack([linear, centre - linear @ centre + np.array(shift) * extent])


def move_keypoints(
    keypoints: Keypoints, matrix: Float[np.ndarray, "2 3"], size: tuple[int, int]
) -> Keypoints:
    """Carry keypoints along; those that leave the picture lose their confidence."""
    xy = np.asarray(keypoints.xy) @ matrix[:, :2].T + matrix[:, 2]
    inside = ((xy > -0.5) & (xy < np.array(size[::-1]) - 0.5)).all(-1)
    conf = np.where(inside, keypoints.conf, 0)
    return Keypoints(xy.astype(np.float32), conf.astype(np.float32))
