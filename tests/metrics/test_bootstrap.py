import numpy as np
import pytest
import scipy.stats

from tpc_jax.metrics import bootstrap_mean


def test_the_interval_agrees_with_scipys_percentile_bootstrap():
    values = np.random.default_rng(0).gamma(2.0, 3.0, size=80)
    ours = bootstrap_mean(values, num_resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    spread = values.std() / np.sqrt(len(values))
    assert ours.mean == values.mean()
    assert abs(ours.low - theirs.low) < 0.05 * spread
    assert abs(ours.high - theirs.high) < 0.05 * spread


def test_coverage_of_the_true_mean():
    # One column per repetition of the experiment: 1,000 samples of 60 clips with mean 5.
    samples = np.random.default_rng(2).normal(5.0, 2.0, size=(60, 1000))
    for confidence in (0.8, 0.95):
        _, low, high = bootstrap_mean(samples, confidence=confidence, num_resamples=2000)
        coverage = np.mean((low <= 5.0) & (5.0 <= high))
        assert abs(coverage - confidence) < 0.035


def test_columns_share_the_draws_and_equal_single_calls():
    values = np.random.default_rng(3).random((12, 2, 3)).astype(np.float32)
    joint = bootstrap_mean(values, num_resamples=500)
    assert joint.low.shape == (2, 3)
    single = bootstrap_mean(values[:, 1, 2], num_resamples=500)
    for ours, alone in zip(joint, single, strict=True):
        np.testing.assert_allclose(ours[1, 2], alone, rtol=1e-12)


def test_the_seed_decides():
    values = np.random.default_rng(4).random(30)
    assert bootstrap_mean(values, seed=7) == bootstrap_mean(values, seed=7)
    assert bootstrap_mean(values, seed=7) != bootstrap_mean(values, seed=8)


def test_equal_clips_leave_no_interval():
    mean, low, high = bootstrap_mean(np.full(5, 21.25))
    np.testing.assert_allclose([mean, low, high], 21.25, rtol=1e-14)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([20.0], {}, "at least two clips"),
        ([20.0, np.nan], {}, "finite"),
        ([20.0, 21.0], {"confidence": 95.0}, "confidence"),
        ([20.0, 21.0], {"num_resamples": 0}, "num_resamples"),
    ],
)
def test_bad_input_is_refused(values, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_mean(np.asarray(values), **options)
