import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import rotation

from tpc_jax import Transform2D
from tpc_jax.procrustes import transform

apply, compose, invert = map(jax.jit, (transform.apply, transform.compose, transform.invert))
angle_of, scale_of = map(jax.jit, (transform.angle_of, transform.scale_of))
to_matrix, from_angle_scale = map(jax.jit, (transform.to_matrix, transform.from_angle_scale))


def random_transforms(rng, *batch):
    return Transform2D(
        jnp.asarray(rng.normal(size=(*batch, 2, 2))), jnp.asarray(rng.normal(size=(*batch, 2)))
    )


def assert_equal(one, other, tolerance=1e-12):
    for x, y in zip(one, other, strict=True):
        np.testing.assert_allclose(x, y, atol=tolerance)


def test_compose_applies_the_right_one_first(rng):
    c_from_b, b_from_a = random_transforms(rng, 4), random_transforms(rng, 4)
    xy = jnp.asarray(rng.normal(size=(4, 9, 2)))
    once = apply(compose(c_from_b, b_from_a), xy)
    np.testing.assert_allclose(once, apply(c_from_b, apply(b_from_a, xy)), atol=1e-12)


def test_invert_undoes(rng):
    b_from_a = random_transforms(rng, 3, 4)
    identity = transform.identity((3, 4), jnp.float64)
    assert_equal(compose(invert(b_from_a), b_from_a), identity, 1e-9)
    assert_equal(compose(b_from_a, invert(b_from_a)), identity, 1e-9)


def test_inverting_a_singular_transform_is_finite():
    flat = Transform2D(jnp.zeros((2, 2)), jnp.ones(2))
    assert_equal(invert(flat), (np.zeros((2, 2)), np.zeros(2)))


def test_matrix_round_trip_and_action(rng):
    b_from_a = random_transforms(rng, 5)
    matrix = to_matrix(b_from_a)
    assert_equal(transform.from_matrix(matrix), b_from_a)
    assert_equal(transform.from_matrix(matrix[:, :2]), b_from_a)
    xy = rng.normal(size=(5, 1, 2))
    column = np.concatenate([xy, np.ones((5, 1, 1))], axis=-1)
    np.testing.assert_allclose(
        apply(b_from_a, jnp.asarray(xy)),
        np.einsum("bij,bpj->bpi", matrix, column)[..., :2],
        atol=1e-12,
    )
    with pytest.raises((ValueError, TypeError)):
        transform.from_matrix(jnp.eye(4))


def test_angle_and_scale_round_trip(rng):
    angle = jnp.asarray(rng.uniform(-np.pi, np.pi, 20))
    scale = jnp.asarray(rng.uniform(0.2, 5, 20))
    turned = from_angle_scale(angle, scale)
    np.testing.assert_allclose(turned.linear[3], scale[3] * rotation(angle[3]), atol=1e-12)
    np.testing.assert_allclose(angle_of(turned), angle, atol=1e-12)
    np.testing.assert_allclose(scale_of(turned), scale, atol=1e-12)


def test_positive_angles_turn_x_towards_y():
    turned = from_angle_scale(jnp.asarray(np.pi / 2), jnp.asarray(2.0))
    np.testing.assert_allclose(apply(turned, jnp.asarray([[1.0, 0.0]])), [[0.0, 2.0]], atol=1e-12)


def test_pivot_stays_but_for_the_offset(rng):
    pivot, offset = jnp.asarray([100.0, 50.0]), jnp.asarray([3.0, -4.0])
    turned = from_angle_scale(jnp.asarray(0.7), jnp.asarray(1.5), offset=offset, pivot=pivot)
    np.testing.assert_allclose(apply(turned, pivot[None])[0], pivot + offset, atol=1e-12)


def test_angle_and_scale_of_zero_have_finite_gradients():
    zero = Transform2D(jnp.zeros((2, 2)), jnp.zeros(2))
    for measure in (angle_of, scale_of):
        assert all(np.isfinite(x).all() for x in jax.jit(jax.grad(measure))(zero))


smooth_compiled = jax.jit(transform.smooth, static_argnums=3)


@jax.jit
def turn_about(pivot, angle, scale, image):
    return from_angle_scale(
        angle, scale, offset=image, pivot=jnp.broadcast_to(pivot[None], image.shape)
    )


def walk(rng, frames=40):
    """A person who turns through more than a circle, with jitter."""
    angle = np.linspace(2.5, 10, frames) + 0.1 * rng.normal(size=frames)
    scale = np.exp(np.linspace(-0.5, 0.5, frames) + 0.05 * rng.normal(size=frames))
    pivot = np.array([250.0, 260.0])
    image = np.stack([np.linspace(0, 60, frames), np.zeros(frames)], axis=1)
    image += rng.normal(size=(frames, 2))
    return turn_about(pivot, angle, scale, image), jnp.asarray(pivot)


def test_smoothing_keeps_a_steady_turn_about_the_pivot():
    frames, pivot = 30, jnp.asarray([250.0, 260.0])
    angle = np.linspace(-3.0, 9.0, frames)
    turn = turn_about(pivot, angle, np.full(frames, 1.3), np.zeros((frames, 2)))
    smooth = smooth_compiled(turn, jnp.ones(frames), pivot, 1.5)
    # Away from the ends, where one-sided averages lag, a linear angle is a fixed point.
    inner = slice(8, -8)
    np.testing.assert_allclose(smooth.linear[inner], turn.linear[inner], atol=1e-6)
    np.testing.assert_allclose(smooth.offset[inner], turn.offset[inner], atol=1e-3)
    # The pivot does not move at all although the offset swings by hundreds of pixels.
    images = apply(smooth, jnp.tile(pivot, (frames, 1, 1)))[:, 0]
    np.testing.assert_allclose(images, np.tile(pivot, (frames, 1)), atol=1e-9)


def test_smoothing_reduces_jitter_and_stays_a_similarity(rng):
    jittery, pivot = walk(rng)
    smooth = smooth_compiled(jittery, jnp.ones(40), pivot, 2.0)
    linear = np.asarray(smooth.linear)
    np.testing.assert_allclose(linear[:, 0, 0], linear[:, 1, 1], atol=1e-12)
    np.testing.assert_allclose(linear[:, 0, 1], -linear[:, 1, 0], atol=1e-12)

    def roughness(transforms):
        angle = np.unwrap(angle_of(transforms))
        return np.abs(np.diff(angle, 2)).mean()

    assert roughness(smooth) < 0.2 * roughness(jittery)


def test_smoothing_interpolates_frames_without_weight(rng):
    steady = from_angle_scale(jnp.full(9, 0.4), jnp.full(9, 1.2), offset=jnp.ones((9, 2)))
    broken = Transform2D(
        steady.linear.at[4].set(jnp.eye(2)), steady.offset.at[4].set(jnp.asarray([500.0, 0.0]))
    )
    weight = jnp.ones(9).at[4].set(0.0)
    smooth = smooth_compiled(broken, weight, jnp.asarray([10.0, 20.0]), 1.0)
    assert_equal(smooth, steady, 1e-9)


def test_smoothing_keeps_a_constant_affine_transform(rng):
    one = random_transforms(rng)
    clip = Transform2D(jnp.tile(one.linear, (6, 1, 1)), jnp.tile(one.offset, (6, 1)))
    assert_equal(smooth_compiled(clip, jnp.ones(6), jnp.asarray([5.0, 6.0]), 1.0), clip, 1e-9)
    assert transform.smooth(clip, jnp.ones(6), jnp.asarray([5.0, 6.0]), 0.0) is clip
