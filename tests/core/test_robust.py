import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.procrustes.robust import admit_inliers, trimmed_variance_ratio


@pytest.mark.parametrize("share", [0.5, 0.75, 0.95, 1.0])
def test_trimmed_variance_ratio_matches_sampling(share, rng):
    squared = np.sort(np.sum(rng.normal(size=(400_000, 2)) ** 2, axis=1))
    kept = squared[: int(share * len(squared))]
    ratio = trimmed_variance_ratio(jnp.asarray(share))
    assert ratio == pytest.approx(kept.mean() / 2, rel=0.01)


def test_nothing_kept_needs_no_correction():
    assert trimmed_variance_ratio(jnp.asarray(0.0)) == 1.0


compiled = jax.jit(admit_inliers, static_argnames=("band", "band_floor"))


def admit(squared_error, subset, valid, **options):
    defaults = {"band": 2.0, "band_floor": 0.02}
    return np.asarray(
        compiled(
            jnp.asarray(squared_error, float), jnp.asarray(subset), jnp.asarray(valid),
            jnp.asarray(100.0), **(defaults | options),
        )
    )  # fmt: skip


def test_band_scales_with_the_deviation_of_the_subset():
    # Five of seven points with squared error 12 and six degrees of freedom.
    ratio = float(trimmed_variance_ratio(jnp.asarray(5 / 7)))
    limit = 2.0**2 * 5 * 12 / 6 / ratio
    squared = [12, 12, 12, 12, 12, 0.99 * limit, 1.01 * limit]
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
