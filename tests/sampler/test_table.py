"""Tables of coefficients against diffusers, runs of the original pipelines, and closed forms."""

import dataclasses
import itertools
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler, PNDMScheduler

from tpc_jax.sampler.schedule import ScheduleConfig, run_levels
from tpc_jax.sampler.step import linear_step, start_state
from tpc_jax.sampler.table import Table, ddim_table, make_table, plms_table, row_of

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
TYPES = ["epsilon", "v_prediction", "sample"]
SHAPE = (2, 3, 4)
PROCESSES = list(itertools.product(TYPES, ["leading", "trailing"], [False, True]))
PROCESSES.remove(("epsilon", "trailing", True))  # would divide by a signal of zero
SD14 = ScheduleConfig(beta_schedule="scaled_linear", set_alpha_to_one=False, sampler="plms")


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape or SHAPE), jnp.float32)


def oracle(kind, config, **options):
    return kind(
        beta_start=config.beta_start,
        beta_end=config.beta_end,
        beta_schedule=config.beta_schedule,
        steps_offset=1,
        set_alpha_to_one=config.set_alpha_to_one,
        prediction_type=config.prediction_type,
        timestep_spacing=config.timestep_spacing,
        **options,
    )


def assert_same_trajectory(table, scheduler, num_steps):
    """Many steps with the same predictions reach the same latents."""
    scheduler.set_timesteps(num_steps)
    np.testing.assert_array_equal(table.timestep, scheduler.timesteps.numpy())
    state = start_state(table, normal(0))
    theirs = torch.tensor(np.array(state.latents))
    for index, timestep in enumerate(scheduler.timesteps):
        prediction = normal(index + 1)
        theirs = scheduler.step(torch.tensor(np.array(prediction)), timestep, theirs).prev_sample
        state = linear_step(state, row_of(table, index), prediction)
        # The oracle's own levels are float32; dividing by a small signal magnifies that.
        np.testing.assert_allclose(state.latents, theirs.numpy(), rtol=2e-4, atol=2e-4)


@pytest.mark.torch
@pytest.mark.parametrize(("kind", "spacing", "rescale"), PROCESSES)
@pytest.mark.parametrize("num_steps", [3, 30])
def test_ddim(kind, spacing, rescale, num_steps):
    config = ScheduleConfig(
        prediction_type=kind, timestep_spacing=spacing, rescale_zero_terminal_snr=rescale
    )
    scheduler = oracle(DDIMScheduler, config, clip_sample=False, rescale_betas_zero_snr=rescale)
    assert_same_trajectory(ddim_table(config, num_steps), scheduler, num_steps)


@pytest.mark.torch
@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 7, 50])
@pytest.mark.parametrize("to_one", [False, True])
def test_plms(num_steps, to_one):
    config = dataclasses.replace(SD14, set_alpha_to_one=to_one)
    scheduler = oracle(PNDMScheduler, config, skip_prk_steps=True)
    assert_same_trajectory(plms_table(config, num_steps), scheduler, num_steps)


@pytest.mark.torch
@pytest.mark.parametrize("num_steps", [1, 4, 20])
def test_another_sampler_is_another_table(num_steps):
    """Euler steps along a flow, x' = x + (sigma' - sigma) p, by the same step."""
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(num_steps)
    sigmas = scheduler.sigmas.double().numpy()
    index = np.arange(num_steps)
    gain = np.diff(sigmas).astype(np.float32)
    flow = Table(index, index, np.ones_like(gain), gain, np.ones((num_steps, 1), np.float32))
    state = start_state(flow, normal(0))
    theirs = torch.tensor(np.array(state.latents))
    for step, timestep in enumerate(scheduler.timesteps):
        prediction = normal(step + 1)
        theirs = scheduler.step(torch.tensor(np.array(prediction)), timestep, theirs).prev_sample
        state = linear_step(state, row_of(flow, step), prediction)
    np.testing.assert_allclose(state.latents, theirs.numpy(), atol=1e-5)


