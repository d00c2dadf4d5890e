"""From a reference and a motion to the reference calibrated to every frame of the motion."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, UInt8

from tpc_jax._types import Keypoints, Transform2D
from tpc_jax.calibration import Calibration, calibrate_on_host
from tpc_jax.errors import UserError
from tpc_jax.options import Calibrating
from tpc_jax.pose.body_model import capsule_mask
from tpc_jax.pose.cast import choose_people
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.refinement.clip import Judgement, refine_clip
from tpc_jax.warp.warp import warp_image_and_mask

# Frames warped by one call; a fixed number, so that clips of all lengths share one program.
_FRAMES_AT_ONCE = 8

Frames = Int[np.ndarray, " frames"]


class Warped(NamedTuple):
    """Pictures of the size of the driving frames.

    Attributes:
        images: The reference, warped.
        masks: Where the person is in them, coverage 0...255.
    """

    images: UInt8[np.ndarray, "frames height width 3"]
    masks: UInt8[np.ndarray, "frames height width"]


class CalibratedClip(NamedTuple):
    """The reference on every driving frame; pictures are warped when they are asked for.

    Attributes:
        reference: The still.
        motion: The motion.
        calibration: The transforms and how they came about, as NumPy arrays.
        keypoints: The driving keypoints in the order of the reference's people.
        order: Which of the motion's people each of the reference's people is; -1 for nobody.
        judgement: What was chosen per frame and why; None where fits are taken as they are.
    """

    reference: Reference
    motion: Motion
    calibration: Calibration
    keypoints: Keypoints
    order: Int[np.ndarray, "people frames"]
    judgement: Judgement | None = None

    @property
    def num_people(self) -> int:
        """People of the reference."""
        return self.order.shape[0]

    @property
    def num_frames(self) -> int:
        """Frames of the motion."""
        return self.order.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the driving frames."""
        return self.motion.frames.shape[1:3]

    def warped(self, person: int, frames: Frames | None = None) -> Warped:
        """Return the reference and a person's mask warped onto driving frames.

        Args:
            person: Number of the person in the reference.
            frames: Which frames; all if left out.
        """
        frames = np.arange(self.num_frames) if frames is None else frames
        image = self.reference.image.astype(np.float32) / np.float32(255)
        mask = self.reference.masks[person].astype(np.float32)
        images = np.empty((len(frames), *self.size, 3), np.uint8)
        masks = np.empty((len(frames), *self.size), np.uint8)
        for at in range(0, len(frames), _FRAMES_AT_ONCE):
            index = np.minimum(np.arange(at, at + _FRAMES_AT_ONCE), len(frames) - 1)
            transforms = Transform2D(
                *(x[person, frames[index]] for x in self.calibration.drv_from_ref)
            )
            chunk = slice(at, at + _FRAMES_AT_ONCE)
            count = len(images[chunk])
            warped = _jit_warp(image, mask, transforms, self.size)
            images[chunk], masks[chunk] = (np.asarray(x)[:count] for x in warped)
        return Warped(images, masks)

    def target_masks(
        self, person: int, frames: Frames | None = None
    ) -> Bool[np.ndarray, "frames height width"]:
        """Return where a person of the reference is in driving frames.

        Args:
            person: Number of the person in the reference.
            frames: Which frames; all if left out.
        """
        frames = np.arange(self.num_frames) if frames is None else frames
        found = self.order[person, frames]
        masks = np.zeros((len(frames), *self.size), bool)
        for out, frame, other in zip(masks, frames, found, strict=True):
            if other < 0:
                continue
            if self.motion.masks is not None and other < len(self.motion.masks):
                out[:] = self.motion.masks[other, frame]
            else:
                points = Keypoints(*(np.asarray(x)[person, frame] for x in self.keypoints))
                out[:] = capsule_mask(points, *self.size)
        return masks


@functools.partial(jax.jit, static_argnums=3)
def _jit_warp(image, mask, drv_from_ref: Transform2D, size):
    def warp(transform):
        warped = warp_image_and_mask(image, mask, transform, size)
        return tuple(jnp.round(255 * x).astype(jnp.uint8) for x in warped)

    return jax.lax.map(warp, drv_from_ref)


def calibrate_clip(
    reference: Reference, motion: Motion, calibrating: Calibrating = Calibrating()
) -> CalibratedClip:
    """Match people and fit a transform per person and frame.

    Args:
        reference: The still, with at least one person.
        motion: The motion.
        calibrating: How the reference is fitted.

    Raises:
        UserError: Nobody in the reference, or no keypoints that both sides show.
    """
    if len(reference.keypoints.xy) == 0:
        raise UserError("the reference has no keypoints; give them with --reference-keypoints FILE")
    if len(motion.keypoints.conf) == 0:
        raise UserError(
            "the motion has no keypoints; give them with --driving-keypoints, or leave calibration "
            "out with --no-tpc"
        )
    motion = choose_people(reference, motion)
    _require_common_points(reference, motion)
    keypoints = motion.keypoints
    order = np.where(np.any(keypoints.conf, axis=-1), np.arange(len(keypoints.conf))[:, None], -1)
    calibration = calibrate_on_host(
        reference.keypoints, keypoints, method=calibrating.method, transform=calibrating.transform,
        smooth_sigma=0.0 if calibrating.is_refined else calibrating.smooth,
        reference_size=reference.image.shape[1::-1], driving_size=motion.frames.shape[2:0:-1],
    )  # fmt: skip
    judgement = None
    if calibrating.is_refined:
        calibration, judgement = refine_clip(reference, motion, calibration, calibrating.smooth)
    return CalibratedClip(reference, motion, calibration, keypoints, order, judgement)


def _require_common_points(reference: Reference, motion: Motion) -> None:
    tau, num_common = DEFAULT_TAU, 0
    if motion.cast is not None:
        ref_conf, drv_conf = (np.asarray(side.keypoints.conf) for side in (reference, motion))
        num_common = ((ref_conf[:, None] > tau) & (drv_conf > tau)).sum(-1).max(initial=0)
    if num_common < 2:
        raise UserError(
            "reference and driving show no two common keypoints in any frame; check that the "
            f"keypoints belong to these pictures and that confidences exceed {tau}"
        )
