"""The loop over a clip: start latents, and one compiled step for every row of the sampler."""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from tpc_jax.animators.base import References
from tpc_jax.animators.plan import Plan, Program
from tpc_jax.animators.reading import ClipConditions, Latents
from tpc_jax.animators.references import window_groups, window_references
from tpc_jax.model.params import Params
from tpc_jax.propagation import representatives
from tpc_jax.sampler.step import State, denoise_step, start_state
from tpc_jax.sampler.table import Table, row_of


def start_noise(seed: int, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
    """Return Gaussian start latents; a frame's noise does not depend on the clip's length."""
    key = jax.random.fold_in(jax.random.key(seed), 1)

    def draw(frame):
        return jax.random.normal(jax.random.fold_in(key, frame), shape[1:])

    return jax.vmap(draw)(jnp.arange(shape[0]))


def start_latents(plan: Plan, conditions: ClipConditions) -> Latents:
    """Return the latents from which a clip starts: noise, or the reference under noise."""
    animator, length = plan.animator, plan.program.length
    drawn = animator.config.window_length if plan.habits.tiled_noise else length
    noise = start_noise(plan.seed, (drawn, *animator.latent_shape))
    noise = noise[jnp.arange(length) % drawn]
    return animator.start(conditions.reading, noise, int(plan.table.timestep[0]))


def sample(
    plan: Plan, params: Params, conditions: ClipConditions, latents: Latents
) -> Iterator[Latents]:
    """Yield the latents of all frames after every step; the given ones are used up.

    Args:
        plan: The run.
        params: The model's parameters.
        conditions: What `read_clip` returned for the same plan.
        latents: Start latents of `plan.program.length` frames.
    """
    step, key = jit_step(plan.program), jax.random.key(plan.seed)
    state = start_state(plan.table, latents)
    for index in range(plan.num_steps):
        state = step(params, conditions, key, plan.scales, state, row_of(plan.table, index))
        yield state.latents


@functools.lru_cache(maxsize=64)
def jit_step(program: Program):
    """Compile `(params, conditions, key, scales, state, row) -> state`, one step of a clip.

    The state is used up.
    """
    windows = program.windows

    def step(
        params: Params,
        conditions: ClipConditions,
        key: Key[Array, ""],
        scales: Float[Array, " conditions"],
        state: State,
        row: Table,
    ) -> State:
        read = window_reader(program, params, conditions, key, row)

        def predict(latents, frames):
            predictions = program.animator.predict(
                params, conditions.reading, latents[None], _time(row)[None], read(frames),
                pose_of(conditions, frames)[None], is_guided=program.is_guided,
            )  # fmt: skip
            return tuple(prediction[0] for prediction in predictions)

        return denoise_step(state, row, predict, scales, windows)

    return jax.jit(step, donate_argnums=4)


def _time(row: Table) -> Float[Array, ""]:
    return jnp.asarray(row.timestep, jnp.float32)


def pose_of(
    conditions: ClipConditions, frames: Int[Array, " window"]
) -> Float[Array, "window h w pose_channels"]:
    """Return the pose features of a window; repeated frames have those of the last one."""
    return conditions.pose[jnp.minimum(frames, len(conditions.pose) - 1)]


def window_reader(
    program: Program, params: Params, conditions: ClipConditions, key: Key[Array, ""], row: Table
) -> Callable[[Int[Array, " window"]], References]:
    """Return the function from the frames of a window to what they read at one step.

    Args:
        program: What is compiled.
        params: The model's parameters.
        conditions: What is encoded once per clip.
        key: Key of the propagation's draws.
        row: The step.
    """
    references, animator = conditions.references, program.animator

    def encode(pictures):
        # Features are a tuple; they serve all steps. Pictures to encode are one array.
        if isinstance(pictures, tuple):
            return pictures
        return animator.features(params, conditions.reading, pictures, _time(row))

    # Whatever all windows read is encoded once.
    shared = None if references.shared is None else encode(references.shared)
    step = jnp.asarray(row.step)
    drawn = representatives(key, step, program.num_frames, program.group_size, program.policy)
    chosen = drawn // program.stride

    def read(frames):
        # Repeated frames read what the last one reads.
        frames = jnp.minimum(frames, program.num_frames - 1)
        groups = window_groups(frames, chosen, program.group_size, program.num_slots)
        return window_references(references, shared, frames, groups, encode)

    return read