@pytest.mark.parametrize("num_steps", [1, 5])
@pytest.mark.parametrize(("kind", "spacing", "rescale"), PROCESSES)
def test_an_exact_prediction_stays_on_the_line_between_sample_and_noise(
    kind, spacing, rescale, num_steps
):
    config = ScheduleConfig(
        prediction_type=kind, timestep_spacing=spacing, rescale_zero_terminal_snr=rescale
    )
    _, signal, level, after, noise_after = run_levels(config, num_steps)
    sample, noise = normal(0), normal(1)
    table = make_table(config, num_steps)
    state = start_state(table, jnp.asarray(signal[0] * sample + level[0] * noise))
    for index in range(num_steps):
        prediction = {
            "epsilon": noise,
            "v_prediction": signal[index] * noise - level[index] * sample,
            "sample": sample,
        }[kind]
        state = linear_step(state, row_of(table, index), prediction)
        expected = after[index] * sample + noise_after[index] * noise
        np.testing.assert_allclose(state.latents, expected, atol=2e-4)
    np.testing.assert_allclose(state.latents, sample, atol=2e-4)


@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
def test_pure_noise_gives_finite_numbers(kind):
    config = ScheduleConfig(
        prediction_type=kind, timestep_spacing="trailing", rescale_zero_terminal_snr=True
    )
    table = make_table(config, 1)
    assert np.isfinite(table.keep).all()
    # From pure noise to the sample in one step: the latents do not count.
    np.testing.assert_allclose(table.keep, 0, atol=1e-7)
    np.testing.assert_allclose(table.gain, -1 if kind == "v_prediction" else 1, atol=1e-7)


def test_the_schedule_names_the_sampler_and_a_run_may_take_another():
    assert make_table(SD14, 3).weights.shape == (4, 5)
    assert make_table(SD14, 3, "ddim").weights.shape == (3, 1)
    assert make_table(ScheduleConfig(), 3).weights.shape == (3, 1)
    np.testing.assert_array_equal(make_table(ScheduleConfig(), 3, "plms").step, range(4))


@pytest.mark.parametrize(
    "change", [{"prediction_type": "v_prediction"}, {"timestep_spacing": "trailing"}]
)
def test_other_networks_are_refused_by_plms(change):
    with pytest.raises(ValueError, match="sampler plms needs prediction_type epsilon"):
        plms_table(dataclasses.replace(SD14, **change), 3)


@pytest.mark.parametrize("to_one", [False, True])
def test_where_ddim_ends(to_one):
    config = dataclasses.replace(SD14, set_alpha_to_one=to_one)
    scheduler = oracle(DDIMScheduler, config, clip_sample=False)
    last = run_levels(config, 50).next_signal[-1]
    np.testing.assert_allclose(last**2, scheduler.final_alpha_cumprod.item(), rtol=1e-6)
    assert (last == 1.0) == to_one


def golden(system):
    if not (GOLDEN / system).exists():
        pytest.skip(f"the golden data of {system} is not there")
    return np.load(GOLDEN / system / "io.npz")


@pytest.mark.parametrize("loop", ["base", "tpc1", "tpc2"])
def test_magicanimate_steps(loop):
    data = golden("magicanimate")
    table = ddim_table(ScheduleConfig(), 3)
    np.testing.assert_array_equal(table.timestep, data["ddim_timesteps_3"])
    before = jnp.asarray(data["loop_init_latents"])
    for index, after in enumerate(data[f"loop_{loop}_latents"]):
        prediction = jnp.asarray(data[f"loop_{loop}_noise_pred"][index])
        ours = linear_step(start_state(table, before), row_of(table, index), prediction)
        # The levels of the original are float32: its last steps are good to a few 1e-5.
        np.testing.assert_allclose(ours.latents, after, atol=1e-4)
        before = jnp.asarray(after)


@pytest.mark.parametrize(("num_steps", "checked"), [(25, (0, 7, 24)), (30, (0, 7, 29))])
def test_animateanyone_steps(num_steps, checked):
    data = golden("animateanyone")
    config = ScheduleConfig(
        rescale_zero_terminal_snr=True, prediction_type="v_prediction", timestep_spacing="trailing"
    )
    table = ddim_table(config, num_steps)
    np.testing.assert_array_equal(table.timestep, data[f"sched_timesteps_{num_steps}"])
    latents, prediction = (
        jnp.asarray(data[f"sched_step_{name}"]) for name in ("sample", "model_output")
    )
    for index, after in zip(checked, data[f"sched_step{num_steps}_prev"], strict=True):
        ours = linear_step(start_state(table, latents), row_of(table, index), prediction)
        np.testing.assert_allclose(ours.latents, after, atol=1e-5)
