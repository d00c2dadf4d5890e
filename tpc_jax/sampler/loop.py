"""The denoising loop: one pure step, shared by a Python loop and a compiled one.

A step denoises all windows of the clip, merges their predictions, applies guidance and takes one
DDIM step. What the network reads is the animator's business: it arrives as a function.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tpc_jax.sampler.ddim import ddim_step
from tpc_jax.sampler.guidance import guide
from tpc_jax.sampler.schedule import StepTable
from tpc_jax.sampler.windows import Windows

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


@runtime_checkable  # the type checks of the tests ask for it
class PredictWindow(Protocol):
    """Predicts one window: the conditional half and, for guidance, the unconditional one."""

    def __call__(
        self, latents: Latents, frames: Int[Array, " window"], row: StepRow, *, conditional: bool
    ) -> Latents:
        """Return the prediction for a window's latents; `frames` are absolute indices."""
        ...


def step_rows(table: StepTable) -> StepRow:
    """Return all rows of a run, stacked."""
    index = jnp.arange(len(table.timestep), dtype=jnp.int32)
    return StepRow(index, *(jnp.asarray(column) for column in table))


def denoise_step(
    latents: Latents,
    row: StepRow,
    predict: PredictWindow,
    *,
    windows: Windows,
    guidance_scale: float,
    prediction_type: str,
) -> Latents:
    """Move all frames of a clip one step towards the sample.

    Args:
        latents: Noisy latents of the clip, float32.
        row: Levels and timestep of this step.
        predict: The network, with what it reads.
        windows: Which frames are denoised together, static.
        guidance_scale: 1 leaves out the unconditional half.
        prediction_type: What the network predicts.

    Numerics: predictions are merged, guided and applied in float32.
    """

    def run(frames):
        window = latents[frames]
        conditional = predict(window, frames, row, conditional=True).astype(jnp.float32)
        if guidance_scale == 1.0:
            return conditional
        unconditional = predict(window, frames, row, conditional=False).astype(jnp.float32)
        # Merging windows is linear, so guiding before it gives the same result.
        return guide(unconditional, conditional, guidance_scale)

    predictions = jax.lax.map(run, jnp.asarray(windows.frames))
    merged = jnp.zeros_like(latents).at[windows.frames].add(predictions)
    merged = merged * jnp.asarray(windows.weight)[:, None, None, None]
    return ddim_step(
        merged, latents, row.signal, row.noise, row.next_signal, row.next_noise, prediction_type
    )


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
