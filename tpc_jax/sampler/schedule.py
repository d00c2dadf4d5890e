"""Noise schedules: which timesteps a run visits and the signal and noise levels at each.

Everything is computed on the host in float64 and handed to the loop as float32 arrays.
"""

import dataclasses
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from tpc_jax.model.config import Config
from tpc_jax.options import Sampler


@dataclasses.dataclass(frozen=True)
class ScheduleConfig(Config):
    """The diffusion process a network was trained on.

    Attributes:
        num_train_timesteps: Training indices run from 0 to this number minus 1.
        beta_start: First beta of the linear kinds.
        beta_end: Last beta of the linear kinds.
        beta_schedule: How betas grow.
        rescale_zero_terminal_snr: Whether the last index is pure noise.
        prediction_type: What the network predicts.
        timestep_spacing: How a run's timesteps are placed.
        steps_offset: Added to the timesteps of "leading" spacing.
        set_alpha_to_one: Whether the last step ends at the sample itself; otherwise at the level of
            index 0, as Stable Diffusion's own settings have it.
        sampler: How a run steps from level to level unless it is told otherwise.
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    beta_schedule: Literal["linear", "scaled_linear", "cosine"] = "linear"
    rescale_zero_terminal_snr: bool = False
    prediction_type: Literal["epsilon", "v_prediction", "sample"] = "epsilon"
    timestep_spacing: Literal["leading", "trailing"] = "leading"
    steps_offset: int = 1
    set_alpha_to_one: bool = True
    sampler: Sampler = "ddim"


def alphas_cumprod(config: ScheduleConfig) -> Float[np.ndarray, " timesteps"]:
    """Return the squared signal level of every training index, float64.

    Source: diffusers `DDIMScheduler`; rescaling from Lin et al. 2023, algorithm 1.
    """
    count = config.num_train_timesteps
    if config.beta_schedule == "linear":
        betas = np.linspace(config.beta_start, config.beta_end, count)
    elif config.beta_schedule == "scaled_linear":
        betas = np.linspace(config.beta_start**0.5, config.beta_end**0.5, count) ** 2
    else:
        grid = np.cos((np.arange(count + 1) / count + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - grid[1:] / grid[:-1], 0.999)
    squared = np.cumprod(1 - betas)
    if config.rescale_zero_terminal_snr:
        signal = np.sqrt(squared)
        signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
        squared = signal**2
    return squared


def timesteps(config: ScheduleConfig, num_steps: int) -> Int[np.ndarray, " steps"]:
    """Return the training indices a run visits, noisiest first.

    Raises:
        ValueError: More steps than training indices, or none; the first step would start beyond
            the last training index.
    """
    count = config.num_train_timesteps
    if not 1 <= num_steps <= count:
        raise ValueError(f"num_steps must be in 1...{count}, got {num_steps}")
    if config.timestep_spacing == "leading":
        last = (num_steps - 1) * (count // num_steps) + config.steps_offset
        if last >= count:
            raise ValueError(f"num_steps {num_steps} starts at timestep {last}, beyond {count - 1}")
        return np.arange(num_steps)[::-1] * (count // num_steps) + config.steps_offset
    # diffusers: arange(count, 0, -count / num_steps), rounded half to even, minus 1.
    return np.round(count - np.arange(num_steps) * (count / num_steps)).astype(int) - 1


class Levels(NamedTuple):
    """The levels of a run before and after each step, float64: latents are signal x0 + noise e.

    Attributes:
        timestep: Training index before the step.
        signal: Factor of the sample before the step.
        noise: Factor of the noise before the step.
        next_signal: Factor of the sample after the step.
        next_noise: Factor of the noise after the step.
    """

    timestep: Int[np.ndarray, " steps"]
    signal: Float[np.ndarray, " steps"]
    noise: Float[np.ndarray, " steps"]
    next_signal: Float[np.ndarray, " steps"]
    next_noise: Float[np.ndarray, " steps"]


def run_levels(config: ScheduleConfig, num_steps: int) -> Levels:
    """Return the levels of a run.

    The index after a step is t - num_train_timesteps // num_steps, not the next visited one; below
    zero the latents are the sample itself, or nearly so (`set_alpha_to_one`).

    Source: diffusers `DDIMScheduler.step`.
    """
    now = timesteps(config, num_steps)
    following = now - config.num_train_timesteps // num_steps
    squared = alphas_cumprod(config)
    last = 1.0 if config.set_alpha_to_one else squared[0]
    before, after = squared[now], np.where(following >= 0, squared[np.maximum(following, 0)], last)
    return Levels(now, *(np.sqrt(x) for x in (before, 1 - before, after, 1 - after)))
