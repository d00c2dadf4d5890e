"""From a reference and a motion to an animated clip: wiring only."""

import functools
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, Float, UInt8

from tpc_jax.animators.base import Animator, Reading
from tpc_jax.animators.load import Model
from tpc_jax.animators.plan import Plan, plan_run
from tpc_jax.animators.reading import Calibrated, CanvasClip, decode_clip, read_clip
from tpc_jax.animators.run import sample, start_latents
from tpc_jax.calibrated_clip import CalibratedClip, calibrate_clip
from tpc_jax.conditioning.canvas import Canvas
from tpc_jax.conditioning.composite import blend_background, empty_background, extend
from tpc_jax.conditioning.levels import stretch_levels
from tpc_jax.conditioning.pose_pictures import pose_pictures
from tpc_jax.options import Options
from tpc_jax.pose.cast import choose_people
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.sampler.interpolate import interpolate

Latents = Float[Array, "frames h w channels"]


def animate(
    model: Model,
    reference: Reference,
    motion: Motion,
    options: Options = Options(),
    *,
    calibrated: CalibratedClip | None = None,
    progress: Callable[[int], object] = lambda step: None,
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Animate the reference by the motion.

    Args:
        model: What `load` returned.
        reference: The still.
        motion: The motion.
        options: How the clip is denoised.
        calibrated: The calibrated reference; made by `calibrate_clip` if left out and needed.
        progress: Called with the number of each finished step.

    Returns:
        Frames at the model's size, without letterbox bars; with `options.interpolate` n frames
        become (n - 1) times that, plus 1.

    Raises:
        UserError: The options mean nothing to the model, or reference and motion lack what it
            reads.
    """
    plan = plan_run(model.animator, len(motion.frames), options)
    return run_plan(plan, model, reference, motion, calibrated, progress)


def run_plan(
    plan: Plan,
    model: Model,
    reference: Reference,
    motion: Motion,
    calibrated: CalibratedClip | None = None,
    progress: Callable[[int], object] = lambda step: None,
    *,
    start: Latents | None = None,
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Animate as planned; arguments as for `animate`.

    Args:
        plan: The run, planned for this model and this number of frames.
        model: The model.
        reference: The still.
        motion: The motion.
        calibrated: The calibrated reference; made if left out and needed.
        progress: Called with the number of each finished step.
        start: Start latents in place of drawn ones, repeats of the last frame included; used up.

    Raises:
        UserError: Reference and motion lack what the model reads.
        ValueError: Start latents are of the wrong length.
    """
    motion = choose_people(reference, motion)
    if plan.needs_calibration and calibrated is None:
        calibrated = calibrate_clip(reference, motion)
    animator, params = plan.animator, model.params
    clip = canvas_clip(plan, reference, motion, calibrated)
    conditions = read_clip(plan, params, read_still(model, reference), clip)
    latents = start_latents(plan, conditions) if start is None else start
    wanted = (plan.program.length, *animator.latent_shape)
    if latents.shape != wanted:
        raise ValueError(f"start must have shape {wanted}, got {latents.shape}")
    for index, denoised in enumerate(sample(plan, params, conditions, latents)):
        latents = jax.block_until_ready(denoised)
        progress(index)
    latents = interpolate(latents[: plan.program.num_frames], plan.interpolate)
    frames = decode_clip(animator, params, latents)
    if plan.habits.stretch_levels:
        frames = stretch_levels(frames)
    if plan.blend_background:
        frames = _blend(animator, frames, reference, clip)
    return animator.canvas.crop(frames, motion.frames.shape[1:3])


def read_still(model: Model, reference: Reference) -> Reading:
    """Return what a model reads of the whole reference and of its prompt."""
    mask = np.any(reference.masks, axis=0)
    return model.animator.read_reference(model.params, reference.image, mask, model.prompt)


def canvas_clip(
    plan: Plan, reference: Reference, motion: Motion, calibrated: CalibratedClip | None
) -> CanvasClip:
    """Put everything that a run needs on the animator's canvas.

    Raises:
        UserError: The animator wants a kind of motion that this one is not.
        ValueError: There is nothing calibrated although the plan needs it.
    """
    animator, canvas = plan.animator, plan.animator.canvas
    if plan.needs_calibration:
        _needed(calibrated)
    still_mask, num_people = np.any(reference.masks, axis=0), len(reference.masks)
    background = _background(canvas, reference, motion) if plan.facts.is_pasted else None
    targets = np.zeros((num_people, len(motion.frames), *canvas.size), np.uint8)
    if plan.facts.hides or plan.blend_background:
        for person, frame in np.ndindex(targets.shape[:2]):
            mask = _needed(calibrated).target_masks(person, np.array([frame]))
            targets[person, frame] = canvas.masks(mask)[0]
    return CanvasClip(
        animator.read_pictures(reference.image, still_mask),
        pose_pictures(motion, canvas, animator.pose_kind),
        background,
        canvas.masks(reference.masks),
        _warped(animator, calibrated),
        targets,
    )


def _background(canvas: Canvas, reference: Reference, motion: Motion):
    """Return the reference without its people; where the motion's picture is larger, extended."""
    empty = empty_background(reference.image, np.any(reference.masks, axis=0))
    own, wanted = reference.image.shape[:2], motion.frames.shape[1:3]
    background = extend(canvas.pictures(empty), canvas.content(own))
    background[canvas.beside(own) & canvas.beside(wanted)] = 0
    return background


def _warped(animator: Animator, calibrated: CalibratedClip | None) -> Calibrated:
    """Return what warps the reference straight to where it is read, when it is asked for.

    The motion's bars stay black, as in all that is put onto the canvas.
    """
    canvas = animator.reading_canvas

    @functools.cache
    def warper(person: int):
        clip = _needed(calibrated)
        return clip.warper(person, canvas.size, canvas.placement(clip.size))

    def warped(person, frames):
        images, masks = warper(person)(frames)
        bars = canvas.beside(_needed(calibrated).size)
        images[:, bars], masks[:, bars] = 0, 0
        return animator.read_pictures(images, masks), animator.canvas.masks(masks)

    return warped


def _needed(calibrated: CalibratedClip | None) -> CalibratedClip:
    if calibrated is None:
        raise ValueError("calibrated must be given unless routing is None and nothing is blended")
    return calibrated


def _blend(animator: Animator, frames, reference: Reference, clip: CanvasClip):
    """Replace what lies outside the people; where the reference ends, the frames stay."""
    canvas = animator.canvas
    covered = canvas.masks(np.ones(reference.image.shape[:2], bool)) > 127
    still = canvas.pictures(reference.image)
    blended = blend_background(frames, still, clip.target_masks > 0)
    return np.where(covered[..., None], blended, frames)
