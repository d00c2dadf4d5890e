"""AnimateAnyone's noise schedule and steps against results of the original code."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from golden import Golden

from tpc_jax.animators.animateanyone import AnimateAnyoneConfig, published_schedule
from tpc_jax.convert.configs import Settings, schedule_config
from tpc_jax.sampler.schedule import alphas_cumprod, timesteps
from tpc_jax.sampler.step import linear_step, start_state
from tpc_jax.sampler.table import ddim_table, row_of

DATA = Golden("animateanyone")
CONFIG = schedule_config(
    Settings(DATA.folder / "inference_config.json", DATA.json("inference_config")).inside(
        "noise_scheduler_kwargs"
    )
)
TRAINING = dataclasses.replace(CONFIG, beta_schedule="scaled_linear")


def test_the_published_values_are_the_defaults():
    assert dataclasses.replace(CONFIG, steps_offset=1) == published_schedule()
    assert (AnimateAnyoneConfig().num_steps, AnimateAnyoneConfig().guidance_scale) == (30, (3.5,))


def test_noise_levels():
    plain = dataclasses.replace(CONFIG, rescale_zero_terminal_snr=False)
    rows = {"": CONFIG, "train_": TRAINING, "plain_": plain}
    for name, config in rows.items():
        ours, theirs = alphas_cumprod(config), DATA.raw(f"sched_{name}alphas_cumprod")
        np.testing.assert_allclose(ours, theirs, atol=1e-6, rtol=0)
    squared = alphas_cumprod(CONFIG)
    assert squared[-1] == 0


def test_betas():
    """The original's betas are its single-precision recurrence, up to one ulp in a square root.

    Square roots of PyTorch are not rounded correctly and differ from machine to machine: with each
    root free to be a neighbour (4 of 1000 are) the recurrence gives the original's betas to the
    bit. One ulp moves a beta by up to 8e-6, more than ours, in double precision (see
    tests/sampler/test_schedule.py), are away: 4e-6. The sampler uses none of them.
    """
    theirs = DATA.raw("sched_betas")
    np.testing.assert_allclose(_betas_with_free_roots(theirs), theirs, atol=1e-7, rtol=0)
    squared = alphas_cumprod(CONFIG)
    ours = 1 - squared / np.concatenate([[1.0], squared[:-1]])
    np.testing.assert_allclose(ours, theirs, atol=6e-6, rtol=0)


def _betas_with_free_roots(target):
    """Return the recurrence of `rescale_zero_terminal_snr` in float32, each root chosen of three.

    A root is the correctly rounded one or one of its neighbours, whichever brings beta closest to
    the target.
    """
    betas = torch.linspace(CONFIG.beta_start, CONFIG.beta_end, CONFIG.num_train_timesteps)
    root = np.sqrt(torch.cumprod(1 - betas, 0).numpy())
    roots = np.stack([root, *(np.nextafter(root, np.float32(end)) for end in (0, 1))], axis=1)
    levels = ((roots - root[-1]) * (root[0] / (root[0] - root[-1]))) ** 2
    before, closest = np.float32(1), []
    for level, beta in zip(levels, target, strict=True):
        choice = np.abs(1 - level / before - beta).argmin()
        closest.append(1 - level[choice] / before)
        before = level[choice]
    return np.array(closest)


@pytest.mark.parametrize("count", [3, 20, 25, 30])
def test_timesteps(count):
    np.testing.assert_array_equal(timesteps(CONFIG, count), DATA.raw(f"sched_timesteps_{count}"))


@pytest.mark.parametrize(("count", "places"), [(25, (0, 7, 24)), (30, (0, 7, 29))])
def test_single_steps(count, places):
    """At 30 steps the index after 766 is 733, though 732 comes next."""
    table = ddim_table(CONFIG, count)
    predicted, latents = (
        jnp.asarray(DATA.raw(f"sched_step_{name}")) for name in ("model_output", "sample")
    )
    for place, theirs in zip(places, DATA.raw(f"sched_step{count}_prev"), strict=True):
        ours = linear_step(start_state(table, latents), row_of(table, place), predicted).latents
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)


def test_noising():
    """Noisy latents and the velocity to predict, at step 500 of training."""
    squared = alphas_cumprod(TRAINING)[500]
    signal, noise = np.sqrt(squared), np.sqrt(1 - squared)
    clean, added = DATA.raw("sched_step_sample"), DATA.raw("sched_add_noise_noise")
    noisy, velocity = signal * clean + noise * added, signal * added - noise * clean
    np.testing.assert_allclose(noisy, DATA.raw("sched_add_noise_out_t500"), atol=1e-5)
    np.testing.assert_allclose(velocity, DATA.raw("sched_velocity_out_t500"), atol=1e-5)
    # The velocity and the noisy latents give the clean ones.
    np.testing.assert_allclose(signal * noisy - noise * velocity, clean, atol=1e-5)
