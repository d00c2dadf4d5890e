"""The loop over a clip: start latents, windows, and one compiled step."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tpc_jax.animators.encoding import ClipConditions, Latents
from tpc_jax.animators.interface import Animator
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.animators.references import most_groups, window_groups, window_references
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.params import Params
from tpc_jax.propagation import num_groups, representatives
from tpc_jax.sampler.loop import (
    Row,
    Table,
    WindowNetwork,
    denoise_step,
    latents_of,
    run_table,
    sample_steps,
)
from tpc_jax.sampler.windows import Windows, context_windows


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
