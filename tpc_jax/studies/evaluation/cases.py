"""Held-out synthetic cases: a motion, a reference misaligned on purpose, and the true frames."""

from fractions import Fraction
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.animate import Reference
from tpc_jax.pose.reading import Driving
from tpc_jax.studies.people import (
    Clip,
    PersonTransform,
    clip_rng,
    render_clip,
    sample_motion,
    sample_person,
)
from tpc_jax.studies.people.clip import sample_visible_scene

MOTION_FRAMES = 24
FPS = Fraction(10)


class Case(NamedTuple):
    """One person to animate.

    Attributes:
        reference: The still, turned and scaled against the motion; the background is not moved.
        driving: The motion with exact keypoints, masks and, if asked for, part maps.
        truth: The frames that a perfect animator makes.
        masks: Where the person is in them.
    """

    reference: Reference
    driving: Driving
    truth: UInt8[np.ndarray, "frames height width 3"]
    masks: Bool[np.ndarray, "frames height width"]


def make_case(
    index: int,
    size: int,
    *,
    num_frames: int = 16,
    misalignment: PersonTransform | None = None,
    use_parts: bool = True,
    seed: int = 0,
) -> Case:
    """Render held-out person number `index`.

    Args:
        index: Number of the person.
        size: Side of the square pictures in pixels.
        num_frames: Frames of the motion, at most 23; the reference is another frame of it.
        misalignment: (angle, scale, shift) of the reference's person about the canvas centre, as
            in `render_clip`; None aligns reference and motion.
        use_parts: Whether the motion comes with part maps or with keypoints alone.
        seed: Seed of the set.

    Raises:
        ValueError: Too many frames.
    """
    if not 1 <= num_frames < MOTION_FRAMES:
        raise ValueError(f"num_frames must be in 1...{MOTION_FRAMES - 1}, got {num_frames}")
    rng = clip_rng(seed, index, "test")
    person = sample_person(rng)
    scene = sample_visible_scene(rng, person)
    motion = sample_motion(rng, MOTION_FRAMES)
    still = render_clip(
        person, scene, motion, size, person_transform=misalignment, frames=[MOTION_FRAMES - 1]
    )
    moving = render_clip(person, scene, motion, size, frames=list(range(num_frames)))
    reference = Reference(still.frames[0], Keypoints(still.keypoints, still.conf), still.mask)
    return Case(reference, _driving(moving, use_parts=use_parts), moving.frames, moving.mask)


def _driving(clip: Clip, *, use_parts: bool) -> Driving:
    return Driving(
        frames=clip.frames,
        fps=FPS,
        kind="densepose" if use_parts else "openpose",
        keypoints=Keypoints(clip.keypoints[:, None], clip.conf[:, None]),
        masks=clip.mask[None],
        parts=clip.parts if use_parts else None,
    )


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
