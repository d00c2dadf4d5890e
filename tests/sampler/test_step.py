"""One denoising step of a clip: guidance, windows, history."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.sampler.schedule import ScheduleConfig
from tpc_jax.sampler.step import State, denoise_step, guide, linear_step, start_state
from tpc_jax.sampler.table import make_table, row_of
from tpc_jax.sampler.windows import context_windows

FRAMES, SHAPE = 7, (2, 3, 4)
TABLE = make_table(ScheduleConfig(), 4)
WINDOWS = context_windows(FRAMES, 4, 2)
MIXING = jax.random.normal(jax.random.key(7), (4, 4)) / 4
OFF, GUIDED = jnp.array([1.0]), jnp.array([2.5])


def noise(seed=0):
    return jax.random.normal(jax.random.key(seed), (FRAMES, *SHAPE))


def predict(latents, frames, *, conditional=True):
    """Depends on everything a network may depend on, the place in the window included."""
    place = jnp.arange(len(frames))[:, None, None, None]
    mixed = jnp.tanh(latents @ MIXING + latents.mean(0))
    return mixed + 0.1 * place + 0.01 * frames[:, None, None, None] * conditional


def alone(latents, frames):
    return (predict(latents, frames),)


def both(latents, frames):
    return predict(latents, frames, conditional=False), predict(latents, frames)


def step(latents, predictions=alone, scales=OFF, windows=WINDOWS, row=1, table=TABLE):
    state = start_state(table, latents)
    return denoise_step(state, row_of(table, row), predictions, scales, windows).latents


@pytest.mark.parametrize(("length", "overlap"), [(4, 2), (7, 3)])
@pytest.mark.parametrize("is_closed", [False, True])
def test_overlapping_windows_are_averaged_frame_by_frame(length, overlap, is_closed):
    windows = context_windows(FRAMES, length, overlap, is_closed=is_closed)
    latents = noise(1)
    total, count = np.zeros((FRAMES, *SHAPE)), np.zeros(FRAMES)
    for frames in windows.frames:
        window = predict(latents[frames], jnp.asarray(frames))
        for frame, prediction in zip(frames, np.asarray(window), strict=True):
            total[frame] += prediction
            count[frame] += 1
    assert count.min() >= 1
    merged = jnp.asarray(total / count[:, None, None, None], jnp.float32)
    expected = linear_step(start_state(TABLE, latents), row_of(TABLE, 1), merged).latents
    np.testing.assert_allclose(step(latents, windows=windows), expected, atol=1e-5)


def test_all_steps_share_one_program():
    traces = []

    @functools.partial(jax.jit, donate_argnums=0)
    def counting(state, row, scales):
        traces.append(row)
        return denoise_step(state, row, both, scales, WINDOWS)

    for table in (TABLE, make_table(ScheduleConfig(prediction_type="sample"), 3)):
        for scales in (GUIDED, jnp.array([7.5])):
            state = start_state(table, noise())
            for index in range(len(table.timestep)):
                state = counting(state, row_of(table, index), scales)
    assert len(traces) == 1


def test_guiding_windows_equals_guiding_the_merged_predictions():
    latents = noise(2)
    with_reference = step(latents)
    without = step(latents, lambda *x: (predict(*x, conditional=False),))
    # A step is linear in the prediction, so finished steps can be guided as well.
    expected = without + 2.5 * (with_reference - without)
    np.testing.assert_allclose(step(latents, both, GUIDED), expected, rtol=1e-4, atol=1e-5)


def test_merging_is_done_in_float32_whatever_the_network_returns():
    result = step(noise(), lambda *x: (predict(*x).astype(jnp.bfloat16),))
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, step(noise()), atol=0.05)


def test_the_history_is_carried():
    """PLMS over windows with guidance; the network is a linear map."""
    table = make_table(ScheduleConfig(beta_schedule="scaled_linear"), 5, "plms")
    windows = context_windows(FRAMES, 4, 2)
    state = expected = start_state(table, noise())
    assert state.history.shape == (4, FRAMES, *SHAPE)
    for index in range(len(table.timestep)):
        row = row_of(table, index)
        state = denoise_step(state, row, lambda x, _: (x / 2, x), jnp.array([1.5]), windows)
        expected = linear_step(expected, row, 1.25 * expected.latents)
        np.testing.assert_allclose(state.latents, expected.latents, atol=1e-5)
        np.testing.assert_allclose(state.history, expected.history, atol=1e-5)


def test_history_is_newest_first():
    table = make_table(ScheduleConfig(), 4, "plms")
    state = State(jnp.zeros(3), jnp.arange(12.0).reshape(4, 3))
    after = linear_step(state, row_of(table, 0), jnp.full(3, 7.0))
    np.testing.assert_array_equal(after.history, [[7] * 3, [0, 1, 2], [3, 4, 5], [6, 7, 8]])


@pytest.fixture
def pair():
    keys = jax.random.split(jax.random.key(0))
    return tuple(jax.random.normal(key, (2, 3, 4)) for key in keys)


def test_scale_one_is_the_conditional_and_zero_the_unconditional_prediction(pair):
    unconditional, conditional = pair
    np.testing.assert_allclose(guide(pair, jnp.array([1.0])), conditional, atol=1e-6)
    np.testing.assert_array_equal(guide(pair, jnp.array([0.0])), unconditional)
    assert guide(pair[:1], jnp.array([7.5])) is unconditional


@pytest.mark.parametrize("scale", [-1.0, 0.5, 7.5])
def test_guidance_is_the_line_through_both(pair, scale):
    unconditional, conditional = (np.asarray(x, np.float64) for x in pair)
    expected = (1 - scale) * unconditional + scale * conditional
    np.testing.assert_allclose(guide(pair, jnp.array([scale])), expected, rtol=1e-5, atol=1e-5)


def test_dual_guidance():
    """Null, picture, picture and pose: DreamPose's formula, in which each scale has its own."""
    null, image, both = (jnp.asarray(np.random.default_rng(i).normal(size=9)) for i in range(3))
    expected = null + 8.0 * (image - null) + 3.0 * (both - image)
    guided = guide((null, image, both), jnp.array([8.0, 3.0]))
    np.testing.assert_allclose(guided, expected, atol=1e-5)
    unguided = guide((null, image, both), jnp.ones(2))
    np.testing.assert_allclose(unguided, both, atol=1e-6)
