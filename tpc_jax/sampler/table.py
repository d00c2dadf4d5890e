"""Samplers as tables of coefficients: every step is `x' = keep x + gain sum_k weight_k p_k`.

Here p_0 is the network's prediction at this step and p_1, p_2, ... are those before it. DDIM with
every kind of prediction and PLMS are such tables, and so is any other linear sampler.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tpc_jax.options import Sampler
from tpc_jax.sampler.schedule import Levels, ScheduleConfig, run_levels

# PLMS: weights of the present prediction and of the earlier ones, newest first. The second call
# looks at the first step's end and corrects that step; its own prediction is not used again.
_PLMS_FIRST = (
    (1.0, 0.0, 0.0, 0.0, 0.0),
    (1 / 2, -1 / 2, 0.0, 0.0, 0.0),
    (3 / 2, 0.0, -1 / 2, 0.0, 0.0),
    (23 / 12, -16 / 12, 0.0, 5 / 12, 0.0),
    (55 / 24, -59 / 24, 37 / 24, 0.0, -9 / 24),
)
_PLMS_LATER = (55 / 24, -59 / 24, 37 / 24, -9 / 24, 0.0)


class Table(NamedTuple):
    """One row per call of the network, on the host; a row of it is what one step takes.

    Attributes:
        step: Number of the call from 0.
        timestep: Training index at which the network is called.
        keep: Factor of the latents.
        gain: Factor of the weighted predictions.
        weights: Factors of the present prediction and of those before it, newest first.
    """

    step: Int[np.ndarray, " calls"]
    timestep: Int[np.ndarray, " calls"]
    keep: Float[np.ndarray, " calls"]
    gain: Float[np.ndarray, " calls"]
    weights: Float[np.ndarray, "calls predictions"]


def row_of(table: Table, index: int) -> Table:
    """Return one row: what a step takes."""
    return Table(*(column[index] for column in table))


def make_table(config: ScheduleConfig, num_steps: int, sampler: Sampler | None = None) -> Table:
    """Return the rows of a run.

    Args:
        config: The diffusion process.
        num_steps: Steps; PLMS calls the network once more.
        sampler: How to step; None is the schedule's own way.

    Raises:
        ValueError: The schedule does not admit so many steps, or not this sampler.
    """
    return _SAMPLERS[config.sampler if sampler is None else sampler](config, num_steps)


def ddim_table(config: ScheduleConfig, num_steps: int) -> Table:
    """Return deterministic DDIM steps (Song et al. 2021, eta 0).

    With signal s and noise n before a step, s' and n' after it, the sample x0 and the noise e that
    the prediction implies give x' = s' x0 + n' e.

    Source: diffusers `DDIMScheduler.step`.
    """
    levels = run_levels(config, num_steps)
    keep, gain = _ddim_factors(levels, config.prediction_type)
    return _table(levels.timestep, keep, gain, np.ones((num_steps, 1)))


def _ddim_factors(levels: Levels, prediction_type: str):
    """Return the factors of the latents and of the prediction."""
    _, signal, noise, after, noise_after = levels
    if prediction_type == "epsilon":
        return after / signal, noise_after - after * noise / signal
    if prediction_type == "v_prediction":
        return after * signal + noise_after * noise, noise_after * signal - after * noise
    return noise_after / noise, after - noise_after * signal / noise


def plms_table(config: ScheduleConfig, num_steps: int) -> Table:
    """Return steps of pseudo linear multistep sampling (PLMS; Liu et al. 2022).

    A step is a DDIM step along a linear combination of the last predictions of noise. The second
    row starts from where the first one did: since both go to the same level, that is
    `gain (p_0 - p_1) / 2` further on.

    Raises:
        ValueError: As `timesteps`; or the network does not predict noise, or timesteps trail.

    Source: diffusers `PNDMScheduler` with `skip_prk_steps`.
    """
    if config.prediction_type != "epsilon" or config.timestep_spacing != "leading":
        raise ValueError(
            "sampler plms needs prediction_type epsilon and timestep_spacing leading, got "
            f"{config.prediction_type} and {config.timestep_spacing}"
        )
    levels = run_levels(config, num_steps)
    now, (keep, gain) = levels.timestep, _ddim_factors(levels, "epsilon")
    if num_steps > 1:
        now = np.insert(now, 1, now[1])
        keep, gain = np.insert(keep, 1, 1.0), np.insert(gain, 1, gain[0])
    weights = [*_PLMS_FIRST, *[_PLMS_LATER] * len(now)][: len(now)]
    return _table(now, keep, gain, np.array(weights))


_SAMPLERS: dict[Sampler, Callable[[ScheduleConfig, int], Table]] = {
    "ddim": ddim_table,
    "plms": plms_table,
}


def _table(timestep, keep, gain, weights) -> Table:
    """Round what was computed in double precision."""
    index = np.arange(len(timestep), dtype=np.int32)
    columns = (np.asarray(x, np.float32) for x in (keep, gain, weights))
    return Table(index, timestep.astype(np.int32), *columns)
