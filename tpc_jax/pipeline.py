"""From a reference and a motion to calibrated references and to an animated clip: wiring only."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax._types import Keypoints, Transform2D
from tpc_jax.animators.references import ClipReferences, window_references
from tpc_jax.animators.tiny import TinyAnimator
from tpc_jax.calibrate import Calibration, Method, Model, calibrate
from tpc_jax.conditioning.canvas import (
    crop_to_content,
    fit_images,
    fit_masks,
    fit_parts,
    placement_on,
)
from tpc_jax.conditioning.composite import empty_background, paste
from tpc_jax.conditioning.masks import Routing, visibility
from tpc_jax.conditioning.pose_maps import draw_skeleton_lines, part_pictures
from tpc_jax.errors import UserError
from tpc_jax.io.images import read_image, read_mask, to_uint8
from tpc_jax.model.params import Params
from tpc_jax.pose.body_model import capsule_mask
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.matching import match_people, select_people
from tpc_jax.pose.reading import Driving, divide_masks, read_reference_keypoints
from tpc_jax.propagation.propagate import Policy, representative_of_frame, representatives
from tpc_jax.sampler.loop import denoise_step, sample_steps
from tpc_jax.sampler.schedule import step_table
from tpc_jax.sampler.windows import context_windows
from tpc_jax.warp.warp import warp_image_and_mask

_PICTURES_AT_ONCE = 16


class Reference(NamedTuple):
    """The still that gives identity.

    Attributes:
        image: RGB picture.
        keypoints: Its people.
        masks: Where each of them is.
    """

    image: UInt8[np.ndarray, "height width 3"]
    keypoints: Keypoints
    masks: Bool[np.ndarray, "people height width"]


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


@dataclasses.dataclass(frozen=True)
class AnimateOptions:
    """How a clip is denoised.

    Attributes:
        routing: What the denoiser reads of the calibrated pictures; None leaves TPC out.
        group_size: Frames that share one calibrated picture at a step.
        policy: How the group's picture is chosen.
        steps: Denoising steps.
        guidance_scale: Weight of classifier-free guidance; 1 means off.
        seed: Seed of the start noise and of the propagation's draws.
    """

    routing: Routing | None = "composite"
    group_size: int = 4
    policy: Policy = "random"
    steps: int = 20
    guidance_scale: float = 1.0
    seed: int = 0


def load_reference(
    image: Path, keypoints: Path | None = None, mask: Path | None = None
) -> Reference:
    """Read a reference picture with the keypoints and the mask of its people.

    Args:
        image: Picture file.
        keypoints: Keypoint file of any known format; None means no people.
        mask: Mask of all people together; drawn from the keypoints if None.

    Raises:
        UserError: A file is missing, unreadable or does not fit the picture.
    """
    picture = read_image(image)
    size = picture.shape[:2]
    if keypoints is None:
        empty = Keypoints(np.zeros((0, 17, 2), np.float32), np.zeros((0, 17), np.float32))
        return Reference(picture, empty, np.zeros((0, *size), bool))
    people = read_reference_keypoints(keypoints, size)
    masks = person_masks(people, size)
    if mask is not None:
        given = read_mask(mask)
        if given.shape != size:
            raise UserError(
                f"{mask}: mask is {given.shape[1]}x{given.shape[0]} pixels but the reference "
                f"{image} is {size[1]}x{size[0]}; give a mask of the same size"
            )
        one_frame = Keypoints(people.xy[None], people.conf[None])
        masks = divide_masks(given[None, None], one_frame)[:, 0]
    return Reference(picture, people, masks)


def person_masks(
    people: Keypoints, size: tuple[int, int]
) -> Bool[np.ndarray, "people height width"]:
    """Draw each person's mask from keypoints by the capsule body model."""
    xy, conf = np.asarray(people.xy), np.asarray(people.conf)
    rows = [capsule_mask(Keypoints(x, c), *size) for x, c in zip(xy, conf, strict=True)]
    return np.stack(rows) if rows else np.zeros((0, *size), bool)


