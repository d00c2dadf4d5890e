"""A clip from pictures on the canvas to latents: what is encoded once, and one step of the loop."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from tpc_jax.animators.interface import Animator
from tpc_jax.animators.references import (
    ClipReferences,
    Visible,
    most_groups,
    visible_keys,
    window_groups,
    window_references,
)
from tpc_jax.conditioning.composite import paste
from tpc_jax.conditioning.masks import Routing, cell_visibility, is_restricted, pool
from tpc_jax.errors import UserError
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.params import Params, num_bytes
from tpc_jax.propagation.groups import num_groups
from tpc_jax.propagation.propagate import Policy, representatives
from tpc_jax.sampler.interpolate import Blend
from tpc_jax.sampler.loop import (
    Row,
    Table,
    WindowNetwork,
    denoise_step,
    latents_of,
    run_table,
    sample_steps,
)
from tpc_jax.sampler.schedule import Sampler
from tpc_jax.sampler.windows import Windows, context_windows

_PICTURES_AT_ONCE = 16
# Fewer pictures at once where they are large: an autoencoder takes about 1 kB per pixel.
_PIXELS_AT_ONCE = 1 << 19

Latents = Float[Array, "frames h w channels"]
# Grey levels, or numbers that are pixel values already.
Pixels = (
    UInt8[np.ndarray, "*batch rows columns _colors"]
    | Float[np.ndarray, "*batch rows columns _colors"]
)


@dataclasses.dataclass(frozen=True)
class AnimateOptions:
    """How a clip is denoised.

    Attributes:
        routing: What the denoiser reads of the calibrated pictures; "auto" takes the animator's
            default, None leaves TPC out.
        group_size: Frames that share one calibrated picture at a step.
        policy: How the group's picture is chosen.
        steps: Denoising steps; None takes the animator's default.
        guidance_scale: Weight of classifier-free guidance, 1 means off; one number per condition
            where the animator has several; None takes its default.
        seed: Seed of the start noise and of the propagation's draws.
        closed_windows: Whether the last window wraps around to the first frames, as the published
            samplers do, in place of being shifted back.
        window_stride: Levels of closed windows: of neighbouring frames, of every second one, of
            every fourth one and so on.
        tiled_noise: Whether the start noise of one window repeats over the clip.
        pad_to_window: Whether the last frame is repeated up to a multiple of the window's length;
            the repeats are cut off again.
        blend_background: Whether the reference replaces everything outside the people.
        interpolate: How many times as many frames are decoded as denoised; the ones between are
            blends of their neighbours' latents.
        blend: How latents are blended.
        cache_bytes: Most memory for reference features that serve all steps. If those of all
            calibrated pictures do not fit, they are encoded anew at every step.
        sampler: How a step is taken; None takes the animator's default.
        stretch_levels: Whether every finished frame is stretched from black to white.
    """

    routing: Routing | Literal["auto"] | None = "auto"
    group_size: int = 4
    policy: Policy = "random"
    steps: int | None = None
    guidance_scale: float | tuple[float, ...] | None = None
    seed: int = 0
    closed_windows: bool = False
    tiled_noise: bool = False
    pad_to_window: bool = False
    blend_background: bool = False
    window_stride: int = 1
    interpolate: int = 1
    blend: Blend = "linear"
    cache_bytes: int = 4 * 2**30
    sampler: Sampler | None = None
    stretch_levels: bool = False

    def resolve(self, animator: Animator) -> "AnimateOptions":
        """Fill in the animator's defaults.

        Raises:
            UserError: The routing means nothing to the animator, or it has another number of
                guidance scales.
        """
        routing = animator.routings[0] if self.routing == "auto" else self.routing
        if routing is not None and routing not in animator.routings:
            known = ", ".join(animator.routings)
            raise UserError(f"routing {routing} means nothing to this model; it knows {known}")
        scale = animator.guidance_scale if self.guidance_scale is None else self.guidance_scale
        counts = [len(s) if isinstance(s, tuple) else 1 for s in (scale, animator.guidance_scale)]
        if counts[0] != counts[1]:
            raise UserError(f"this model has {counts[1]} guidance scales, got {counts[0]}")
        return dataclasses.replace(
            self, routing=routing, guidance_scale=scale,
            steps=animator.num_steps if self.steps is None else self.steps,
            sampler=animator.schedule.sampler if self.sampler is None else self.sampler,
        )  # fmt: skip


class CanvasClip(NamedTuple):
    """All pictures of a clip as the animator takes them, on the host.

    Attributes:
        reference: The still, as it is read.
        pose: The motion, as the animator wants to see it.
        background: The reference without its people; wanted by routing `composite` only.
        reference_masks: Where each person is in the reference, coverage 0...255.
        images: The calibrated pictures, as they are read.
        masks: Where the person is in them.
        target_masks: Where each person is in the driving frames.
    """

    reference: Pixels
    pose: Pixels
    background: UInt8[np.ndarray, "height width 3"] | None
    reference_masks: UInt8[np.ndarray, "people height width"]
    images: Pixels
    masks: UInt8[np.ndarray, "people frames height width"]
    target_masks: UInt8[np.ndarray, "people frames height width"]


class ClipConditions(NamedTuple):
    """What is encoded once per clip.

    Attributes:
        references: What can be read.
        pose: Pose features of every frame.
    """

    references: ClipReferences
    pose: Float[Array, "frames h w pose_channels"]


def encode_clip(
    animator: Animator, params: Params, clip: CanvasClip, options: AnimateOptions
) -> ClipConditions:
    """Encode the pictures that a run reads, a few at a time.

    With policy "first" only the first picture of each group is ever read, hence encoded.
    """
    options = options.resolve(animator)
    pose = _in_chunks(animator, functools.partial(_jit_pose(animator), params), clip.pose)
    pose = animator.pose_context(pose)

    def encode(pictures, as_features: bool):
        jitted = functools.partial(_jit_pictures(animator, as_features), params)
        return _in_chunks(animator, jitted, pictures)

    has_original = options.routing not in ("replace", "composite")
    can_keep = not animator.features_depend_on_t
    shared = encode(clip.reference[None], can_keep) if has_original else None
    nothing = (None,) * len(animator.token_grids)
    if options.routing is None:
        return ClipConditions(ClipReferences(shared, (), nothing), pose)
    stride = options.group_size if options.policy == "first" else 1
    images, masks = clip.images[:, ::stride], clip.masks[:, ::stride]
    people = 1 if options.routing == "composite" else len(images)
    keeps = keeps_features(animator, params, people * images.shape[1], options)
    if options.routing == "composite":
        composites = functools.partial(_jit_composites(animator, keeps), params, clip.background)
        layers = (np.moveaxis(images, 1, 0), np.moveaxis(masks, 1, 0))
        pasted = _in_chunks(animator, composites, layers)
        return ClipConditions(ClipReferences(shared, (pasted,), nothing), pose)
    per_frame = tuple(encode(person, keeps) for person in images)
    bits = clip_visibility(animator, clip._replace(masks=masks), options.routing)
    return ClipConditions(ClipReferences(shared, per_frame, bits), pose)


def keeps_features(
    animator: Animator, params: Params, num_pictures: int, options: AnimateOptions
) -> bool:
    """Tell whether the features of all calibrated pictures are encoded once and kept.

    Args:
        animator: The model's functions.
        params: The model's parameters, or their shapes.
        num_pictures: Calibrated pictures of all people.
        options: Denoising options, with the limit.
    """
    if animator.features_depend_on_t:
        return False
    picture = jax.ShapeDtypeStruct((1, *animator.picture_size, 3), jnp.uint8)
    features = jax.eval_shape(_jit_pictures(animator, True), params, picture)
    return num_pictures * num_bytes(features) <= options.cache_bytes


def clip_visibility(
    animator: Animator, clip: CanvasClip, routing: Routing
) -> tuple[Visible | None, ...]:
    """Return what every transformer may read; None where it reads nothing or all is visible."""
    if not is_restricted(routing):
        return (None,) * len(animator.token_grids)
    bits = {}
    for grid, reads in zip(animator.token_grids, animator.reads, strict=True):
        if reads and grid not in bits:
            masks = (clip.target_masks, clip.masks, clip.reference_masks[:, None])
            target, calibrated, reference = (_cells(m, grid) for m in masks)
            seen = cell_visibility(routing, target, calibrated, reference[:, 0])
            bits[grid] = visible_keys(seen)
    pairs = zip(animator.token_grids, animator.reads, strict=True)
    return tuple(bits[grid] if reads else None for grid, reads in pairs)


def _cells(masks: UInt8[np.ndarray, "people frames height width"], grid: tuple[int, int]):
    """Pool masks frame by frame, so that only one frame is ever held as numbers."""
    return jnp.stack([jnp.stack([_jit_pool(frame, grid) for frame in person]) for person in masks])


@functools.partial(jax.jit, static_argnums=1)
def _jit_pool(mask, grid):
    return pool(mask.astype(jnp.float32) / 255, grid)


def clip_length(animator: Animator, num_frames: int, options: AnimateOptions) -> int:
    """Return how many frames are denoised, repeats of the last one included."""
    if not options.pad_to_window:
        return num_frames
    return num_frames + -num_frames % animator.window_length


def start_noise(seed: int, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
    """Return Gaussian start latents; a frame's noise does not depend on the clip's length."""
    key = jax.random.fold_in(jax.random.key(seed), 1)

    def draw(frame):
        return jax.random.normal(jax.random.fold_in(key, frame), shape[1:])

    return jax.vmap(draw)(jnp.arange(shape[0]))


def start_latents(animator: Animator, num_frames: int, options: AnimateOptions) -> Latents:
    """Return the latents from which a clip starts."""
    count = clip_length(animator, num_frames, options)
    if not options.tiled_noise:
        return start_noise(options.seed, (count, *animator.latent_shape))
    noise = start_noise(options.seed, (animator.window_length, *animator.latent_shape))
    return noise[jnp.arange(count) % animator.window_length]


def start_clip(
    animator: Animator, params: Params, num_frames: int, options: AnimateOptions
) -> Latents:
    """Return the latents from which a clip with its reference starts: noise, or part of it."""
    first = clip_table(animator, options).timestep[0]
    return animator.start(params, start_latents(animator, num_frames, options), int(first))


def sample_clip(
    animator: Animator,
    params: Params,
    conditions: ClipConditions,
    options: AnimateOptions,
    latents: Latents,
) -> Iterator[Latents]:
    """Yield the latents of all frames after every step; the given ones are used up.

    Args:
        animator: The model's functions.
        params: The model's parameters.
        conditions: What `encode_clip` returned for the same options.
        options: Denoising options.
        latents: Start latents of `clip_length` frames.
    """
    options = options.resolve(animator)
    step = jit_step(animator, options, len(conditions.pose))
    bound = functools.partial(step, params, conditions)
    for state in sample_steps(bound, latents, clip_table(animator, options)):
        yield latents_of(state)


def clip_table(animator: Animator, options: AnimateOptions) -> Table:
    """Return one row per step of a run; PLMS has one step more than asked for."""
    options = options.resolve(animator)
    return run_table(animator.schedule, options.steps, options.sampler)


def clip_windows(animator: Animator, num_frames: int, options: AnimateOptions) -> Windows:
    """Return the windows of a clip, repeats of the last frame included."""
    return context_windows(
        clip_length(animator, num_frames, options), animator.window_length,
        animator.window_overlap, is_closed=options.closed_windows, stride=options.window_stride,
    )  # fmt: skip


@functools.lru_cache
def jit_step(animator: Animator, options: AnimateOptions, num_frames: int):
    """Compile `(params, conditions, state, row) -> state`, one denoising step of a clip.

    With DDIM the state is the latents.

    Args:
        animator: The model's functions.
        options: Denoising options, resolved.
        num_frames: Frames of the motion.
    """
    windows = clip_windows(animator, num_frames, options)
    slots = most_groups(np.minimum(windows.frames, num_frames - 1), options.group_size)

    def step(params: Params, conditions: ClipConditions, state: Any, row: Row):
        network = _network(animator, params, conditions, row, options, slots)
        return denoise_step(
            state, row, network, windows=windows, guidance_scale=options.guidance_scale,
            prediction_type=animator.schedule.prediction_type,
        )  # fmt: skip

    return jax.jit(step, donate_argnums=2)


def _network(
    animator: Animator, params: Params, conditions: ClipConditions, row: Row, options, slots
) -> WindowNetwork:
    """Bind the animator to what it reads at one step; repeated frames read what the last reads."""
    num_frames = len(conditions.pose)
    timestep = row.timestep.astype(jnp.float32)
    read = window_reader(animator, params, conditions, row, options, slots)

    def control(latents, frames, row):
        pose = conditions.pose[jnp.minimum(frames, num_frames - 1)]
        return animator.control(params, latents, timestep, pose)

    def predict(latents, frames, row, control, *, is_guided: bool):
        control = jax.tree.map(lambda x: x[None], control)
        inputs = (params, latents[None], timestep[None], read(frames), control)
        if not is_guided:
            return (animator.denoise(*inputs)[0],)
        return tuple(branch[0] for branch in animator.denoise_branches(*inputs))

    return WindowNetwork(control, predict)


def window_reader(
    animator: Animator, params: Params, conditions: ClipConditions, row: Row, options, slots
) -> Callable[[Any], tuple[ReferenceTokens | None, ...]]:
    """Return the function from the frames of a window to what they read at one step.

    Args:
        animator: The model's functions.
        params: The model's parameters.
        conditions: What is encoded once per clip.
        row: The step.
        options: Denoising options, resolved.
        slots: How many propagation groups a window touches at most.
    """
    references, num_frames = conditions.references, len(conditions.pose)
    timestep = row.timestep.astype(jnp.float32)

    def encode(pictures):
        if isinstance(pictures, tuple):  # features, which serve all steps
            return pictures
        return animator.reference_features(params, pictures, timestep)

    # Whatever all windows read is encoded once.
    shared = None if references.shared is None else encode(references.shared)
    if options.policy == "first":
        chosen = jnp.arange(num_groups(num_frames, options.group_size))
    else:
        key = jax.random.key(options.seed)
        chosen = representatives(key, row.index, num_frames, options.group_size)

    def read(frames):
        frames = jnp.minimum(frames, num_frames - 1)
        groups = window_groups(frames, chosen, options.group_size, slots)
        return window_references(references, shared, frames, groups, encode)

    return read


def decode_clip(
    animator: Animator, params: Params, latents: Latents
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Return the pictures of latents, a few at a time."""
    decode = _jit_decode(animator)
    # Frames leave the device one chunk after the other.
    return _in_chunks(animator, lambda chunk: np.asarray(decode(params, chunk)), latents)


