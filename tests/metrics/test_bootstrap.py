import numpy as np
import pytest
import scipy.stats

from tpc_jax.metrics import bootstrap_mean, bootstrap_ratio


def test_the_interval_agrees_with_scipys_percentile_bootstrap():
    values = np.random.default_rng(0).gamma(2.0, 3.0, size=80)
    ours = bootstrap_mean(values, num_resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(1)
    ).confidence_interval
    spread = values.std() / np.sqrt(len(values))
    assert ours.value == values.mean()
    assert ours.clips == 80
    assert abs(ours.low - theirs.low) < 0.05 * spread
    assert abs(ours.high - theirs.high) < 0.05 * spread


def test_coverage_of_the_true_mean():
    # One column per repetition of the experiment: 1,000 samples of 60 clips with mean 5.
    samples = np.random.default_rng(2).normal(5.0, 2.0, size=(60, 1000))
    for confidence in (0.8, 0.95):
        found = [
            bootstrap_mean(sample, confidence=confidence, num_resamples=2000)
            for sample in samples.T
        ]
        coverage = np.mean([interval.low <= 5.0 <= interval.high for interval in found])
        assert abs(coverage - confidence) < 0.035


def test_a_ratio_is_that_of_the_means():
    above, below = np.array([8.0, 6, 4, 2]), np.array([10.0, 8, 6, 4])
    share = bootstrap_ratio(above, below)
    assert share.value == pytest.approx(20 / 28)
    assert share.low < share.value < share.high
    assert share.clips == 4
    np.testing.assert_allclose(bootstrap_ratio(above, above)[:3], 1.0)


def test_the_interval_of_a_ratio_is_paired():
    """Clips differ much, the share of each hardly at all: only a paired interval is narrow."""
    rng = np.random.default_rng(0)
    below = rng.normal(7, 2, 64)
    above = 0.9 * below + rng.normal(0, 0.1, 64)
    ours = bootstrap_ratio(above, below)
    theirs = scipy.stats.bootstrap(
        (above, below),
        lambda a, b, axis: a.mean(axis) / b.mean(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = ours.high - ours.low
    assert ours.value == pytest.approx(0.9, abs=0.01)
    assert width < 0.02
    assert ours.low == pytest.approx(theirs.low, abs=0.1 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.1 * width)


def test_the_seed_decides():
    values = np.random.default_rng(4).random(30)
    assert bootstrap_mean(values, seed=7) == bootstrap_mean(values, seed=7)
    assert bootstrap_mean(values, seed=7) != bootstrap_mean(values, seed=8)


def test_equal_clips_leave_no_interval():
    found = bootstrap_mean(np.full(5, 21.25))
    np.testing.assert_allclose(found[:3], 21.25, rtol=1e-14)


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