def calibrate_clip(
    reference: Reference,
    driving: Driving,
    *,
    method: Method = "lts",
    model: Model = "similarity",
    tau: float = DEFAULT_TAU,
    smooth_sigma: float = 0.0,
) -> CalibratedClip:
    """Match people, fit a transform per frame and warp the reference by it.

    Args:
        reference: The still, with at least one person.
        driving: The motion.
        method: Which keypoints steer the fit.
        model: Kind of transform.
        tau: Least confidence of a visible point.
        smooth_sigma: Temporal smoothing of the transforms in frames; 0 for none.

    Raises:
        UserError: Nobody in the reference, or no keypoints that both sides show.
    """
    size = driving.frames.shape[1:3]
    if len(reference.keypoints.xy) == 0:
        raise UserError("the reference has no keypoints; give them with --reference-keypoints FILE")
    order = match_people(
        reference.keypoints,
        driving.keypoints,
        tau=tau,
        reference_size=reference.image.shape[1::-1],
        driving_size=size[::-1],
    )
    keypoints = select_people(driving.keypoints, order)
    _require_common_points(reference.keypoints, keypoints, tau)
    calibration = jax.tree.map(
        np.asarray,
        _jit_calibrate(
            reference.keypoints, keypoints, method=method, model=model, tau=tau,
            smooth_sigma=smooth_sigma,
        ),
    )  # fmt: skip
    warped = [
        _warp_frames(reference.image, mask, jax.tree.map(lambda x, i=i: x[i], drv_from_ref), size)
        for drv_from_ref in [calibration.drv_from_ref]
        for i, mask in enumerate(reference.masks)
    ]
    images, masks = (np.stack(column) for column in zip(*warped, strict=True))
    return CalibratedClip(calibration, images, masks, keypoints, _target_masks(driving, order))


_jit_calibrate = jax.jit(calibrate, static_argnames=("method", "model", "tau", "smooth_sigma"))


def _require_common_points(reference: Keypoints, driving: Keypoints, tau: float) -> None:
    common = (np.asarray(reference.conf)[:, None] > tau) & (np.asarray(driving.conf) > tau)
    if common.sum(-1).max(initial=0) < 2:
        raise UserError(
            "reference and driving show no two common keypoints in any frame; check that the "
            f"keypoints belong to these pictures and that confidences exceed {tau}"
        )


