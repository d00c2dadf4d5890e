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


@pytest.mark.parametrize("sides", [(1, 1), (1, -1)])
@pytest.mark.parametrize("second", [11, 14])
def test_frames_that_are_upside_down_turn_nobody_through_a_circle(second, sides):
    angle, wrong = np.zeros(30), np.array([10, second])
    angle[wrong] = np.multiply(sides, np.radians(137))
    pivot = jnp.asarray([250.0, 260.0])
    turned = turn_about(pivot, angle, np.ones(30), np.zeros((30, 2)))
    calm = np.degrees(np.asarray(angle_of(smooth_compiled(turned, jnp.ones(30), pivot, 2.0))))
    assert np.abs(calm).max() < 45
    np.testing.assert_allclose(calm[[0, 29]], 0, atol=0.1)
    weight = jnp.ones(30).at[wrong].set(0.01)
    trusted = np.degrees(np.asarray(angle_of(smooth_compiled(turned, weight, pivot, 2.0))))
    assert np.abs(trusted).max() < 0.5


def test_headings_that_cancel_out_keep_their_own_and_have_gradients():
    pivot = jnp.asarray([3.0, 4.0])

    def smoothed(angle):
        clip = turn_about(pivot, angle, jnp.ones(2), jnp.zeros((2, 2)))
        return transform.smooth(clip, jnp.ones(2), pivot, 1e6)

    angle = jnp.asarray([0.0, np.pi])
    linear = jax.jit(smoothed)(angle).linear
    np.testing.assert_allclose(linear, [np.eye(2), -np.eye(2)], atol=1e-6)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(smoothed(x).linear)))(angle)
    assert np.isfinite(gradient).all()


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


fill = jax.jit(transform.fill_gaps)


def test_filling_gaps_agrees_with_a_loop(rng):
    pivot = np.array([30.0, -20.0])
    for _ in range(20):
        weight = np.where(rng.uniform(size=9) > 0.6, rng.uniform(0.1, 1, 9), 0)
        angle, scale = rng.uniform(-np.pi, np.pi, 9), rng.uniform(0.5, 2, 9)
        given = turn_about(pivot, angle, scale, rng.normal(size=(9, 2)))
        image = np.asarray(apply(given, jnp.tile(jnp.asarray(pivot), (9, 1, 1))))[:, 0]
        filled, weights = fill(given, jnp.asarray(weight), jnp.asarray(pivot))
        valid = np.flatnonzero(weight)
        for frame in range(9):
            before, after = valid[valid <= frame], valid[valid >= frame]
            if not len(valid):
                expected = (np.zeros(()), np.ones(()), pivot, 0)
            elif len(before) and len(after):
                a, b = before[-1], after[0]
                t = (frame - a) / max(b - a, 1)
                turn = np.angle(np.exp(1j * (angle[b] - angle[a])))
                expected = (
                    angle[a] + t * turn,
                    scale[a] ** (1 - t) * scale[b] ** t,
                    (1 - t) * image[a] + t * image[b],
                    (1 - t) * weight[a] + t * weight[b],
                )
            else:
                nearest = before[-1] if len(before) else after[0]
                expected = (angle[nearest], scale[nearest], image[nearest], 0)
            one = Transform2D(filled.linear[frame], filled.offset[frame])
            expected_linear = from_angle_scale(jnp.asarray(expected[0]), jnp.asarray(expected[1]))
            np.testing.assert_allclose(one.linear, expected_linear.linear, atol=1e-9)
            np.testing.assert_allclose(one.linear @ pivot + one.offset, expected[2], atol=1e-9)
            np.testing.assert_allclose(weights[frame], expected[3], atol=1e-12)
            if weight[frame]:
                np.testing.assert_array_equal(one.linear, given.linear[frame])


def test_gaps_of_affine_transforms_are_bridged_and_any_content_is_harmless(rng):
    one = random_transforms(rng)
    clip = Transform2D(jnp.tile(one.linear, (5, 1, 1)), jnp.tile(one.offset, (5, 1)))
    weight, pivot = jnp.asarray([0.0, 1.0, 0.0, 1.0, 0.0]), jnp.asarray([5.0, 6.0])
    gaps = weight[:, None] == 0

    def filled(linear, offset):
        broken = Transform2D(
            jnp.where(gaps[:, None], jnp.nan, linear), jnp.where(gaps, jnp.inf, offset)
        )
        return transform.fill_gaps(broken, weight, pivot)[0]

    assert_equal(jax.jit(filled)(*clip), clip, 1e-9)
    total = jax.jit(jax.grad(lambda x: sum(jnp.sum(y) for y in filled(*x))))(clip)
    assert all(np.isfinite(x).all() and np.any(x) for x in total)
