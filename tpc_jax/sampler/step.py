"""One denoising step of a whole clip: windows, guidance, and a row of the sampler's table."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from tpc_jax.sampler.table import Table
from tpc_jax.sampler.windows import Windows

Latents = Float[Array, "frames h w channels"]
# `(latents, frames) -> predictions` of one window, whose frames are absolute indices.
Predict = Callable[[Latents, Int[Array, " window"]], Sequence[Latents]]


class State(NamedTuple):
    """What is carried from step to step.

    Attributes:
        latents: Noisy latents.
        history: The predictions before this step that the sampler looks at, newest first.
    """

    latents: Float[Array, "*shape"]
    history: Float[Array, "past *shape"]


def start_state(table: Table, latents: Float[Array, "*shape"]) -> State:
    """Return the state before the first step of a run."""
    past = table.weights.shape[1] - 1
    return State(latents, jnp.zeros((past, *latents.shape), latents.dtype))


def linear_step(state: State, row: Table, prediction: Float[Array, "*shape"]) -> State:
    """Return `keep x + gain sum_k weight_k p_k` and the predictions to remember.

    Args:
        state: Latents and earlier predictions, float32.
        row: One row of the sampler's table.
        prediction: The network's output at this step, float32.
    """
    known = jnp.concatenate([prediction[None], state.history])
    combined = jnp.tensordot(row.weights, known, axes=1, precision="highest")
    return State(state.latents * row.keep + combined * row.gain, known[:-1])


def guide(
    predictions: Sequence[Float[Array, "*shape"]], scales: Float[Array, " conditions"]
) -> Float[Array, "*shape"]:
    """Return p0 + s1 (p1 - p0) + s2 (p2 - p1) + ...: classifier-free guidance.

    Args:
        predictions: From the one without conditions to the one with all of them, each with one
            condition more than the one before it; a single one is returned as it is.
        scales: One number per condition; 1 everywhere gives the last prediction.

    Source: Ho and Salimans 2022 for two predictions; DreamPose's dual guidance for three.
    """
    result = predictions[0]
    for index, (less, more) in enumerate(pairwise(predictions)):
        result = result + scales[index] * (more - less)
    return result


def denoise_step(
    state: State,
    row: Table,
    predict: Predict,
    scales: Float[Array, " conditions"],
    windows: Windows,
) -> State:
    """Move all frames of a clip one step towards the sample.

    Args:
        state: Where the clip is, float32.
        row: One row of the sampler's table.
        predict: The network with what it reads at this step.
        scales: Weights of guidance.
        windows: Which frames are denoised together, static.

    Numerics: predictions are guided, merged and applied in float32. Windows run one after the
        other, so that memory is bounded by one window.
    """

    def run(frames: Int[Array, " window"]):
        branches = predict(state.latents[frames], frames)
        # Merging windows is linear, so guiding before it gives the same result.
        return guide([branch.astype(jnp.float32) for branch in branches], scales)

    frames = jnp.asarray(windows.frames)
    predictions = run(frames[0])[None] if len(frames) == 1 else jax.lax.map(run, frames)
    merged = jnp.zeros_like(state.latents).at[frames].add(predictions)
    merged = merged * jnp.asarray(windows.weight)[:, None, None, None]
    return linear_step(state, row, merged)
