import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from problems import person, random_similarity, rotation
from skimage.transform import EuclideanTransform, SimilarityTransform

from tpc_jax import SolveStatus
from tpc_jax.procrustes.solve import (
    SOLVERS,
    nearest_rotation,
    solve_affine,
    solve_rigid,
    solve_similarity,
    solve_similarity_svd,
    solve_translation_scale,
)

ALL = [*SOLVERS.values(), solve_similarity_svd]
ROTATING = [solve_similarity, solve_rigid, solve_similarity_svd]
all_solvers = pytest.mark.parametrize("solve", ALL, ids=lambda f: f.__name__)


compiled = functools.cache(jax.jit)


def padded(ref, drv, weight=None, dtype=float):
    """Fill up to 17 points with masked NaN, so that every problem shares one compiled solver."""
    weight = np.ones(len(ref)) if weight is None else weight
    rows = ((0, 17 - len(ref)), (0, 0))
    ref, drv = (np.pad(x, rows, constant_values=np.nan) for x in (ref, drv))
    return tuple(jnp.asarray(x, dtype) for x in (ref, drv, np.pad(weight, rows[0])))


def fit(solve, ref, drv, weight=None, dtype=float):
    return compiled(solve)(*padded(ref, drv, weight, dtype))


def moved(result, ref):
    return ref @ np.asarray(result.drv_from_ref.linear).T + np.asarray(result.drv_from_ref.offset)


def known_linear(solve, rng):
    """Draw a transform that the solver's model can represent."""
    if solve is solve_affine:
        return rng.normal(size=(2, 2))
    if solve is solve_translation_scale:
        return np.exp(rng.uniform(-1, 1)) * np.eye(2)
    angle = rng.uniform(-np.pi, np.pi)
    return rotation(angle) * (1 if solve is solve_rigid else np.exp(rng.uniform(-1, 1)))


@all_solvers
@pytest.mark.parametrize("num_points", [3, 5, 17])
def test_recovers_a_known_transform(solve, num_points, rng):
    for _ in range(10):
        ref, linear, offset = person(rng, num_points), known_linear(solve, rng), rng.normal(size=2)
        result = fit(solve, ref, ref @ linear.T + offset, rng.uniform(0.1, 1, num_points))
        assert result.status == SolveStatus.OK
        np.testing.assert_allclose(result.drv_from_ref.linear, linear, atol=1e-9)
        np.testing.assert_allclose(result.drv_from_ref.offset, offset, atol=1e-7)
        assert result.residual < 1e-18 * 512**2


@pytest.mark.parametrize("solve", [*ROTATING, solve_translation_scale], ids=lambda f: f.__name__)
def test_two_points_determine_the_transform(solve, rng):
    ref, linear = person(rng, 2), known_linear(solve, rng)
    result = fit(solve, ref, ref @ linear.T)
    np.testing.assert_allclose(result.drv_from_ref.linear, linear, atol=1e-9)


@pytest.mark.parametrize(
    ("solve", "oracle", "dtype", "tolerance"),
    [
        (solve_similarity, SimilarityTransform, np.float64, 1e-9),
        (solve_similarity_svd, SimilarityTransform, np.float64, 1e-9),
        (solve_similarity, SimilarityTransform, np.float32, 1e-5),
        (solve_similarity_svd, SimilarityTransform, np.float32, 1e-5),
        (solve_rigid, EuclideanTransform, np.float64, 1e-9),
    ],
)
@pytest.mark.parametrize("noise", [0.0, 20.0])
def test_agrees_with_scikit_image(solve, oracle, dtype, tolerance, noise, rng):
    for _ in range(10):
        ref = person(rng)
        linear, offset = random_similarity(rng)
        if oracle is EuclideanTransform:
            linear /= np.sqrt(np.linalg.det(linear))
        drv = ref @ linear.T + offset + noise * rng.normal(size=ref.shape)
        expected = oracle.from_estimate(ref, drv).params
        result = fit(solve, ref, drv, dtype=dtype)
        assert result.drv_from_ref.linear.dtype == dtype
        np.testing.assert_allclose(result.drv_from_ref.linear, expected[:2, :2], atol=tolerance)
        # Pixels, on a canvas of 512.
        np.testing.assert_allclose(
            result.drv_from_ref.offset, expected[:2, 2], atol=512 * tolerance
        )
        error = np.mean(np.sum((drv - moved(result, ref)) ** 2, axis=1))
        np.testing.assert_allclose(result.residual, error, rtol=1e-4, atol=1e-6)


