"""PLMS against diffusers' PNDM scheduler without its Runge-Kutta steps."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, PNDMScheduler

from tpc_jax.sampler.loop import WindowNetwork, denoise_step, run_table, sample_scan, sample_steps
from tpc_jax.sampler.plms import PlmsTable, plms_start, plms_step, plms_table
from tpc_jax.sampler.schedule import ScheduleConfig, StepTable, step_table
from tpc_jax.sampler.windows import context_windows

pytestmark = pytest.mark.torch
SD14 = ScheduleConfig(beta_schedule="scaled_linear", set_alpha_to_one=False, sampler="plms")
SHAPE = (3, 2, 4)


def oracle(kind, config=SD14):
    return kind(
        beta_start=config.beta_start, beta_end=config.beta_end,
        beta_schedule=config.beta_schedule, steps_offset=1,
        set_alpha_to_one=config.set_alpha_to_one,
        **({"skip_prk_steps": True} if kind is PNDMScheduler else {"clip_sample": False}),
    )  # fmt: skip


def normal(seed):
    return jnp.asarray(np.random.default_rng(seed).normal(size=SHAPE), jnp.float32)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 7, 50])
@pytest.mark.parametrize("to_one", [False, True])
def test_trajectories(num_steps, to_one):
    config = dataclasses.replace(SD14, set_alpha_to_one=to_one)
    scheduler = oracle(PNDMScheduler, config)
    scheduler.set_timesteps(num_steps)
    table = plms_table(config, num_steps)
    np.testing.assert_array_equal(table.timestep, scheduler.timesteps.numpy())
    state = plms_start(normal(0))
    theirs = torch.tensor(np.array(state.latents))
    for index, timestep in enumerate(scheduler.timesteps):
        prediction = normal(index + 1)
        theirs = scheduler.step(torch.tensor(np.array(prediction)), timestep, theirs).prev_sample
        row = [jnp.asarray(column[index]) for column in table[1:]]
        state = plms_step(prediction, state, *row)
        np.testing.assert_allclose(state.latents, theirs.numpy(), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("to_one", [False, True])
def test_where_ddim_ends(to_one):
    config = dataclasses.replace(SD14, set_alpha_to_one=to_one)
    scheduler = oracle(DDIMScheduler, config)
    table = step_table(config, 50)
    np.testing.assert_allclose(
        table.next_signal[-1] ** 2, scheduler.final_alpha_cumprod.item(), rtol=1e-6
    )
    assert (table.next_signal[-1] == 1.0) == to_one


def test_the_schedule_names_the_sampler_and_a_run_may_take_another():
    assert isinstance(run_table(SD14, 3), PlmsTable)
    assert isinstance(run_table(SD14, 3, "ddim"), StepTable)
    assert isinstance(run_table(ScheduleConfig(), 3), StepTable)
    assert len(run_table(ScheduleConfig(), 3, "plms").timestep) == 4


@pytest.mark.parametrize(
    "change", [{"prediction_type": "v_prediction"}, {"timestep_spacing": "trailing"}]
)
def test_other_networks_are_refused(change):
    with pytest.raises(ValueError, match="sampler plms needs prediction_type epsilon"):
        plms_table(dataclasses.replace(SD14, **change), 3)


def test_loops_carry_the_history():
    """Windows, guidance and both loops around the same steps; the network is a linear map."""
    shape, windows = (5, 2, 3, 4), context_windows(5, 4, 2)
    start = jax.random.normal(jax.random.key(0), shape)

    def predict(latents, frames, row, control, *, is_guided):
        assert is_guided
        return latents / 2, latents

    network = WindowNetwork(lambda latents, frames, row: (), predict)

    def step(state, row):
        return denoise_step(
            state, row, network, windows=windows, guidance_scale=(1.5,), prediction_type="epsilon"
        )

    table = run_table(SD14, 5)
    *_, last = sample_steps(step, start, table)
    expected = plms_start(start)
    for index in range(len(table.timestep)):
        row = [jnp.asarray(column[index]) for column in table[1:]]
        expected = plms_step(1.25 * expected.latents, expected, *row)
    np.testing.assert_allclose(last.latents, expected.latents, atol=1e-5)
    np.testing.assert_allclose(sample_scan(step, start, table), last.latents, atol=1e-5)
