"""What every data set offers: named clips that are read one at a time."""

import abc
import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError
from tpc_jax.pose.masks import person_masks
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.studies.people.clip import PersonTransform, scaled_turn

# (angle, scale, (dx, dy)): radians positive from +x towards +y, shift in canvas sizes.
Misalignment = PersonTransform
ALIGNED: Misalignment = (0.0, 1.0, (0.0, 0.0))


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
    def read(self, name: str, frames: Sequence[int] | None = None) -> Motion:
        """Read a clip; its frames are camera pictures or drawn people, whatever else is known.

        Args:
            name: Its name.
            frames: Numbers of the frames to read, counted from 0; all by default.

        Raises:
            UserError: There is no such clip or frame, or a file is missing or damaged.
        """

    def clips(self) -> Iterator[Motion]:
        """Yield all clips, of which one is held at a time."""
        return (self.read(name) for name in self.names)

    def reference(self, name: str, frame: int, misalignment: Misalignment = ALIGNED) -> Reference:
        """Return a frame as reference, moved as a whole picture about its centre.

        What lies outside the frame repeats its border; nobody is there.

        Args:
            name: Name of the clip.
            frame: Number of the frame.
            misalignment: Turn, scale and shift.
        """
        clip = self.read(name, [frame])
        keypoints = clip.keypoints.select(np.s_[:, 0])
        if clip.masks is None:
            masks = person_masks(keypoints, clip.frames.shape[1:3])
        else:
            masks = clip.masks[:, 0]
        parts = None if clip.parts is None else clip.parts[0]
        return move_reference(Reference(clip.frames[0], keypoints, masks, parts), misalignment)

    def candidates(self, case: str) -> Sequence[str]:
        """Return the clips that may hold the motion of a case; all of them by default."""
        return self.names

    def identity(self, case: str) -> dict[str, Any]:
        """Return what tells this data set from others, as plain values.

        The digest covers names and lengths of all clips: enough to notice another version, and
        cheap for sets of any size.

        Args:
            case: The case of the split that is made from it, for sets that grow by cases.
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


def move_reference(reference: Reference, misalignment: Misalignment) -> Reference:
    """Turn, scale and shift a reference about the centre of its canvas."""
    angle, scale, shift = misalignment
    if misalignment == ALIGNED:
        return reference
    image, keypoints, masks, parts = reference
    height, width = image.shape[:2]
    matrix = similarity_matrix(angle, scale, shift, (height, width))
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
    moved = np.zeros_like(masks)
    for mask, out in zip(masks, moved, strict=True):
        out[:] = cv2.warpAffine(mask.astype(np.float32), matrix, size) >= 0.5
    if parts is not None:
        parts = cv2.warpAffine(parts, matrix, size, flags=cv2.INTER_NEAREST)
    return Reference(image, move_keypoints(keypoints, matrix, (height, width)), moved, parts)


def lower_resolution(reference: Reference, share: float) -> Reference:
    """Take away the detail that the reference would lose if it were drawn smaller.

    Args:
        reference: The still.
        share: Factor of at most 1; the picture is shrunk by it and enlarged again.
    """
    if share == 1:
        return reference
    height, width = reference.image.shape[:2]
    small = (max(1, round(width * share)), max(1, round(height * share)))
    image = cv2.resize(reference.image, small, interpolation=cv2.INTER_AREA)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    return reference._replace(image=image)


def similarity_matrix(
    angle: float, scale: float, shift: tuple[float, float], size: tuple[int, int]
) -> Float[np.ndarray, "2 3"]:
    """Return the map from old to new pixels of a turn, scale and shift about the centre."""
    linear = scaled_turn(angle, scale)
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