def test_affine_agrees_with_numpy_least_squares(rng):
    ref, drv, weight = person(rng), person(rng), rng.uniform(0.1, 1, 17)
    root = np.sqrt(weight)[:, None]
    design = np.concatenate([ref, np.ones((17, 1))], axis=1)
    expected = np.linalg.lstsq(root * design, root * drv)[0].T
    result = fit(solve_affine, ref, drv, weight)
    np.testing.assert_allclose(result.drv_from_ref.linear, expected[:, :2], atol=1e-10)
    np.testing.assert_allclose(result.drv_from_ref.offset, expected[:, 2], atol=1e-8)


def test_n_dimensional_similarity_recovers_three_dimensions(rng):
    basis = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    basis *= np.sign(np.linalg.det(basis))
    ref = rng.normal(size=(9, 3))
    result = fit(solve_similarity_svd, ref, 1.7 * ref @ basis.T + [1, 2, 3])
    np.testing.assert_allclose(result.drv_from_ref.linear, 1.7 * basis, atol=1e-12)
    np.testing.assert_allclose(result.drv_from_ref.offset, [1, 2, 3], atol=1e-12)


def test_translation_scale_minimises_the_symmetric_error(rng):
    ref = person(rng)
    linear, offset = random_similarity(rng)
    drv = ref @ linear.T + offset + 5 * rng.normal(size=ref.shape)
    weight = rng.uniform(0.1, 1, 17)

    def error(parameters):
        scale = np.exp(parameters[0])
        left = drv - scale * ref - 100 * parameters[1:]
        return np.sum(weight * np.sum(left**2, axis=1)) / scale

    best = scipy.optimize.minimize(error, np.zeros(3), tol=1e-12)
    result = fit(solve_translation_scale, ref, drv, weight)
    expected = np.exp(best.x[0]) * np.eye(2)
    np.testing.assert_allclose(result.drv_from_ref.linear, expected, atol=1e-5)
    np.testing.assert_allclose(result.drv_from_ref.offset, 100 * best.x[1:], atol=1e-2)


@all_solvers
def test_integer_weights_equal_repeated_points(solve, rng):
    ref, drv = person(rng, 6), person(rng, 6)
    repeats = np.array([1, 2, 1, 3, 1, 2])
    weighted = fit(solve, ref, drv, repeats)
    repeated = fit(solve, ref.repeat(repeats, axis=0), drv.repeat(repeats, axis=0))
    for x, y in zip(jax.tree.leaves(weighted), jax.tree.leaves(repeated), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9)


@all_solvers
@pytest.mark.parametrize("junk", [np.nan, np.inf, 1e30])
def test_masked_points_have_no_effect(solve, junk, rng):
    ref, drv, weight = person(rng, 8), person(rng, 8), np.array([1, 1, 0, 1, 0, 1, 1, 1.0])
    expected = compiled(solve)(*(jnp.asarray(x[weight > 0]) for x in (ref, drv, weight)))
    ref[2], drv[4] = junk, junk
    result = fit(solve, ref, drv, weight)
    for x, y in zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("solve", ROTATING, ids=lambda f: f.__name__)
def test_turning_the_driving_points_turns_the_fit(solve, rng):
    ref, drv, turn = person(rng), person(rng), rotation(2.0)
    result, turned = fit(solve, ref, drv), fit(solve, ref, drv @ turn.T + [7, 8])
    np.testing.assert_allclose(
        turned.drv_from_ref.linear, turn @ result.drv_from_ref.linear, atol=1e-9
    )
    np.testing.assert_allclose(turned.residual, result.residual, rtol=1e-9)


@pytest.mark.parametrize("solve", ROTATING, ids=lambda f: f.__name__)
def test_a_mirrored_person_never_yields_a_reflection(solve, rng):
    for _ in range(20):
        ref = person(rng)
        result = fit(solve, ref, ref * [-1, 1] + rng.normal(size=(17, 2)))
        linear = np.asarray(result.drv_from_ref.linear)
        assert np.linalg.det(linear) > 0
        np.testing.assert_allclose(linear[0, 0], linear[1, 1], atol=1e-9)
        np.testing.assert_allclose(linear[0, 1], -linear[1, 0], atol=1e-9)


def test_affine_may_reflect(rng):
    ref = person(rng)
    result = fit(solve_affine, ref, ref * [-1, 1])
    np.testing.assert_allclose(result.drv_from_ref.linear, np.diag([-1, 1]), atol=1e-9)


@all_solvers
def test_vmap_equals_loop(solve, rng):
    ref, drv = (jnp.asarray(rng.normal(size=(6, 17, 2))) for _ in range(2))
    weight = jnp.asarray(rng.uniform(size=(6, 17)) * (rng.uniform(size=(6, 17)) > 0.3))
    batched = jax.jit(jax.vmap(solve))(ref, drv, weight)
    for i in range(6):
        single = compiled(solve)(ref[i], drv[i], weight[i])
        for x, y in zip(jax.tree.leaves(batched), jax.tree.leaves(single), strict=True):
            np.testing.assert_allclose(x[i], y, rtol=1e-10, atol=1e-12)


