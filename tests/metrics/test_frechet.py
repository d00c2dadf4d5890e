import numpy as np
import pytest
import scipy.linalg

from tpc_jax.metrics import feature_statistics, frechet_distance, merge_statistics


def features(seed: int, count: int, length: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, length)) @ rng.normal(size=(length, length)) + rng.normal(size=1)


def by_matrix_root(a: np.ndarray, b: np.ndarray) -> float:
    """The published form: SciPy's root of the product of the covariances."""
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(first @ second).real
    shift = a.mean(0) - b.mean(0)
    return shift @ shift + np.trace(first) + np.trace(second) - 2 * np.trace(root)


def distance(a, b):
    return frechet_distance(feature_statistics(a), feature_statistics(b))


@pytest.mark.parametrize(("length", "counts"), [(3, (20, 9)), (16, (200, 150)), (64, (300, 80))])
def test_agreement_with_the_matrix_root(length, counts):
    a, b = features(0, counts[0], length), features(1, counts[1], length)
    np.testing.assert_allclose(distance(a, b), by_matrix_root(a, b), rtol=1e-9)
    np.testing.assert_allclose(distance(a, b), distance(b, a), rtol=1e-9)


@pytest.mark.parametrize("length", [16, 400])
def test_fewer_samples_than_features(length):
    """A trap: the product of such covariances has no accurate matrix root.

    The samples live in a plane of 11 dimensions; turned into coordinates of their own the
    covariances have full rank and the root is safe.
    """
    a, b = features(2, 6, length), features(3, 7, length)
    centre = a.mean(0)
    basis = np.linalg.qr(np.concatenate([a, b]).T - centre[:, None])[0]
    inner_a, inner_b = (a - centre) @ basis, (b - centre) @ basis
    cov_a, cov_b = np.cov(inner_a, rowvar=False), np.cov(inner_b, rowvar=False)
    values = np.linalg.eigvals(cov_a @ cov_b).real
    overlap = np.sqrt(np.sort(values)[-5:]).sum()  # the product has rank 5
    shift = inner_a.mean(0) - inner_b.mean(0)
    expected = shift @ shift + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap
    np.testing.assert_allclose(distance(a, b), expected, rtol=1e-9)


def test_known_distances():
    rng = np.random.default_rng(4)
    a = rng.normal(size=(50, 5))
    np.testing.assert_allclose(distance(a, a + np.array([3, 0, 4, 0, 0])), 25.0, rtol=1e-9)
    spread = 9.0 * np.trace(np.cov(a, rowvar=False))
    shift = np.sum((3 * a.mean(0)) ** 2)
    np.testing.assert_allclose(distance(a, 4 * a), spread + shift, rtol=1e-9)
    assert 0.0 <= distance(a, a) < 1e-10
    constant = np.ones((4, 5))
    assert distance(constant, constant) == 0.0


def test_one_direction_that_dwarfs_the_others():
    a, b = features(5, 60, 8), features(6, 60, 8)
    a[:, 0], b[:, 0] = a[:, 0] * 1e5, b[:, 0] * 1e5
    np.testing.assert_allclose(distance(a, b), by_matrix_root(a, b), rtol=1e-9)


def test_statistics_in_portions_equal_those_at_once():
    x = features(7, 97, 12) + 1e4  # a large mean, where sums of squares would lose digits
    whole = feature_statistics(x)
    found = feature_statistics(x[:1])
    for start, stop in ((1, 2), (2, 40), (40, 97)):
        found = merge_statistics(found, feature_statistics(x[start:stop]))
    assert found.num_samples == whole.num_samples == 97
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-14)
    np.testing.assert_allclose(found.covariance, np.cov(x, rowvar=False), rtol=1e-9, atol=1e-9)
    assert found.mean.dtype == found.scatter.dtype == np.float64


def test_the_covariance_divides_by_one_less_than_the_count():
    x = np.array([[0.0, 1.0], [2.0, 1.0]])
    np.testing.assert_array_equal(feature_statistics(x).covariance, [[2.0, 0.0], [0.0, 0.0]])


def test_scores_fall_with_more_samples_of_one_distribution():
    """A trap: compare only equal counts."""
    rng = np.random.default_rng(8)
    few, many = (distance(*rng.normal(size=(2, count, 32))) for count in (20, 2000))
    assert many < 0.2 * few


def test_bad_input_is_refused():
    one, two = feature_statistics(np.ones((1, 3))), feature_statistics(np.ones((2, 4)))
    with pytest.raises(ValueError, match="two feature vectors or more, got 1"):
        frechet_distance(one, one)
    with pytest.raises(ValueError, match="one length, got 3 and 4"):
        frechet_distance(one, two)
    with pytest.raises(ValueError, match=r"samples \[1\] are not"):
        feature_statistics(np.array([[1.0, 2.0], [np.nan, 0.0]]))
    with pytest.raises(ValueError, match="got \\(0, 3\\)"):
        feature_statistics(np.zeros((0, 3)))
