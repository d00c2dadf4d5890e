"""Pairs of drawn people, and pairs as their keypoints alone show them."""

from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.studies.datasets import Pair
from tpc_jax.studies.datasets.interface import ALIGNED, Misalignment
from tpc_jax.studies.datasets.splits import LoadedPair
from tpc_jax.studies.datasets.synthetic import MOTION_FRAMES, SyntheticPeople

# Of a drawn person's plain motion the last frame is the reference, the first ones are the motion.
MOST_FRAMES = MOTION_FRAMES - 1


def held_out_pair(
    index: int, num_frames: int, angle: float = 0.0, scale: float = 1.0, resolution: float = 1.0
) -> Pair:
    """Return the pair of a held-out drawn person.

    Args:
        index: Number of the person.
        num_frames: Frames of the motion; the reference is a later one.
        angle: Turn of the reference's person in degrees.
        scale: Its size relative to the motion's.
        resolution: Share of its resolution that is left to the reference.

    Raises:
        ValueError: Too many frames.
    """
    if not 1 <= num_frames <= MOST_FRAMES:
        raise ValueError(f"num_frames must be in 1...{MOST_FRAMES}, got {num_frames}")
    pair = Pair(f"{index:04d}", f"{index:04d}-plain", MOST_FRAMES, tuple(range(num_frames)))
    return pair._replace(angle=angle, scale=scale, resolution=resolution)


def drawn_pair(
    index: int,
    size: int | tuple[int, int],
    *,
    num_frames: int = 16,
    misalignment: Misalignment = ALIGNED,
    seed: int = 0,
) -> LoadedPair:
    """Draw a held-out person.

    Args:
        index: Number of the person.
        size: Side of the pictures in pixels, or (height, width).
        num_frames: See `held_out_pair`.
        misalignment: Turn in radians, scale and shift of the reference's person about the middle
            of the canvas; its background is not moved.
        seed: Seed of the people.

    Raises:
        ValueError: Too many frames.
    """
    pair = held_out_pair(index, num_frames)
    data = SyntheticPeople(size, index + 1, seed)
    reference = data.reference(pair.clip, pair.reference, misalignment)
    return LoadedPair(reference, data.read(pair.clip, pair.frames))


def without_parts(reference: Reference, motion: Motion) -> LoadedPair:
    """Return a pair as its keypoints alone show it."""
    return LoadedPair(reference._replace(parts=None), motion._replace(parts=None, uv=None))