def degenerate_cases():
    line = np.outer(np.arange(6.0), [1, 2]) + 100
    cloud = np.array([[0, 0], [100, 0], [30, 50], [10, 80], [90, 20], [40, 40.0]])
    spot = np.full((6, 2), 123.456)
    for solve in ALL:
        yield solve, cloud, cloud, np.zeros(6), SolveStatus.TOO_FEW_POINTS
        yield solve, cloud, cloud, np.eye(6)[0], SolveStatus.TOO_FEW_POINTS
        yield solve, spot, cloud, np.ones(6), SolveStatus.ZERO_SPREAD
        yield solve, cloud, spot, np.ones(6), SolveStatus.ZERO_SPREAD
        yield solve, spot, spot, np.ones(6), SolveStatus.ZERO_SPREAD
    two = np.array([1.0, 1, 0, 0, 0, 0])
    yield solve_affine, cloud, cloud, two, SolveStatus.TOO_FEW_POINTS
    yield solve_affine, line, cloud, np.ones(6), SolveStatus.ZERO_SPREAD
    yield solve_similarity_svd, np.eye(6, 3), np.eye(6, 3), two, SolveStatus.TOO_FEW_POINTS
    # A mirrored square: no rotation is better than another.
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]])
    for solve in ROTATING:
        yield solve, square, square * [-1, 1], np.ones(4), SolveStatus.ZERO_SPREAD


@pytest.mark.parametrize(("solve", "ref", "drv", "weight", "status"), list(degenerate_cases()))
def test_degenerate_input_yields_identity_a_reason_and_finite_gradients(
    solve, ref, drv, weight, status
):
    result = fit(solve, ref, drv, weight, np.float32)
    assert result.status == status
    np.testing.assert_array_equal(result.drv_from_ref.linear, np.eye(ref.shape[1]))
    np.testing.assert_array_equal(result.drv_from_ref.offset, np.zeros(ref.shape[1]))
    if weight.any():
        expected = np.average(np.sum((ref - drv) ** 2, axis=1), weights=weight)
        np.testing.assert_allclose(result.residual, expected, rtol=1e-5, atol=1e-9)

    for gradient in gradient_of_sum(solve)(*padded(ref, drv, weight, np.float32)):
        assert np.isfinite(gradient).all()


@functools.cache
def gradient_of_sum(solve):
    def total(*problem):
        out = solve(*problem)
        return jnp.sum(out.drv_from_ref.linear) + jnp.sum(out.drv_from_ref.offset) + out.residual

    return jax.jit(jax.grad(total, argnums=(0, 1)))


@all_solvers
def test_gradient_matches_finite_differences_with_a_masked_nan(solve, rng):
    ref, drv, weight = person(rng, 6) / 100, person(rng, 6) / 100, np.array([1, 1, 1, 1, 1, 0.0])
    ref[5] = np.nan

    @jax.jit
    def loss(drv):
        out = solve(jnp.asarray(ref), drv, jnp.asarray(weight))
        return jnp.sum(jnp.sin(out.drv_from_ref.linear)) + out.residual

    gradient = jax.jit(jax.grad(loss))(jnp.asarray(drv))
    assert not gradient[5].any()
    step = np.zeros_like(drv)
    for index in [(0, 0), (2, 1), (4, 0)]:
        step[index] = 1e-6
        numeric = (loss(drv + step) - loss(drv - step)) / 2e-6
        np.testing.assert_allclose(gradient[index], numeric, rtol=1e-5, atol=1e-7)
        step[index] = 0


def test_nearest_rotation_gradient_survives_equal_singular_values(rng):
    rotation_3d = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation_3d *= np.sign(np.linalg.det(rotation_3d))
    direction = rng.normal(size=(3, 3))
    matrix = jnp.asarray(2.0 * rotation_3d)
    _, slope = jax.jvp(nearest_rotation, (matrix,), (jnp.asarray(direction),))
    ahead, behind = (nearest_rotation(matrix + s * direction) for s in (1e-6, -1e-6))
    np.testing.assert_allclose(slope, (ahead - behind) / 2e-6, atol=1e-8)


def test_shapes_are_checked():
    xy, weight = jnp.ones((5, 2)), jnp.ones(5)
    # The shape annotations catch this first when they are checked, as in the tests.
    with pytest.raises((ValueError, TypeError)):
        solve_similarity(xy, xy[:4], weight)
    with pytest.raises((ValueError, TypeError)):
        solve_similarity(xy, xy, weight[:4])
