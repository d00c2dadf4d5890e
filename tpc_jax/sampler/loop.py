"""The denoising loop: one pure step, shared by a Python loop and a compiled one.

A step denoises all windows of the clip, merges their predictions, applies guidance and takes one
DDIM step. What the network reads is the animator's business: it arrives as a function.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from tpc_jax.sampler.ddim import ddim_step
from tpc_jax.sampler.guidance import guide
from tpc_jax.sampler.schedule import StepTable
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


class WindowNetwork(NamedTuple):
    """The network of one step, with what it reads.

    Attributes:
        control: `(latents, frames, row) -> pytree` over frames that stand alone: what the motion
            adds to each frame. `frames` are absolute indices. Called once per frame and step, but
            for a few frames of a shifted or wrapped window.
        predict: `(latents, frames, row, control, is_guided=...) -> (unconditional, conditional)`
            predictions of one window; the first may be None unless it is guided.
    """

    control: Callable[[Latents, Int[Array, " window"], StepRow], PyTree[Array]]
    predict: Callable[..., tuple[Latents | None, Latents]]


def step_rows(table: StepTable) -> StepRow:
    """Return all rows of a run, stacked."""
    index = jnp.arange(len(table.timestep), dtype=jnp.int32)
    return StepRow(index, *(jnp.asarray(column) for column in table))


def denoise_step(
    latents: Latents,
    row: StepRow,
    network: WindowNetwork,
    *,
    windows: Windows,
    guidance_scale: float,
    prediction_type: str,
) -> Latents:
    """Move all frames of a clip one step towards the sample.

    Args:
        latents: Noisy latents of the clip, float32.
        row: Levels and timestep of this step.
        network: The network, with what it reads.
        windows: Which frames are denoised together, static.
        guidance_scale: 1 leaves out the unconditional half.
        prediction_type: What the network predicts.

    Numerics: predictions are merged, guided and applied in float32. Windows run one after the
        other, so that memory is bounded by one window.
    """
    is_guided = guidance_scale != 1.0

    def run(frames, control):
        halves = network.predict(latents[frames], frames, row, control, is_guided=is_guided)
        unconditional, conditional = (None if h is None else h.astype(jnp.float32) for h in halves)
        if not is_guided:
            return conditional
        # Merging windows is linear, so guiding before it gives the same result.
        return guide(unconditional, conditional, guidance_scale)

    predictions = _over_windows(run, latents, row, network.control, windows)
    merged = jnp.zeros_like(latents).at[windows.frames].add(predictions)
    merged = merged * jnp.asarray(windows.weight)[:, None, None, None]
    return ddim_step(
        merged, latents, row.signal, row.noise, row.next_signal, row.next_noise, prediction_type
    )


def _over_windows(run, latents, row: StepRow, control, windows: Windows):
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


def sample_steps(
    step: Callable[[Latents, StepRow], Latents], latents: Latents, table: StepTable
) -> Iterator[Latents]:
    """Yield the latents after every step; `step` is usually jitted and may donate its latents."""
    rows = step_rows(table)
    for index in range(len(table.timestep)):
        latents = step(latents, jax.tree.map(lambda column, i=index: column[i], rows))
        yield latents


def sample_scan(
    step: Callable[[Latents, StepRow], Latents], latents: Latents, table: StepTable
) -> Latents:
    """Return the final latents by one compiled loop, for ahead-of-time use."""
    return jax.lax.scan(lambda x, row: (step(x, row), None), latents, step_rows(table))[0]