def pictures_at_once(size: tuple[int, int]) -> int:
    """Return how many pictures go through an autoencoder together."""
    return max(1, min(_PICTURES_AT_ONCE, _PIXELS_AT_ONCE // (size[0] * size[1])))


def _in_chunks(animator: Animator, function: Callable, x: Any):
    """Apply a jitted function to a few pictures at a time, the last few padded by repeats."""
    count = len(jax.tree.leaves(x)[0])
    size = min(count, pictures_at_once(animator.image_size))
    chunks = []
    for at in range(0, count, size):
        index = np.minimum(np.arange(at, at + size), count - 1)
        chunks.append(function(jax.tree.map(lambda leaf, i=index: leaf[i], x)))
    is_on_host = all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(chunks))
    join = np.concatenate if is_on_host else jnp.concatenate
    return jax.tree.map(lambda *parts: join(parts)[:count], *chunks)


def to_unit(pixels):
    """Map grey levels to [0, 1]; numbers stay as they are."""
    return pixels / jnp.float32(255) if pixels.dtype == jnp.uint8 else pixels


def encode_pictures(animator: Animator, params: Params, images, as_features: bool):
    """Prepare pictures in [0, 1] or, where these serve all steps, return their features."""
    prepared = animator.prepare(params, images)
    return animator.reference_features(params, prepared, 0.0) if as_features else prepared


@functools.lru_cache
def _jit_pictures(animator: Animator, as_features: bool):
    def encode(params, pixels):
        return encode_pictures(animator, params, to_unit(pixels), as_features)

    return jax.jit(encode)


@functools.lru_cache
def _jit_composites(animator: Animator, as_features: bool):
    def encode(params, background, chunk):
        images, masks = (jnp.moveaxis(to_unit(x), 1, 0) for x in chunk)
        pasted = paste(to_unit(background), images, masks)
        return encode_pictures(animator, params, pasted, as_features)

    return jax.jit(encode)


@functools.lru_cache
def _jit_pose(animator: Animator):
    return jax.jit(lambda params, pixels: animator.pose_features(params, to_unit(pixels)))


@functools.lru_cache
def _jit_decode(animator: Animator):
    def decode(params, latents):
        frames = animator.decode(params, latents).astype(jnp.float32) / 2 + 0.5
        return jnp.round(255 * jnp.clip(frames, 0, 1)).astype(jnp.uint8)

    return jax.jit(decode)
