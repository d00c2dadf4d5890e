import math
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import brute_force_subset, person, random_similarity, rotation
from scipy.spatial import procrustes

from tpc_jax import SolveStatus, fit_trimmed, search_subset, solve_similarity
from tpc_jax.procrustes.subsets import procrustes_distance, subset_table


@jax.jit
def solve_one(ref, drv, weight):
    """Compile search and fit once per float type for all single problems of 17 points."""
    return search_subset(ref, drv, weight), fit_trimmed(ref, drv, weight)


fit_one = jax.jit(solve_similarity)


def search(ref, drv, weight, dtype=np.float64):
    return np.asarray(solve_one(*as_arrays(ref, drv, weight, dtype=dtype))[0])


def fit(ref, drv, weight, dtype=np.float64):
    return jax.tree.map(np.asarray, solve_one(*as_arrays(ref, drv, weight, dtype=dtype))[1])


def as_arrays(*values, dtype=np.float64):
    return tuple(jnp.asarray(np.asarray(x, dtype)) for x in values)


def test_table_serves_every_number_of_visible_points():
    table = subset_table(17)
    assert len(table.member) == 41_879
    for n in range(3, 18):
        size = max(3, math.ceil(n / 2))
        assert table.size_for[n] == size
        rows = (table.size == size) & (table.span <= n)
        assert rows.sum() == math.comb(n, size)
        assert not table.member[rows][:, n:].any()
        patterns = table.member[rows] @ (1 << np.arange(17))
        assert (np.diff(patterns) > 0).all()
    assert list(table.size_for[:3]) == [0, 1, 2]


@pytest.mark.parametrize(("num_points", "coverage"), [(1, 0.5), (21, 0.5), (17, 0.0), (17, 1.1)])
def test_table_rejects_what_it_cannot_hold(num_points, coverage):
    with pytest.raises(ValueError, match="must lie in"):
        subset_table(num_points, coverage)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_brute_force_over_all_subsets_of_seventeen_points(dtype, rng):
    ref, drv = rng.normal(size=(2, 24, 17, 2)) * 90 + 250
    # Half of the problems are noisy people instead of unrelated clouds.
    for i in range(12):
        linear, offset = random_similarity(rng)
        moved = rng.permutation(17)[: rng.integers(0, 8)]
        drv[i] = ref[i] @ linear.T + offset + 6 * rng.normal(size=(17, 2))
        drv[i, moved] += rng.normal(size=(len(moved), 2)) * 150
    for r, d in zip(ref, drv, strict=True):
        expected = brute_force_subset(r, d, np.ones(17), 9)
        np.testing.assert_array_equal(search(r, d, np.ones(17), dtype), expected)


@pytest.mark.parametrize("num_visible", range(2, 17))
def test_equals_brute_force_with_masked_points_and_weights(num_visible, rng):
    size = min(num_visible, max(3, math.ceil(num_visible / 2)))
    for _ in range(4):
        ref, drv = rng.normal(size=(2, 17, 2)) * 90 + 250
        weight = rng.uniform(0.3, 1, size=17)
        hidden = rng.permutation(17)[num_visible:]
        weight[hidden] = 0
        expected = brute_force_subset(ref, drv, weight, size)
        drv[hidden] = np.nan
        np.testing.assert_array_equal(search(ref, drv, weight), expected)


def test_of_equal_subsets_the_lowest_bit_pattern_wins(rng):
    ref = person(rng)
    linear, offset = random_similarity(rng)
    weight = np.ones(17)
    weight[[2, 5]] = 0
    for dtype in (np.float32, np.float64):
        found = search(ref, ref @ linear.T + offset, weight, dtype)
        assert list(np.flatnonzero(found)) == [0, 1, 3, 4, 6, 7, 8, 9]


def test_coverage_sets_the_size(rng):
    ref, drv = rng.normal(size=(2, 17, 2))
    found = jax.jit(partial(search_subset, coverage=0.75))(*as_arrays(ref, drv, np.ones(17)))
    np.testing.assert_array_equal(found, brute_force_subset(ref, drv, np.ones(17), 13))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["jitter", "far", "very far", "together", "copied", "collapsed"])
def test_seven_of_seventeen_points_moved_anywhere(kind, dtype, rng):
    for _ in range(20):
        ref = person(rng)
        linear, offset = random_similarity(rng)
        drv = ref @ linear.T + offset
        moved = rng.permutation(17)[:7]
        match kind:
            case "jitter":
                drv[moved] += rng.normal(size=(7, 2)) * 30
            case "far":
                drv[moved] = rng.uniform(-2000, 2000, (7, 2))
            case "very far":
                drv[moved] = rng.uniform(-1e6, 1e6, (7, 2))
            case "together":  # a second rigid body, turned and shifted
                drv[moved] = drv[moved] @ rotation(1.0).T + [80, -40]
            case "copied":  # left taken for right
                drv[moved] = drv[np.roll(moved, 1)]
            case "collapsed":
                drv[moved] = [100, 100]
        found = fit(ref, drv, np.ones(17), dtype).result
        assert found.status == SolveStatus.OK
        scale = np.sqrt(np.linalg.det(linear))
        assert np.abs(found.drv_from_ref.linear - linear).max() < 0.01 * scale
        centre = ref.mean(axis=0)
        shift = (found.drv_from_ref.linear - linear) @ centre + found.drv_from_ref.offset - offset
        assert np.linalg.norm(shift) < 0.01 * scale * np.sqrt(ref.var(axis=0).sum())