def _target_masks(driving: Driving, order) -> Bool[np.ndarray, "people frames height width"]:
    """Put the driving people's masks in the order of the reference's people."""
    size = driving.frames.shape[1:3]
    xy, conf = np.asarray(driving.keypoints.xy), np.asarray(driving.keypoints.conf)
    masks = np.zeros((*order.shape, *size), bool)
    for person, frame in np.argwhere(order >= 0):
        found = order[person, frame]
        if driving.masks is not None and found < len(driving.masks):
            masks[person, frame] = driving.masks[found, frame]
        else:
            masks[person, frame] = capsule_mask(
                Keypoints(xy[frame, found], conf[frame, found]), *size
            )
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
    animator: TinyAnimator,
    params: Params,
    reference: Reference,
    driving: Driving,
    calibrated: CalibratedClip | None,
    options: AnimateOptions,
    progress: Callable[[int], None] = lambda step: None,
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Animate the reference by the driving motion.

    Args:
        animator: The model's functions.
        params: The model's parameters.
        reference: The still.
        driving: The motion.
        calibrated: Its calibrated references; needed unless `options.routing` is None.
        options: Denoising options.
        progress: Called with the number of each finished step.

    Returns:
        Frames at the model's size, without letterbox bars.
    """
    size = animator.image_size
    pose = _jit_pose(animator)(params, jnp.asarray(pose_pictures(driving, size)))
    references = clip_references(animator, params, reference, calibrated, options.routing)
    num_frames = len(driving.frames)
    step = _jit_step(animator, options, num_frames)
    latents = start_noise(options.seed, (num_frames, *animator.latent_shape))
    table = step_table(animator.schedule, options.steps)
    bound = functools.partial(step, params, references, pose)
    for index, denoised in enumerate(sample_steps(bound, latents, table)):
        latents = jax.block_until_ready(denoised)
        progress(index)
    frames = _in_chunks(_jit_decode(animator), params, latents)
    frames = to_uint8(np.asarray(frames) / 2 + 0.5)
    return crop_to_content(frames, driving.frames.shape[1:3], size)


def start_noise(seed: int, shape: tuple[int, ...]):
    """Return Gaussian start latents; a frame's noise does not depend on the clip's length."""
    key = jax.random.fold_in(jax.random.key(seed), 1)

    def draw(frame):
        return jax.random.normal(jax.random.fold_in(key, frame), shape[1:])

    return jax.vmap(draw)(jnp.arange(shape[0]))


def pose_pictures(
    driving: Driving, size: tuple[int, int]
) -> Float[np.ndarray, "frames height width 3"]:
    """Draw the motion in the house colours: part maps where known, else skeletons."""
    if driving.parts is not None:
        return part_pictures(fit_parts(driving.parts, size))
    placement = placement_on(driving.frames.shape[1:3], size)
    xy, conf = np.asarray(driving.keypoints.xy), np.asarray(driving.keypoints.conf)
    canvas = np.zeros((len(xy), *size, 3), np.uint8)
    for picture, people, visible in zip(canvas, placement.apply(xy), conf > 0, strict=True):
        for points, is_visible in zip(people, visible, strict=True):
            draw_skeleton_lines(picture, points, is_visible)
    return canvas.astype(np.float32) / 255


def clip_references(
    animator: TinyAnimator,
    params: Params,
    reference: Reference,
    calibrated: CalibratedClip | None,
    routing: Routing | None,
) -> ClipReferences:
    """Encode what the denoiser reads, and its visibility."""
    size = animator.image_size
    original = fit_images(reference.image, size)
    encode = functools.partial(_in_chunks, _jit_features(animator), params)
    if routing is None:
        no_bits = (None,) * len(animator.token_grids)
        return ClipReferences(encode(to_model_range(original[None])), (), no_bits)
    if calibrated is None:
        raise ValueError("calibrated must be given unless routing is None")
    images = jnp.asarray(fit_images(calibrated.images, size))
    masks = jnp.asarray(fit_masks(calibrated.masks, size))
    if routing == "composite":
        background = empty_background(reference.image, reference.masks.any(0))
        images = paste(jnp.asarray(fit_images(background, size)), images, masks)[None]
    shared = None
    if routing not in ("replace", "composite"):
        shared = encode(to_model_range(original[None]))
    targets = jnp.asarray(fit_masks(calibrated.target_masks, size))
    originals = jnp.asarray(fit_masks(reference.masks, size))
    bits = tuple(visibility(routing, targets, masks, originals, g) for g in animator.token_grids)
    return ClipReferences(shared, tuple(encode(to_model_range(x)) for x in images), bits)


def to_model_range(images):
    """Map [0, 1] to [-1, 1]."""
    return 2.0 * jnp.asarray(images) - 1.0


def _in_chunks(function, params: Params, x):
    """Apply a jitted function to a few pictures at a time, the last few padded by repeats."""
    count = len(x)
    size = min(count, _PICTURES_AT_ONCE)
    padded = jnp.concatenate([x, jnp.repeat(x[-1:], -count % size, axis=0)])
    chunks = [function(params, padded[at : at + size]) for at in range(0, len(padded), size)]
    return jax.tree.map(lambda *parts: jnp.concatenate(parts)[:count], *chunks)


@functools.lru_cache
def _jit_pose(animator: TinyAnimator):
    return jax.jit(animator.pose_features)


@functools.lru_cache
def _jit_decode(animator: TinyAnimator):
    return jax.jit(animator.decode)


@functools.lru_cache
def _jit_features(animator: TinyAnimator):
    def features(params, images):
        return animator.reference_features(params, animator.encode(params, images))

    return jax.jit(features)


@functools.lru_cache
def _jit_step(animator: TinyAnimator, options: AnimateOptions, num_frames: int):
    """Compile one denoising step of a clip."""
    windows = context_windows(num_frames, animator.window_length, animator.window_overlap)
    key = jax.random.key(options.seed)

    def step(params, references, pose, latents, row):
        chosen = representatives(key, row.index, num_frames, options.group_size, options.policy)
        source = representative_of_frame(chosen, num_frames, options.group_size)

        def predict(window, frames, row, *, conditional):
            read = window_references(references, frames, source) if conditional else None
            timesteps = row.timestep[None].astype(jnp.float32)
            return animator.denoise(params, window[None], timesteps, read, pose[frames][None])[0]

        return denoise_step(
            latents, row, predict, windows=windows, guidance_scale=options.guidance_scale,
            prediction_type=animator.schedule.prediction_type,
        )  # fmt: skip

    return jax.jit(step, donate_argnums=3)
