"""The DDIM step against diffusers, its inverse, guidance, and runs of the original pipelines."""

import itertools
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from tpc_jax.sampler.ddim import ddim_step, to_sample_and_noise
from tpc_jax.sampler.guidance import guide
from tpc_jax.sampler.schedule import ScheduleConfig, step_table

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
TYPES = ["epsilon", "v_prediction", "sample"]
SHAPE = (2, 3, 4)
PROCESSES = list(itertools.product(TYPES, ["leading", "trailing"], [False, True]))
PROCESSES.remove(("epsilon", "trailing", True))  # would divide by a signal of zero


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def levels(table, index):
    return tuple(jnp.asarray(column[index]) for column in table[1:])


@pytest.mark.torch
@pytest.mark.parametrize(("kind", "spacing", "rescale"), PROCESSES)
@pytest.mark.parametrize("num_steps", [3, 30])
def test_trajectories(kind, spacing, rescale, num_steps):
    """Many steps with the same predictions reach the same latents."""
    config = ScheduleConfig(
        prediction_type=kind, timestep_spacing=spacing, rescale_zero_terminal_snr=rescale
    )
    scheduler = DDIMScheduler(
        beta_start=config.beta_start,
        beta_end=config.beta_end,
        beta_schedule=config.beta_schedule,
        clip_sample=False,
        steps_offset=1,
        prediction_type=kind,
        timestep_spacing=spacing,
        rescale_betas_zero_snr=rescale,
    )
    scheduler.set_timesteps(num_steps)
    table = step_table(config, num_steps)
    latents = normal(0, *SHAPE)
    theirs = torch.tensor(np.array(latents))
    for index, timestep in enumerate(scheduler.timesteps):
        prediction = normal(index + 1, *SHAPE)
        theirs = scheduler.step(torch.tensor(np.array(prediction)), timestep, theirs).prev_sample
        latents = ddim_step(prediction, latents, *levels(table, index), kind)
        # The oracle's own levels are float32; dividing by a small signal magnifies that.
        np.testing.assert_allclose(latents, theirs.numpy(), rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("kind", TYPES)
def test_a_perfect_prediction_is_split_exactly(kind):
    sample, noise = normal(0, *SHAPE), normal(1, *SHAPE)
    signal, level = jnp.float32(0.6), jnp.float32(0.8)
    latents = signal * sample + level * noise
    prediction = {
        "epsilon": noise,
        "v_prediction": signal * noise - level * sample,
        "sample": sample,
    }[kind]
    split = to_sample_and_noise(prediction, latents, signal, level, kind)
    np.testing.assert_allclose(split[0], sample, atol=1e-6)
    np.testing.assert_allclose(split[1], noise, atol=1e-6)


@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
def test_pure_noise_gives_finite_numbers(kind):
    zero, one = jnp.float32(0), jnp.float32(1)
    prediction, latents = normal(0, *SHAPE), normal(1, *SHAPE)
    sample, noise = to_sample_and_noise(prediction, latents, zero, one, kind)
    np.testing.assert_array_equal(sample, -prediction if kind == "v_prediction" else prediction)
    np.testing.assert_array_equal(noise, latents)


def test_a_perfect_network_reaches_the_sample():
    sample, latents = normal(0, *SHAPE), normal(1, *SHAPE)
    table = step_table(ScheduleConfig(prediction_type="sample"), 5)
    for index in range(5):
        latents = ddim_step(sample, latents, *levels(table, index), "sample")
    np.testing.assert_array_equal(latents, sample)


def test_unknown_prediction_type():
    with pytest.raises(ValueError, match="got flow"):
        ddim_step(normal(0, 2), normal(1, 2), *map(jnp.float32, (0.6, 0.8, 1, 0)), "flow")


def test_guidance():
    without, conditional = normal(0, *SHAPE), normal(1, *SHAPE)
    np.testing.assert_allclose(guide(without, conditional, 1.0), conditional, atol=1e-6)
    np.testing.assert_array_equal(guide(without, conditional, 0.0), without)
    expected = np.asarray(without) + 7.5 * (np.asarray(conditional) - np.asarray(without))
    np.testing.assert_allclose(guide(without, conditional, 7.5), expected, atol=1e-5)


def golden(system):
    if not (GOLDEN / system).exists():
        pytest.skip(f"the golden data of {system} is not there")
    return np.load(GOLDEN / system / "io.npz")


@pytest.mark.parametrize("loop", ["base", "tpc1", "tpc2"])
def test_magicanimate_steps(loop):
    data = golden("magicanimate")
    table = step_table(ScheduleConfig(), 3)
    np.testing.assert_array_equal(table.timestep, data["ddim_timesteps_3"])
    before = jnp.asarray(data["loop_init_latents"])
    for index, after in enumerate(data[f"loop_{loop}_latents"]):
        prediction = jnp.asarray(data[f"loop_{loop}_noise_pred"][index])
        ours = ddim_step(prediction, before, *levels(table, index), "epsilon")
        # The levels of the original are float32: its last steps are good to a few 1e-5.
        np.testing.assert_allclose(ours, after, atol=1e-4)
        before = jnp.asarray(after)


@pytest.mark.parametrize(("num_steps", "checked"), [(25, (0, 7, 24)), (30, (0, 7, 29))])
def test_animateanyone_steps(num_steps, checked):
    data = golden("animateanyone")
    config = ScheduleConfig(
        rescale_zero_terminal_snr=True, prediction_type="v_prediction", timestep_spacing="trailing"
    )
    table = step_table(config, num_steps)
    np.testing.assert_array_equal(table.timestep, data[f"sched_timesteps_{num_steps}"])
    latents, prediction = (
        jnp.asarray(data[f"sched_step_{name}"]) for name in ("sample", "model_output")
    )
    for index, after in zip(checked, data[f"sched_step{num_steps}_prev"], strict=True):
        ours = ddim_step(prediction, latents, *levels(table, index), "v_prediction")
        np.testing.assert_allclose(ours, after, atol=1e-5)