def test_noise_and_seven_moved_points_together(rng):
    errors = []
    for _ in range(20):
        ref = person(rng)
        linear, offset = random_similarity(rng)
        scale = np.sqrt(np.linalg.det(linear))
        drv = ref @ linear.T + offset + 0.01 * 125 * scale * rng.normal(size=(17, 2))
        moved = rng.permutation(17)[:7]
        drv[moved] += 80 * scale * rng.normal(size=(7, 2))
        found = fit(ref, drv, np.ones(17)).result.drv_from_ref
        errors.append(np.abs(found.linear - linear).max() / scale)
    # Ten true inliers would give 0.01 / sqrt(10) = 0.003; a few near misses are let in.
    assert np.median(errors) < 0.01
    assert max(errors) < 0.05


def test_reweighting_admits_all_inliers_and_no_outlier(rng):
    ref = person(rng)
    linear, offset = random_similarity(rng)
    drv = ref @ linear.T + offset
    drv[[1, 8, 15]] += [[90, 0], [0, -120], [70, 70]]
    found = fit(ref, drv, np.ones(17))
    assert list(np.flatnonzero(~found.subset)) == [1, 8, 15]


def test_compact_subsets_are_not_favoured(rng):
    # Five close points with nothing in common, and five spread ones that agree to 2 pixels.
    ref = person(rng)
    ref[:5] = ref[0] + rng.normal(size=(5, 2))
    drv = ref + 2 * rng.normal(size=ref.shape)
    drv[:5] = ref[:5] + rng.normal(size=(5, 2))
    weight, cluster = np.ones(17), np.arange(17) < 5
    weight[10:] = 0

    def residual(subset):
        return fit_one(*as_arrays(ref, drv, subset)).residual

    assert residual(cluster) < residual(~cluster & (weight > 0))
    assert not search(ref, drv, weight)[cluster].all()


def test_masked_points_have_no_effect(rng):
    ref, drv, weight = person(rng), person(rng), np.ones(17)
    weight[[0, 6, 9]] = 0
    expected = fit(ref, drv, weight)
    for junk in (np.nan, np.inf, 1e30):
        ref[6], drv[9] = junk, junk
        found = fit(ref, drv, weight)
        for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_array_equal(x, y)
        assert not found.subset[[0, 6, 9]].any()


@pytest.mark.parametrize("num_visible", [0, 1])
def test_too_few_points_have_no_subset(num_visible, rng):
    weight = np.zeros(17)
    weight[:num_visible] = 1
    found = fit(person(rng), person(rng), weight)
    assert not search(person(rng), person(rng), weight).any()
    assert found.result.status == SolveStatus.TOO_FEW_POINTS
    np.testing.assert_array_equal(found.result.drv_from_ref.linear, np.eye(2))


def test_coincident_points_are_degenerate_not_nan(rng):
    spot, cloud = np.full((17, 2), 30.0), person(rng)
    for ref, drv in ((spot, cloud), (cloud, spot), (spot, spot)):
        found = fit(ref, drv, np.ones(17))
        assert found.result.status == SolveStatus.ZERO_SPREAD
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


def test_the_subset_does_not_depend_on_either_frame(rng):
    ref, drv = person(rng), person(rng)
    linear, offset = random_similarity(rng)
    expected = search(ref, drv, np.ones(17))
    np.testing.assert_array_equal(search(ref @ linear.T + offset, drv, np.ones(17)), expected)
    np.testing.assert_array_equal(search(ref, drv @ linear.T + offset, np.ones(17)), expected)


def test_vmap_equals_loop_and_visibility_does_not_retrace(rng):
    chex.clear_trace_counter()
    batched = jax.jit(jax.vmap(chex.assert_max_traces(search_subset, n=1)))
    for visible_share in (0.9, 0.5):
        ref, drv = rng.normal(size=(2, 3, 17, 2))
        weight = (rng.uniform(size=(3, 17)) < visible_share).astype(float)
        expected = [search(*problem) for problem in zip(ref, drv, weight, strict=True)]
        np.testing.assert_array_equal(batched(*as_arrays(ref, drv, weight)), expected)


def test_gradients_flow_through_the_fit_alone(rng):
    ref, drv, weight = as_arrays(person(rng), person(rng), np.ones(17))
    found = fit(ref, drv, weight)

    def loss(drv):
        return jnp.sum(fit_trimmed(ref, drv, weight).result.drv_from_ref.linear)

    gradient = np.asarray(jax.jit(jax.grad(loss))(drv))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
    assert not gradient[~found.subset].any()


def test_procrustes_distance_is_the_disparity_of_scipy(rng):
    # SciPy's disparity of two unit-size shapes is the same share, where no reflection is better.
    ref = person(rng)
    linear, offset = random_similarity(rng)
    drv = ref @ linear.T + offset + 10 * rng.normal(size=ref.shape)
    distance = jax.jit(procrustes_distance)(*as_arrays(ref, drv, np.ones(17)))
    np.testing.assert_allclose(distance, procrustes(drv, ref)[2], rtol=1e-9)
