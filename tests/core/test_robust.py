import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.procrustes.robust import admit_inliers, trimmed_variance_ratio


@pytest.mark.parametrize("coverage", [0.5, 0.75, 0.95])
def test_trimmed_variance_ratio_matches_sampling(coverage, rng):
    squared = np.sort(np.sum(rng.normal(size=(400_000, 2)) ** 2, axis=1))
    kept = squared[: int(coverage * len(squared))]
    assert trimmed_variance_ratio(coverage) == pytest.approx(kept.mean() / 2, rel=0.01)


def test_nothing_trimmed_needs_no_correction():
    assert trimmed_variance_ratio(1.0) == 1.0
    with pytest.raises(ValueError, match=r"coverage must lie in \(0, 1\]"):
        trimmed_variance_ratio(0.0)


def admit(squared_error, subset, valid, **options):
    defaults = {"coverage": 1.0, "band": 2.0, "band_floor": 0.02}
    return np.asarray(
        admit_inliers(
            jnp.asarray(squared_error, float), jnp.asarray(subset), jnp.asarray(valid),
            jnp.asarray(100.0), **(defaults | options),
        )
    )  # fmt: skip


def test_band_scales_with_the_deviation_of_the_subset():
    # Five points of squared error 12 leave six degrees of freedom: variance 10, band 40.
    squared = [12, 12, 12, 12, 12, 39, 41]
    subset = [True] * 5 + [False] * 2
    assert list(admit(squared, subset, [True] * 7)) == [True] * 6 + [False]


def test_floor_admits_what_no_detector_could_tell_apart():
    squared = [0, 0, 0, 3.9, 4.1]
    subset = [True] * 3 + [False] * 2
    assert list(admit(squared, subset, [True] * 5)) == [True] * 4 + [False]


def test_masked_points_are_never_admitted_and_members_always_stay():
    squared = [0, 0, 1e6, np.nan, 0]
    subset = [True, True, True, False, False]
    valid = [True, True, True, False, False]
    assert list(admit(squared, subset, valid, band=0.0)) == subset
