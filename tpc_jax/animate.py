"""From a reference and a motion to calibrated references and to an animated clip: wiring only."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from tpc_jax._types import Keypoints, Transform2D
from tpc_jax.animators.clip import clip_length, sample_clip, start_clip
from tpc_jax.animators.encoding import CanvasClip, decode_clip, encode_clip
from tpc_jax.animators.interface import Animator
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.calibrate import Calibration, Method, calibrate_on_host
from tpc_jax.conditioning.canvas import (
    Fit,
    crop_to_content,
    fit_images,
    fit_masks,
)
from tpc_jax.conditioning.composite import blend_background, empty_background
from tpc_jax.conditioning.levels import stretch_levels
from tpc_jax.conditioning.pose_pictures import pose_pictures
from tpc_jax.errors import UserError
from tpc_jax.model.params import Params
from tpc_jax.pose.body_model import capsule_mask
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.matching import match_people, select_people
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.procrustes.solve import TransformKind
from tpc_jax.sampler.interpolate import interpolate
from tpc_jax.warp.warp import warp_image_and_mask


class CalibratedClip(NamedTuple):
    """The reference warped onto every driving frame, per person of the reference.

    Attributes:
        calibration: The transforms and how they came about, as NumPy arrays.
        images: The warped pictures.
        masks: The warped person masks, coverage 0...255.
        keypoints: The driving keypoints in the order of the reference's people.
        target_masks: Where each person is in the driving frames.
    """

    calibration: Calibration
    images: UInt8[np.ndarray, "people frames height width 3"]
    masks: UInt8[np.ndarray, "people frames height width"]
    keypoints: Keypoints
    target_masks: Bool[np.ndarray, "people frames height width"]


def calibrate_clip(
    reference: Reference,
    motion: Motion,
    *,
    method: Method = "lts",
    transform: TransformKind = "similarity",
    tau: float = DEFAULT_TAU,
    smooth_sigma: float = 0.0,
) -> CalibratedClip:
    """Match people, fit a transform per frame and warp the reference by it.

    Args:
        reference: The still, with at least one person.
        motion: The motion.
        method: Which keypoints steer the fit.
        transform: Kind of transform.
        tau: Least confidence of a visible point.
        smooth_sigma: Temporal smoothing of the transforms in frames; 0 for none.

    Raises:
        UserError: Nobody in the reference, or no keypoints that both sides show.
    """
    size = motion.frames.shape[1:3]
    if len(reference.keypoints.xy) == 0:
        raise UserError("the reference has no keypoints; give them with --reference-keypoints FILE")
    if len(motion.keypoints.conf) == 0:
        raise UserError(
            "the motion has no keypoints; give them with --driving-keypoints, or leave calibration "
            "out with --no-tpc"
        )
    order = match_people(
        reference.keypoints,
        motion.keypoints,
        tau=tau,
        reference_size=reference.image.shape[1::-1],
        driving_size=size[::-1],
    )
    keypoints = select_people(motion.keypoints, order)
    _require_common_points(reference.keypoints, keypoints, tau)
    calibration = calibrate_on_host(
        reference.keypoints, keypoints, method=method, transform=transform, tau=tau,
        smooth_sigma=smooth_sigma,
    )  # fmt: skip
    warped = [
        _warp_frames(reference.image, mask, jax.tree.map(lambda x, i=i: x[i], drv_from_ref), size)
        for drv_from_ref in [calibration.drv_from_ref]
        for i, mask in enumerate(reference.masks)
    ]
    images, masks = (np.stack(column) for column in zip(*warped, strict=True))
    return CalibratedClip(calibration, images, masks, keypoints, _target_masks(motion, order))


def _require_common_points(reference: Keypoints, driving: Keypoints, tau: float) -> None:
    common = (np.asarray(reference.conf)[:, None] > tau) & (np.asarray(driving.conf) > tau)
    if common.sum(-1).max(initial=0) < 2:
        raise UserError(
            "reference and driving show no two common keypoints in any frame; check that the "
            f"keypoints belong to these pictures and that confidences exceed {tau}"
        )


def _target_masks(motion: Motion, order) -> Bool[np.ndarray, "people frames height width"]:
    """Put the driving people's masks in the order of the reference's people."""
    size = motion.frames.shape[1:3]
    masks = np.zeros((*order.shape, *size), bool)
    for person, frame in np.argwhere(order >= 0):
        found = order[person, frame]
        if motion.masks is not None and found < len(motion.masks):
            masks[person, frame] = motion.masks[found, frame]
        else:
            masks[person, frame] = capsule_mask(motion.keypoints.select((found, frame)), *size)
    return masks


def _warp_frames(image, mask, drv_from_ref: Transform2D, size: tuple[int, int]):
    """Warp one person's picture and mask onto every frame; returns uint8 arrays."""
    pixels = jnp.asarray(image, jnp.float32) / 255
    images, masks = _warp_all(pixels, jnp.asarray(mask, jnp.float32), drv_from_ref, size)
    return np.asarray(images), np.asarray(masks)


