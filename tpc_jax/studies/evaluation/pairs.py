"""Pairs of a reference and a motion as the pipeline takes them, calibrated and animated."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from tpc_jax._types import Keypoints
from tpc_jax.animate import CalibratedClip, Reference, animate_clip, calibrate_clip, person_masks
from tpc_jax.animators.load import LoadedModel
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.calibrate import Method, Model
from tpc_jax.pose.reading import Driving
from tpc_jax.studies.datasets import DataSet, Pair
from tpc_jax.studies.datasets.interface import ALIGNED, DataClip, Misalignment, Still
from tpc_jax.studies.datasets.splits import load_pair
from tpc_jax.studies.datasets.synthetic import MOTION_FRAMES, SyntheticPeople

# Of a drawn person's plain motion the last frame is the reference, the first ones are the motion.
MOST_FRAMES = MOTION_FRAMES - 1


class DrivenPair(NamedTuple):
    """A reference and what it is animated by.

    Attributes:
        reference: The still.
        driving: The motion, whose frames are what a perfect animator makes.
    """

    reference: Reference
    driving: Driving


def read_pair(data: DataSet, pair: Pair) -> DrivenPair:
    """Read a pair of a split.

    Raises:
        UserError: A file is missing or damaged.
    """
    still, clip = load_pair(data, pair)
    return DrivenPair(_reference(still), _driving(clip))


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
    size: int,
    *,
    num_frames: int = 16,
    misalignment: Misalignment = ALIGNED,
    seed: int = 0,
) -> DrivenPair:
    """Draw a held-out person.

    Args:
        index: Number of the person.
        size: Side of the square pictures in pixels.
        num_frames: See `held_out_pair`.
        misalignment: Turn in radians, scale and shift of the reference's person about the middle
            of the canvas; its background is not moved.
        seed: Seed of the people.

    Raises:
        ValueError: Too many frames.
    """
    pair = held_out_pair(index, num_frames)
    data = SyntheticPeople(size, index + 1, seed)
    still = data.still(pair.clip, pair.reference, misalignment)
    return DrivenPair(_reference(still), _driving(data.read(pair.clip, pair.frames)))


def _reference(still: Still) -> Reference:
    size = still.image.shape[:2]
    people = still.keypoints
    if people is None:
        people = Keypoints(np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32))
    masks = person_masks(people, size) if still.masks is None else still.masks
    return Reference(still.image, people, masks)


def _driving(clip: DataClip) -> Driving:
    keypoints = clip.keypoints
    if keypoints is None:
        shape = (len(clip.frames), 0, 17)
        keypoints = Keypoints(np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32))
    driving = Driving(clip.frames, clip.fps, "densepose", keypoints, clip.masks, clip.parts)
    return driving if clip.parts is not None else without_parts(driving)


def without_parts(driving: Driving) -> Driving:
    """Return the motion as its keypoints alone show it."""
    return driving._replace(kind="openpose", parts=None)


def calibrate_pair(
    pair: DrivenPair, method: Method = "lts", transform: Model = "similarity"
) -> CalibratedClip:
    """Fit the reference to every frame of the motion.

    Raises:
        UserError: Nobody to fit, or no keypoints that both sides show.
    """
    return calibrate_clip(pair.reference, pair.driving, method=method, model=transform)


def animate_pair(
    model: LoadedModel,
    pair: DrivenPair,
    calibrated: CalibratedClip | None,
    options: AnimateOptions,
    progress: Callable[[int], None] = lambda step: None,
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Animate the reference by the motion.

    Args:
        model: The animator with its parameters.
        pair: Reference and motion.
        calibrated: The calibrated reference; needed unless `options.routing` is None.
        options: How the clip is denoised.
        progress: Called with the number of each finished step.
    """
    reference, driving = pair
    return animate_clip(*model, reference, driving, calibrated, options, progress)
