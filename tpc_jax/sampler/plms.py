"""Pseudo linear multistep sampling (PLMS; Liu et al. 2022), Stable Diffusion's first sampler.

A step is a DDIM step along a linear combination of the last predictions of noise. Written so that
every step is the same program: which predictions count how much is a table.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from tpc_jax.sampler.schedule import ScheduleConfig, step_levels, timesteps

# Earlier predictions that are kept; the one of the second call counts once only.
_HISTORY = 4
# Weights of the present prediction and of the earlier ones, newest first. The second call looks at
# the first step's end and corrects that step; its own prediction is not used again.
_FIRST = (
    (1.0, 0.0, 0.0, 0.0, 0.0),
    (1 / 2, -1 / 2, 0.0, 0.0, 0.0),
    (3 / 2, 0.0, -1 / 2, 0.0, 0.0),
    (23 / 12, -16 / 12, 0.0, 5 / 12, 0.0),
    (55 / 24, -59 / 24, 37 / 24, 0.0, -9 / 24),
)
_LATER = (55 / 24, -59 / 24, 37 / 24, -9 / 24, 0.0)


class PlmsTable(NamedTuple):
    """One row per call of the network: one more than steps, for the second timestep comes twice.

    Attributes:
        timestep: Training index at which the network is called.
        ratio: Factor of the latents.
        gain: Factor of the combined predictions.
        weights: Factors of the present prediction and of the four before it, newest first.
    """

    timestep: Int[np.ndarray, " steps"]
    ratio: Float[np.ndarray, " steps"]
    gain: Float[np.ndarray, " steps"]
    weights: Float[np.ndarray, "steps 5"]


class PlmsState(NamedTuple):
    """What is carried from step to step.

    Attributes:
        latents: Noisy latents.
        history: The last predictions, newest first.
    """

    latents: Float[Array, "*shape"]
    history: Float[Array, "4 *shape"]


def plms_table(config: ScheduleConfig, num_steps: int) -> PlmsTable:
    """Return the rows of a run.

    The second row starts from where the first one did: since both go to the same level, that is
    `gain (e1 - e0) / 2` further on.

    Raises:
        ValueError: As `timesteps`; or the network does not predict noise, or timesteps trail.

    Source: diffusers `PNDMScheduler` with `skip_prk_steps`.
    """
    if config.prediction_type != "epsilon" or config.timestep_spacing != "leading":
        raise ValueError(
            "sampler plms needs prediction_type epsilon and timestep_spacing leading, got "
            f"{config.prediction_type} and {config.timestep_spacing}"
        )
    visited = timesteps(config, num_steps)
    signal, noise, after, noise_after = step_levels(
        config, visited, visited - config.num_train_timesteps // num_steps
    )
    ratio = after / signal
    gain = noise_after - noise * ratio
    if num_steps > 1:
        visited = np.insert(visited, 1, visited[1])
        ratio, gain = np.insert(ratio, 1, 1.0), np.insert(gain, 1, gain[0])
    weights = np.array([*_FIRST, *[_LATER] * len(visited)][: len(visited)])
    columns = (x.astype(np.float32) for x in (ratio, gain, weights))
    return PlmsTable(visited.astype(np.int32), *columns)


def plms_start(latents: Float[Array, "*shape"]) -> PlmsState:
    """Return the state before the first step."""
    return PlmsState(latents, jnp.zeros((_HISTORY, *latents.shape), latents.dtype))


def plms_step(
    prediction: Float[Array, "*shape"],
    state: PlmsState,
    ratio: Float[Array, ""],
    gain: Float[Array, ""],
    weights: Float[Array, " 5"],
) -> PlmsState:
    """Move to the next level; arguments as in `PlmsTable`, the prediction in float32."""
    known = jnp.concatenate([prediction[None], state.history])
    combined = jnp.tensordot(weights, known, axes=1, precision="highest")
    return PlmsState(ratio * state.latents + gain * combined, known[:_HISTORY])