@functools.partial(jax.jit, static_argnums=3)
def _warp_all(image, mask, drv_from_ref, size):
    def warp(transform):
        warped = warp_image_and_mask(image, mask, transform, size)
        return tuple(jnp.round(255 * x).astype(jnp.uint8) for x in warped)

    return jax.lax.map(warp, drv_from_ref)


def animate_clip(
    animator: Animator,
    params: Params,
    reference: Reference,
    motion: Motion,
    calibrated: CalibratedClip | None,
    options: AnimateOptions,
    progress: Callable[[int], None] = lambda step: None,
    *,
    start: Float[Array, "frames h w channels"] | None = None,
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Animate the reference by the driving motion.

    Args:
        animator: The model's functions.
        params: The model's parameters.
        reference: The still.
        motion: The motion.
        calibrated: Its calibrated references; needed unless `options.routing` is None.
        options: Denoising options.
        progress: Called with the number of each finished step.
        start: Start latents in place of drawn ones, repeats of the last frame included; used up.

    Returns:
        Frames at the model's size, without letterbox bars; with `options.interpolate` n frames
        become (n - 1) times that, plus 1.

    Raises:
        UserError: The animator wants a DensePose rendering and the motion is none.
        ValueError: Calibrated references or start latents are missing or of the wrong length, or
            blended frames are to show the reference's background.
    """
    size, num_frames = animator.image_size, len(motion.frames)
    options = options.resolve(animator)
    if options.blend_background and options.interpolate > 1:
        raise ValueError("blend_background needs the masks of every frame: leave out interpolate")
    params = animator.with_reference(params, reference.image, reference.masks.any(0))
    clip = canvas_clip(animator, reference, motion, calibrated, options)
    conditions = encode_clip(animator, params, clip, options)
    latents = start_clip(animator, params, num_frames, options) if start is None else start
    wanted = (clip_length(animator, num_frames, options), *animator.latent_shape)
    if latents.shape != wanted:
        raise ValueError(f"start must have shape {wanted}, got {latents.shape}")
    steps = sample_clip(animator, params, conditions, options, latents)
    for index, denoised in enumerate(steps):
        latents = jax.block_until_ready(denoised)
        progress(index)
    latents = interpolate(latents[:num_frames], options.interpolate, options.blend)
    frames = decode_clip(animator, params, latents)
    if options.stretch_levels:
        frames = stretch_levels(frames)
    if options.blend_background:
        frames = _blend(frames, reference, clip, animator.fit)
    if animator.fit != "letterbox":
        return frames
    return crop_to_content(frames, motion.frames.shape[1:3], size)


def _blend(frames, reference: Reference, clip: CanvasClip, fit: Fit):
    """Replace what lies outside the people; where the reference ends, the frames stay."""
    size = frames.shape[1:3]
    covered = fit_masks(np.ones(reference.image.shape[:2], bool), size, fit=fit) > 127
    still = fit_images(reference.image, size, fit=fit)
    blended = blend_background(frames, still, clip.target_masks > 0)
    return np.where(covered[..., None], blended, frames)


def canvas_clip(
    animator: Animator,
    reference: Reference,
    motion: Motion,
    calibrated: CalibratedClip | None,
    options: AnimateOptions,
) -> CanvasClip:
    """Put everything that a run needs on the animator's canvas.

    Raises:
        UserError: The animator wants a DensePose rendering and the motion is none.
        ValueError: There is nothing calibrated although the options need it.
    """
    size, fit = animator.image_size, animator.fit
    if calibrated is None and (options.routing is not None or options.blend_background):
        raise ValueError("calibrated must be given unless routing is None and nothing is blended")
    shape = (0, len(motion.frames), *motion.frames.shape[1:3])
    empty = np.zeros(shape, np.uint8)
    background = None
    if options.routing == "composite":
        empty_scene = empty_background(reference.image, reference.masks.any(0))
        background = fit_images(empty_scene, size, fit=fit)
    images = calibrated.images if calibrated else np.zeros((*shape, 3), np.uint8)
    masks = calibrated.masks if calibrated else empty
    target_masks = calibrated.target_masks if calibrated else empty
    num_people = max(1, len(reference.masks))
    return CanvasClip(
        animator.read_pictures(reference.image, reference.masks.any(0)),
        pose_pictures(motion, size, animator.pose_kind, num_people, fit=fit),
        background,
        fit_masks(reference.masks, size, fit=fit),
        animator.read_pictures(images, masks),
        fit_masks(masks, size, fit=fit),
        fit_masks(target_masks, size, fit=fit),
    )
