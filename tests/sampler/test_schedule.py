"""Schedules against diffusers and the published numbers."""

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

from tpc_jax.sampler.schedule import ScheduleConfig, alphas_cumprod, run_levels, timesteps

pytestmark = pytest.mark.torch

MAGICANIMATE = ScheduleConfig()
ANIMATEANYONE = ScheduleConfig(
    rescale_zero_terminal_snr=True, prediction_type="v_prediction", timestep_spacing="trailing"
)
KINDS = {"linear": "linear", "scaled_linear": "scaled_linear", "cosine": "squaredcos_cap_v2"}


def oracle(config: ScheduleConfig) -> DDIMScheduler:
    return DDIMScheduler(
        num_train_timesteps=config.num_train_timesteps,
        beta_start=config.beta_start,
        beta_end=config.beta_end,
        beta_schedule=KINDS[config.beta_schedule],
        rescale_betas_zero_snr=config.rescale_zero_terminal_snr,
        prediction_type=config.prediction_type,
        timestep_spacing=config.timestep_spacing,
        steps_offset=config.steps_offset,
        clip_sample=False,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rescale", [False, True])
def test_signal_levels(kind, rescale):
    config = ScheduleConfig(beta_schedule=kind, rescale_zero_terminal_snr=rescale)
    ours = alphas_cumprod(config)
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, oracle(config).alphas_cumprod.numpy(), atol=2e-6)
    assert np.all(np.diff(ours) < 0)
    assert (ours[-1] == 0) == rescale


def test_rescaled_betas_are_those_of_the_original_in_double_precision():
    config = ANIMATEANYONE
    betas = torch.linspace(
        config.beta_start, config.beta_end, config.num_train_timesteps, dtype=torch.float64
    )
    squared = alphas_cumprod(config)
    ours = 1 - squared / np.concatenate([[1.0], squared[:-1]])
    np.testing.assert_allclose(ours, rescale_zero_terminal_snr(betas).numpy(), atol=1e-12, rtol=0)


def test_published_signal_levels():
    rescaled, plain = alphas_cumprod(ANIMATEANYONE), alphas_cumprod(MAGICANIMATE)
    known = {0: 0.99914998, 499: 0.14252943, 749: 0.01336819, 959: 1.2253337e-4}
    for index, value in known.items():
        np.testing.assert_allclose(rescaled[index], value, rtol=1e-5)
    np.testing.assert_allclose(plain[999], 0.00157896, rtol=1e-5)


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("num_steps", [1, 2, 3, 7, 20, 25, 30, 49, 50, 333, 600, 999])
def test_timesteps(spacing, num_steps):
    config = ScheduleConfig(timestep_spacing=spacing)
    scheduler = oracle(config)
    scheduler.set_timesteps(num_steps)
    np.testing.assert_array_equal(timesteps(config, num_steps), scheduler.timesteps.numpy())


def test_published_timesteps():
    assert timesteps(MAGICANIMATE, 3).tolist() == [667, 334, 1]
    assert timesteps(MAGICANIMATE, 25).tolist() == list(range(961, 0, -40))
    assert timesteps(ANIMATEANYONE, 3).tolist() == [999, 666, 332]
    assert timesteps(ANIMATEANYONE, 20).tolist() == list(range(999, 0, -50))
    assert timesteps(ANIMATEANYONE, 30)[:6].tolist() == [999, 966, 932, 899, 866, 832]


@pytest.mark.parametrize("num_steps", [0, -1, 1001])
def test_impossible_step_counts(num_steps):
    with pytest.raises(ValueError, match=f"num_steps must be in 1...1000, got {num_steps}"):
        timesteps(ANIMATEANYONE, num_steps)


def test_leading_steps_that_start_beyond_the_last_index():
    with pytest.raises(ValueError, match="starts at timestep 1000, beyond 999"):
        run_levels(MAGICANIMATE, 1000)
    everything = run_levels(dataclasses.replace(MAGICANIMATE, steps_offset=0), 1000)
    assert everything.timestep.tolist() == list(range(999, -1, -1))


@pytest.mark.parametrize("config", [MAGICANIMATE, ANIMATEANYONE])
@pytest.mark.parametrize("num_steps", [1, 3, 25, 30])
def test_levels_of_a_run(config, num_steps):
    table = run_levels(config, num_steps)
    assert all(len(column) == num_steps for column in table)
    assert all(column.dtype == np.float64 for column in table[1:])
    np.testing.assert_allclose(table.signal**2 + table.noise**2, 1, rtol=1e-6)
    np.testing.assert_allclose(table.next_signal**2 + table.next_noise**2, 1, rtol=1e-6)
    assert np.all(table.next_signal > table.signal)
    assert (table.next_signal[-1], table.next_noise[-1]) == (1, 0)
    assert (table.signal[0] == 0) == config.rescale_zero_terminal_snr


def test_the_index_after_a_step_is_not_the_next_visited_one():
    table = run_levels(ANIMATEANYONE, 30)
    level = np.sqrt(alphas_cumprod(ANIMATEANYONE)[[933, 932]])
    assert table.timestep[2] == 932
    np.testing.assert_allclose(table.next_signal[1], level[0], rtol=1e-6)
    np.testing.assert_allclose(table.signal[2], level[1], rtol=1e-6)


def test_unknown_choices_are_refused():
    with pytest.raises(ValueError, match="beta_schedule must be one of"):
        ScheduleConfig.from_dict({"beta_schedule": "sigmoid"})
    with pytest.raises(ValueError, match="unknown ScheduleConfig keys"):
        ScheduleConfig.from_dict({"beta_schedul": "linear"})
