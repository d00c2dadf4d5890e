"""The denoising loop: one pure step, shared by a Python loop and a compiled one.

A step denoises all windows of the clip, merges their predictions, applies guidance and takes one
DDIM or PLMS step. What the network reads is the animator's business: it arrives as a function.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from tpc_jax.sampler.ddim import ddim_step
from tpc_jax.sampler.guidance import guide_all
from tpc_jax.sampler.plms import PlmsState, PlmsTable, plms_start, plms_step, plms_table
from tpc_jax.sampler.schedule import Sampler, ScheduleConfig, StepTable, step_table
from tpc_jax.sampler.windows import Windows, handover

Latents = Float[Array, "frames h w channels"]


class StepRow(NamedTuple):
    """One step of a run, as arrays, so that all steps share one compiled program.

    Attributes:
        index: Number of the step from 0.
        timestep: Training index at which the network is called.
        signal: Signal level before the step.
        noise: Noise level before the step.
        next_signal: Signal level after the step.
        next_noise: Noise level after the step.
    """

    index: Int[Array, ""]
    timestep: Int[Array, ""]
    signal: Float[Array, ""]
    noise: Float[Array, ""]
    next_signal: Float[Array, ""]
    next_noise: Float[Array, ""]


class PlmsRow(NamedTuple):
    """As `StepRow`, for PLMS.

    Attributes:
        index: Number of the step from 0.
        timestep: Training index at which the network is called.
        ratio: Factor of the latents.
        gain: Factor of the combined predictions.
        weights: Factors of the present prediction and of those before it.
    """

    index: Int[Array, ""]
    timestep: Int[Array, ""]
    ratio: Float[Array, ""]
    gain: Float[Array, ""]
    weights: Float[Array, " 5"]


Row = StepRow | PlmsRow
Table = StepTable | PlmsTable


class WindowNetwork(NamedTuple):
    """The network of one step, with what it reads.

    Attributes:
        control: `(latents, frames, row) -> pytree` over frames that stand alone: what the motion
            adds to each frame. `frames` are absolute indices. Called once per frame and step, but
            for a few frames of a shifted or wrapped window.
        predict: `(latents, frames, row, control, is_guided=...) -> predictions` of one window, from
            the one without conditions to the one with all of them; only the last one counts, and
            others may be None, unless it is guided.
    """

    control: Callable[[Latents, Int[Array, " window"], Row], PyTree[Array]]
    predict: Callable[..., Sequence[Latents | None]]


def run_table(schedule: ScheduleConfig, num_steps: int, sampler: Sampler | None = None) -> Table:
    """Return the rows of a run on the host.

    Args:
        schedule: The diffusion process.
        num_steps: Steps; PLMS calls the network once more.
        sampler: How to step; None is the schedule's own way.

    Raises:
        ValueError: The schedule does not admit it.
    """
    kind = schedule.sampler if sampler is None else sampler
    return (plms_table if kind == "plms" else step_table)(schedule, num_steps)


def step_rows(table: Table) -> Row:
    """Return all rows of a run, stacked."""
    index = jnp.arange(len(table.timestep), dtype=jnp.int32)
    make = PlmsRow if isinstance(table, PlmsTable) else StepRow
    return make(index, *(jnp.asarray(column) for column in table))


def start_state(table: Table, latents: Latents) -> Latents | PlmsState:
    """Return what a run's first step takes: DDIM carries nothing but the latents."""
    return plms_start(latents) if isinstance(table, PlmsTable) else latents


def latents_of(state: Latents | PlmsState) -> Latents:
    """Return the latents of a state between steps."""
    return state.latents if isinstance(state, PlmsState) else state


def denoise_step(
    state: Latents | PlmsState,
    row: Row,
    network: WindowNetwork,
    *,
    windows: Windows,
    guidance_scale: float | Sequence[float],
    prediction_type: str,
) -> Latents | PlmsState:
    """Move all frames of a clip one step towards the sample.

    Args:
        state: Noisy latents of the clip, float32, with what the sampler carries.
        row: Levels and timestep of this step.
        network: The network, with what it reads.
        windows: Which frames are denoised together, static.
        guidance_scale: One number, or one per condition; 1 leaves out all but the last prediction.
        prediction_type: What the network predicts.

    Numerics: predictions are merged, guided and applied in float32. Windows run one after the
        other, so that memory is bounded by one window.
    """
    scales = (guidance_scale,) if isinstance(guidance_scale, int | float) else guidance_scale
    is_guided = any(scale != 1.0 for scale in scales)
    latents = latents_of(state)

    def run(frames, control):
        branches = network.predict(latents[frames], frames, row, control, is_guided=is_guided)
        if not is_guided:
            return branches[-1].astype(jnp.float32)
        # Merging windows is linear, so guiding before it gives the same result.
        return guide_all([branch.astype(jnp.float32) for branch in branches], scales)

    predictions = _over_windows(run, latents, row, network.control, windows)
    merged = jnp.zeros_like(latents).at[windows.frames].add(predictions)
    merged = merged * jnp.asarray(windows.weight)[:, None, None, None]
    if isinstance(row, PlmsRow):
        return plms_step(merged, state, row.ratio, row.gain, row.weights)
    return ddim_step(
        merged, latents, row.signal, row.noise, row.next_signal, row.next_noise, prediction_type
    )


def _over_windows(run, latents, row: Row, control, windows: Windows):
    """Return `run(frames, control of these frames)` of every window, stacked."""
    plan = handover(windows)
    if len(windows.frames) == 1:
        frames = jnp.asarray(windows.frames[0])
        return run(frames, control(latents, frames, row))[None]

    def body(handed, tables):
        frames, fresh, order, keep = tables
        new = control(latents[fresh], fresh, row)
        both = new if handed is None else jax.tree.map(_join, handed, new)
        prediction = run(frames, jax.tree.map(lambda x: x[order], both))
        return None if handed is None else jax.tree.map(lambda x: x[keep], both), prediction

    first = jnp.asarray(plan.first)
    handed = control(latents[first], first, row) if len(first) else None
    tables = (jnp.asarray(t) for t in (windows.frames, plan.fresh, plan.order, plan.keep))
    return jax.lax.scan(body, handed, tuple(tables))[1]


def _join(*parts):
    return jnp.concatenate(parts)


def sample_steps(step: Callable[[Any, Row], Any], latents: Latents, table: Table) -> Iterator[Any]:
    """Yield the state after every step; `step` is usually jitted and may donate its state."""
    rows, state = step_rows(table), start_state(table, latents)
    for index in range(len(table.timestep)):
        state = step(state, jax.tree.map(lambda column, i=index: column[i], rows))
        yield state


def sample_scan(step: Callable[[Any, Row], Any], latents: Latents, table: Table) -> Latents:
    """Return the final latents by one compiled loop, for ahead-of-time use."""
    state = start_state(table, latents)
    return latents_of(jax.lax.scan(lambda x, row: (step(x, row), None), state, step_rows(table))[0])
