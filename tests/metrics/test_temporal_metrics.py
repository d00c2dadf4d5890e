import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.metrics import flicker, frame_difference_error


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    return rng.random((2, 5, 6, 7, 3), np.float32), rng.random((2, 5, 6, 7, 3), np.float32)


def test_frame_difference_error_equals_a_loop(clips):
    pred, target = clips
    weight = np.random.default_rng(1).random(pred.shape[:-1], np.float32)
    for b in range(2):
        errors, weights = [], []
        for t in range(4):
            step = (pred[b, t + 1] - pred[b, t]) - (target[b, t + 1] - target[b, t])
            errors.append(np.abs(step).mean(-1))
            weights.append(np.maximum(weight[b, t], weight[b, t + 1]))
        plain = frame_difference_error(pred, target)[b]
        masked = frame_difference_error(pred, target, weight)[b]
        np.testing.assert_allclose(plain, np.mean(errors), rtol=1e-5)
        np.testing.assert_allclose(masked, np.average(errors, weights=weights), rtol=1e-5)


def test_an_error_that_stands_still_costs_nothing(clips):
    target = clips[1] * 0.5
    still = np.random.default_rng(2).random((2, 1, 6, 7, 3), np.float32) * 0.5
    np.testing.assert_allclose(frame_difference_error(target + still, target), 0.0, atol=1e-7)


def test_a_flash_of_one_frame_is_counted_twice():
    target = jnp.zeros((5, 4, 4, 3))
    pred = target.at[2].set(0.4)
    np.testing.assert_allclose(frame_difference_error(pred, target), 2 * 0.4 / 4, rtol=1e-6)


def test_a_frozen_clip_misses_the_motion_and_does_not_flicker():
    target = jnp.zeros((4, 4, 4, 3)).at[1:, 0].set(1.0)
    frozen = jnp.zeros_like(target)
    assert frame_difference_error(frozen, target) > 0.0
    assert flicker(frozen, target) == 0.0


def test_flicker_sees_only_pixels_whose_truth_stands_still():
    rng = np.random.default_rng(3)
    target = np.full((6, 8, 8, 3), 0.3, np.float32)
    target[:, :4] = rng.random((6, 4, 8, 3))
    pred = target.copy()
    pred[:, :4] = rng.random((6, 4, 8, 3))
    assert flicker(pred, target) == 0.0
    pred[::2, 4:] += 0.1
    np.testing.assert_allclose(flicker(pred, target), 0.1, rtol=1e-5)


def test_motion_in_one_channel_is_motion():
    target = jnp.zeros((2, 3, 3, 3)).at[1, ..., 2].set(1.0 / 255)
    assert jnp.isnan(flicker(target, target))
    below_half_a_level = jnp.zeros((2, 3, 3, 3)).at[1, ..., 2].set(0.4 / 255)
    assert flicker(below_half_a_level, below_half_a_level) < 0.4 / 255


def test_an_empty_mask_has_no_value(clips):
    pred, target = clips
    mask = np.zeros(pred.shape[:-1], bool)
    mask[1, 0] = True
    np.testing.assert_array_equal(
        np.isnan(frame_difference_error(pred, target, mask)), [True, False]
    )


def test_mode_disco_is_dtssd(clips):
    pred, target = (np.rint(255 * x).astype(np.uint8) for x in clips)
    step = np.diff(pred[:, :2].astype(float), axis=1) - np.diff(target[:, :2].astype(float), axis=1)
    expected = np.mean(step**2, axis=(1, 2, 3, 4))
    found = frame_difference_error(*clips, mode="disco")
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="no masked metrics"):
        frame_difference_error(*clips, np.ones(pred.shape[:-1], bool), mode="disco")
