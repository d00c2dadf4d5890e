"""Held-out synthetic cases: a motion, and a reference misaligned on purpose."""

import cv2

from tpc_jax.pose.reading import Reference
from tpc_jax.studies.datasets.interface import ALIGNED, Misalignment
from tpc_jax.studies.datasets.splits import LoadedPair
from tpc_jax.studies.datasets.synthetic import MOTION_FRAMES, SyntheticPeople


def make_case(
    index: int,
    size: int,
    *,
    num_frames: int = 16,
    misalignment: Misalignment = ALIGNED,
    use_parts: bool = True,
    seed: int = 0,
) -> LoadedPair:
    """Render held-out person number `index`.

    Args:
        index: Number of the person.
        size: Side of the square pictures in pixels.
        num_frames: Frames of the motion, at most 23; the reference is another frame of it.
        misalignment: (angle, scale, shift) of the reference's person about the canvas centre; the
            background is not moved.
        use_parts: Whether the motion comes with part maps or with keypoints alone.
        seed: Seed of the set.

    Raises:
        ValueError: Too many frames.
    """
    if not 1 <= num_frames < MOTION_FRAMES:
        raise ValueError(f"num_frames must be in 1...{MOTION_FRAMES - 1}, got {num_frames}")
    people = SyntheticPeople(size, index + 1, seed)
    name = people.names[index]
    motion = people.read(name, range(num_frames))
    reference = people.reference(name, MOTION_FRAMES - 1, misalignment)
    return LoadedPair(reference, motion if use_parts else motion._replace(parts=None))


def lower_resolution(reference: Reference, scale: float) -> Reference:
    """Take away the detail that the reference would lose if it were drawn smaller.

    Args:
        reference: The still.
        scale: Factor below 1; the picture is shrunk by it and enlarged again.
    """
    height, width = reference.image.shape[:2]
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = cv2.resize(reference.image, small, interpolation=cv2.INTER_AREA)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    return reference._replace(image=image)
