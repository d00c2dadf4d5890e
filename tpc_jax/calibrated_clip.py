"""From a reference and a motion to the reference calibrated to every frame of the motion."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, UInt8

from tpc_jax._types import Keypoints, SolveStatus, Transform2D
from tpc_jax.calibration import Calibration, calibrate_on_host
from tpc_jax.errors import UserError
from tpc_jax.io.images import Letterbox
from tpc_jax.options import Calibrating
from tpc_jax.pose.body_model import capsule_mask
from tpc_jax.pose.cast import choose_people
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.refinement.clip import Choice, Judgement, refine_clip
from tpc_jax.warp.pyramid import Pyramid, build_pyramid
from tpc_jax.warp.warp import warp_image

# Frames warped by one call; a fixed number, so that clips of all lengths share one program.
_FRAMES_AT_ONCE = 8

# Where driving frames lie on a canvas of their own size.
_UNMOVED = Letterbox(np.ones(2), np.zeros(2))

Frames = Int[np.ndarray, " frames"]


class Warped(NamedTuple):
    """Pictures of the size of the driving frames, or of the canvas they were warped onto.

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

    @property
    def people_without_fit(self) -> list[int]:
        """People of whom no frame has a fit of its own."""
        has_fit = self.calibration.status == SolveStatus.OK.value
        if self.judgement is not None:
            has_fit = self.judgement.choice != Choice.UNTOUCHED
            # A reference that fits where it is needs no fit.
            has_fit |= self.calibration.status == SolveStatus.OK.value
        return np.flatnonzero(~has_fit.any(axis=1)).tolist()

    def warped(self, person: int, frames: Frames | None = None) -> Warped:
        """Return the reference and a person's mask warped onto driving frames.

        Args:
            person: Number of the person in the reference.
            frames: Which frames; all if left out.
        """
        warp = self.warper(person, self.size, _UNMOVED)
        return warp(np.arange(self.num_frames) if frames is None else frames)

    def warper(
        self, person: int, size: tuple[int, int], placement: Letterbox
    ) -> Callable[[Frames], Warped]:
        """Return what warps the reference and a person's mask straight onto a canvas.

        Args:
            person: Number of the person in the reference.
            size: Height and width of the canvas.
            placement: Where driving frames lie on it.

        Returns:
            A function of the numbers of the frames.
        """
        coverage = np.uint8(255) * self.reference.masks[person]
        pyramid = _jit_pyramid(np.dstack([self.reference.image, coverage]))
        drv_from_ref = (np.asarray(x)[person] for x in self.calibration.drv_from_ref)
        linear, offset = (x.astype(np.float64) for x in drv_from_ref)
        linear, offset = placement.scale[:, None] * linear, placement.apply(offset)

        def warp(frames: Frames) -> Warped:
            images = np.empty((len(frames), *size, 3), np.uint8)
            masks = np.empty((len(frames), *size), np.uint8)
            for at in range(0, len(frames), _FRAMES_AT_ONCE):
                index = frames[np.minimum(np.arange(at, at + _FRAMES_AT_ONCE), len(frames) - 1)]
                canvas_from_ref = (jnp.asarray(x[index], jnp.float32) for x in (linear, offset))
                layers = np.asarray(_jit_warp(pyramid, Transform2D(*canvas_from_ref), size))
                chunk = slice(at, at + _FRAMES_AT_ONCE)
                layers = layers[: len(masks[chunk])]
                images[chunk], masks[chunk] = layers[..., :3], layers[..., 3]
            return Warped(images, masks)

        return warp

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


_jit_pyramid = jax.jit(build_pyramid)


@functools.partial(jax.jit, static_argnums=2)
def _jit_warp(pyramid: Pyramid, canvas_from_ref: Transform2D, size: tuple[int, int]):
    return jax.lax.map(lambda transform: warp_image(pyramid, transform, size), canvas_from_ref)


def calibrate_clip(
    reference: Reference, motion: Motion, calibrating: Calibrating = Calibrating()
) -> CalibratedClip:
    """Match people, fit a transform per person and frame, and refine it by what bodies look like.

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
