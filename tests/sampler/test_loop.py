import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.sampler.ddim import ddim_step
from tpc_jax.sampler.loop import (
    WindowNetwork,
    denoise_step,
    sample_scan,
    sample_steps,
    step_rows,
)
from tpc_jax.sampler.schedule import ScheduleConfig, step_table
from tpc_jax.sampler.windows import context_windows

FRAMES, SHAPE = 7, (2, 3, 4)
TABLE = step_table(ScheduleConfig(), 4)
WINDOWS = context_windows(FRAMES, 4, 2)
MIXING = jax.random.normal(jax.random.key(7), (4, 4)) / 4


def noise(seed=0):
    return jax.random.normal(jax.random.key(seed), (FRAMES, *SHAPE))


def predict(latents, frames, row, *, conditional):
    """Depends on everything a network may depend on, the place in the window included."""
    place = jnp.arange(len(frames))[:, None, None, None]
    mixed = jnp.tanh(latents @ MIXING + latents.mean(0))
    return mixed + 0.1 * place + 0.01 * frames[:, None, None, None] * conditional + row.signal


def network(predict):
    """A network without control that predicts either half by one function."""

    def halves(latents, frames, row, control, *, is_guided):
        plain = predict(latents, frames, row, conditional=False) if is_guided else None
        return plain, predict(latents, frames, row, conditional=True)

    return WindowNetwork(lambda latents, frames, row: (), halves)


def make_step(predict=predict, windows=WINDOWS, guidance_scale=1.0, prediction_type="epsilon"):
    return functools.partial(
        denoise_step,
        network=network(predict),
        windows=windows,
        guidance_scale=guidance_scale,
        prediction_type=prediction_type,
    )


def row_at(index, table=TABLE):
    return jax.tree.map(lambda column: column[index], step_rows(table))


def test_the_python_loop_equals_the_compiled_one():
    step = make_step(guidance_scale=3.0)
    jitted = jax.jit(step, donate_argnums=0)
    visited = [np.asarray(x) for x in sample_steps(jitted, noise(), TABLE)]
    assert len(visited) == len(TABLE.timestep)
    scanned = jax.jit(lambda x: sample_scan(step, x, TABLE))(noise())
    np.testing.assert_allclose(visited[-1], scanned, rtol=1e-5, atol=1e-5)
    assert not np.allclose(visited[-1], visited[-2])


def test_all_steps_share_one_program():
    traces = []

    def counting(latents, frames, row, *, conditional):
        traces.append(conditional)
        return predict(latents, frames, row, conditional=conditional)

    list(sample_steps(jax.jit(make_step(counting)), noise(), TABLE))
    assert len(traces) == 1


@pytest.mark.parametrize(("length", "overlap"), [(4, 2), (7, 3)])
def test_overlapping_windows_are_averaged_frame_by_frame(length, overlap):
    windows = context_windows(FRAMES, length, overlap)
    row, latents = row_at(1), noise(1)
    total, count = np.zeros((FRAMES, *SHAPE)), np.zeros(FRAMES)
    for frames in windows.frames:
        window = predict(latents[frames], jnp.asarray(frames), row, conditional=True)
        for frame, prediction in zip(frames, np.asarray(window), strict=True):
            total[frame] += prediction
            count[frame] += 1
    assert count.min() >= 1
    merged = jnp.asarray(total / count[:, None, None, None], jnp.float32)
    expected = ddim_step(merged, latents, *row[2:], "epsilon")
    np.testing.assert_allclose(make_step(windows=windows)(latents, row), expected, atol=1e-5)


def test_without_guidance_the_unconditional_half_is_never_called():
    asked = []

    def recording(latents, frames, row, *, conditional):
        asked.append(conditional)
        return predict(latents, frames, row, conditional=conditional)

    make_step(recording)(noise(), row_at(0))
    assert set(asked) == {True}
    asked.clear()
    make_step(recording, guidance_scale=2.0)(noise(), row_at(0))
    assert set(asked) == {True, False}


def test_guiding_windows_equals_guiding_the_merged_predictions():
    row, latents = row_at(0), noise(2)

    def only(half):
        return make_step(lambda *args, conditional: predict(*args, conditional=half))

    # A DDIM step is linear in the prediction, so finished steps can be guided as well.
    with_reference, without = only(True)(latents, row), only(False)(latents, row)
    expected = without + 2.5 * (with_reference - without)
    guided = make_step(guidance_scale=2.5)(latents, row)
    np.testing.assert_allclose(guided, expected, rtol=1e-4, atol=1e-5)


SCHEDULES = {
    "epsilon": ScheduleConfig(prediction_type="epsilon"),
    "sample": ScheduleConfig(prediction_type="sample", beta_schedule="scaled_linear"),
    "v_prediction": ScheduleConfig(
        prediction_type="v_prediction",
        beta_schedule="cosine",
        rescale_zero_terminal_snr=True,
        timestep_spacing="trailing",
    ),
}


@pytest.mark.parametrize("num_steps", [1, 10])
@pytest.mark.parametrize("kind", SCHEDULES)
def test_a_perfect_network_recovers_the_sample(kind, num_steps):
    """DDIM with exact predictions stays on the line between sample and noise."""
    sample, start = noise(3), noise(4)
    table = step_table(SCHEDULES[kind], num_steps)

    def perfect(latents, frames, row, *, conditional):
        here, away = sample[frames], start[frames]
        np.testing.assert_equal(latents.shape, here.shape)
        return {
            "epsilon": away,
            "sample": here,
            "v_prediction": row.signal * away - row.noise * here,
        }[kind]

    step = jax.jit(make_step(perfect, prediction_type=kind))
    latents = table.signal[0] * sample + table.noise[0] * start
    for index, reached in enumerate(sample_steps(step, latents, table)):
        expected = table.next_signal[index] * sample + table.next_noise[index] * start
        np.testing.assert_allclose(reached, expected, atol=2e-4)
    np.testing.assert_allclose(reached, sample, atol=2e-4)


def test_merging_is_done_in_float32_whatever_the_network_returns():
    def half(latents, frames, row, *, conditional):
        return predict(latents, frames, row, conditional=conditional).astype(jnp.bfloat16)

    result = make_step(half)(noise(), row_at(0))
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, make_step()(noise(), row_at(0)), atol=0.05)


@pytest.mark.parametrize(("length", "overlap"), [(4, 2), (4, 0), (5, 4), (7, 3)])
@pytest.mark.parametrize("is_closed", [False, True])
def test_control_reaches_its_frame_whichever_window_computed_it(length, overlap, is_closed):
    windows = context_windows(FRAMES, length, overlap, is_closed=is_closed)
    row, latents = row_at(0), noise(5)

    def own(latents, frames, row):
        return {"sum": latents + frames[:, None, None, None], "frame": frames}

    def predict(window, frames, row, control, *, is_guided):
        expected = own(window, frames, row)
        wrong = (control["frame"] != frames).any() | (control["sum"] != expected["sum"]).any()
        return None, jnp.where(wrong, jnp.nan, control["sum"])

    step = make_step(windows=windows)
    merged = step.func(latents, row, **{**step.keywords, "network": WindowNetwork(own, predict)})
    control = own(latents, jnp.arange(FRAMES), row)["sum"]
    np.testing.assert_allclose(merged, ddim_step(control, latents, *row[2:], "epsilon"), atol=1e-4)
