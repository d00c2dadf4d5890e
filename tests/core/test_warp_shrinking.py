"""Pictures that shrink: no aliasing, no shimmer, nothing that jumps."""

import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from tpc_jax._types import Transform2D
from tpc_jax.studies.people import (
    clip_rng,
    render_clip,
    sample_motion,
    sample_person,
    sample_scene,
)
from tpc_jax.warp import build_pyramid, grid_step, sample_image, sampling_grid, warp_image

OUT = (512, 512)
# Side of the reference, and its pixels per pixel of the canvas.
CASES = [(2048, 4), (2048, 8), (512, 2)]

jit_warp = jax.jit(warp_image, static_argnums=2, static_argnames=("interpolation", "border"))


@functools.lru_cache
def drawn_person(side):
    """A drawn person and, as the fourth channel, where it is."""
    rng = clip_rng(11, 3, "test")
    people = sample_person(rng), sample_scene(rng), sample_motion(rng, 2)
    clip = render_clip(*people, side, frames=[0])
    picture = np.dstack([clip.frames[0] / np.float32(255), clip.mask[0]])
    return picture.astype(np.float32)


@functools.lru_cache
def sharp_person(side):
    """The same in clothes with details of every size, as photographs have them."""
    noise = np.fft.rfft2(np.random.default_rng(0).normal(size=(side, side)))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    texture = np.fft.irfft2(noise / np.maximum(frequency, 1 / side))
    texture = np.clip(0.5 + 0.2 * texture / texture.std(), 0, 1)[..., None]
    picture = drawn_person(side).copy()
    picture[..., :3] = np.where(picture[..., 3:] > 0.5, texture, picture[..., :3])
    return picture


def about_the_middle(side, step, shift=(0.3, 0.0), out=OUT, dtype=np.float32):
    linear = np.eye(2) / step
    offset = (np.array(out[::-1]) - 1) / 2 - linear @ np.full(2, (side - 1) / 2) + shift
    return Transform2D(jnp.asarray(linear, dtype), jnp.asarray(offset, dtype))


@jax.jit
def supersampled(picture, transform):
    """Return the mean of 8 x 8 bicubic samples per pixel, the truth of these tests."""
    places = (np.arange(8, dtype=np.float32) + 0.5) / 8 - 0.5

    def add(total, shift):
        moved = Transform2D(transform.linear, transform.offset - shift)
        positions, _ = sampling_grid(moved, *OUT)
        return total + jnp.clip(sample_image(picture, positions), 0, 1), None

    shifts = jnp.stack(jnp.meshgrid(places, places), axis=-1).reshape(-1, 2)
    return jax.lax.scan(add, jnp.zeros((*OUT, 4), jnp.float32), shifts)[0] / 64


@jax.jit
def unfiltered(picture, transform):
    return jnp.clip(sample_image(picture, sampling_grid(transform, *OUT)[0]), 0, 1)


def person_psnr(ours, truth):
    is_person = truth[..., 3] > 0.5
    return -10 * np.log10(np.square(ours - truth)[is_person, :3].mean())


@pytest.mark.parametrize(("draw", "bound"), [(drawn_person, 39), (sharp_person, 34)])
@pytest.mark.parametrize(("side", "step"), CASES)
def test_people_that_shrink_come_out_as_if_supersampled(side, step, draw, bound):
    picture, transform = draw(side), about_the_middle(side, step)
    truth = np.asarray(supersampled(picture, transform))
    assert person_psnr(np.asarray(jit_warp(picture, transform, OUT)), truth) >= bound
    assert person_psnr(np.asarray(unfiltered(picture, transform)), truth) < bound - 6
    levels = np.rint(255 * picture).astype(np.uint8)
    assert person_psnr(np.asarray(jit_warp(levels, transform, OUT)) / 255, truth) >= bound - 0.5
    # The mask is a picture like any other.
    mask = np.asarray(jit_warp(picture[..., 3:], transform, OUT))[..., 0]
    assert np.abs(mask - truth[..., 3]).max() < 0.25
    assert abs(mask.sum() / truth[..., 3].sum() - 1) < 1e-3


@pytest.mark.parametrize(("side", "step"), CASES)
def test_moving_people_shimmer_no_more_than_if_supersampled(side, step):
    picture = sharp_person(side)
    moved = [about_the_middle(side, step, (0.37 * i, 0.0)) for i in range(3)]
    truth = np.stack([supersampled(picture, transform) for transform in moved])
    is_person = truth[0, ..., 3] > 0.5

    def change(frames):
        return np.abs(np.diff(frames, axis=0))[:, is_person, :3].mean()

    ours, before = (
        change(np.stack([warp(transform) for transform in moved]))
        for warp in (lambda x: jit_warp(picture, x, OUT), lambda x: unfiltered(picture, x))
    )
    assert ours <= 1.1 * change(truth)
    assert before > 1.5 * change(truth)


def noise(height, width, channels=3):
    return np.random.default_rng(height).uniform(size=(height, width, channels))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_nothing_jumps_while_a_picture_shrinks(interpolation):
    picture = noise(200, 200)
    for step in (1, 1.4, 2.8, 5.6):
        near, far = (
            np.asarray(jit_warp(picture, transform, (40, 40), interpolation=interpolation))
            for transform in (
                about_the_middle(200, step * x, out=(40, 40), dtype=np.float64)
                for x in (1 - 1e-7, 1 + 2e-4 if step == 1 else 1 + 1e-7)
            )
        )
        assert near.std() > 0.01
        assert np.abs(near - far).max() < (2e-2 if step == 1 else 1e-4)


@pytest.mark.parametrize("step", [1.0, 1.2, 3.3, 20.0, 1000.0])
def test_one_colour_stays_one_colour(step):
    transform = about_the_middle(67, step, out=(20, 20), dtype=np.float64)
    for border in ("edge", "reflect"):
        warped = jit_warp(np.full((67, 67, 1), 0.7), transform, (20, 20), border=border)
        np.testing.assert_allclose(warped, 0.7, atol=1e-9)


@pytest.mark.parametrize("step", [1.1, 2.3, 5.0, 9.0])
def test_what_a_picture_covers_shrinks_with_it(step):
    """Odd sizes too, whose halvings reach beyond the edge."""
    transform = about_the_middle(71, step, out=(96, 96), dtype=np.float64)
    warped = jit_warp(np.ones((71, 71, 1)), transform, (96, 96))
    assert abs(float(warped.sum()) * step**2 / 71**2 - 1) < 0.02


def test_the_axis_that_shrinks_most_decides():
    def step(linear):
        return float(grid_step(Transform2D(jnp.asarray(linear, float), jnp.zeros(2))))

    assert step([[0.0, -0.25], [0.25, 0.0]]) == pytest.approx(4)
    assert step([[0.5, 0.0], [0.0, 2.0]]) == pytest.approx(2)
    assert step([[0.5, 0.5], [0.0, 1.0]]) == pytest.approx(2)
    assert step([[1.0, 1.0], [1.0, 1.0]]) == 1


def test_one_pyramid_serves_many_warps():
    picture, border = noise(45, 38), "edge"
    pyramid = jax.jit(build_pyramid, static_argnums=1)(picture, border)
    each = [about_the_middle(40, step, out=(30, 33), dtype=np.float64) for step in (0.7, 1.3, 3, 9)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    expected = np.stack([jit_warp(picture, one, (30, 33), border=border) for one in each])

    def warp(transform):
        return warp_image(pyramid, transform, (30, 33), border=border)

    for mapped in (jax.vmap(warp), lambda x: jax.lax.map(warp, x)):
        np.testing.assert_allclose(jax.jit(mapped)(batch), expected, atol=1e-12)


@jax.jit
def mean_square(picture, linear, offset):
    warped = warp_image(picture, Transform2D(linear, offset), (12, 14))
    return jnp.square(warped).mean()


@pytest.mark.parametrize("step", [0.6, 1.2, 1.9, 4.7])
def test_gradients_are_those_of_finite_differences(step):
    picture = cv2.GaussianBlur(noise(60, 60), (0, 0), 2)
    turn = np.array([[0.8, -0.6], [0.6, 0.8]]) / step
    loss = functools.partial(mean_square, picture)
    check_grads(loss, (turn, np.array([3.2, 4.1])), order=1, modes=["rev"], eps=1e-6)


def test_gradients_stay_finite_whatever_the_transform():
    gradient = functools.partial(jax.grad(mean_square, argnums=(1, 2)), noise(60, 60))
    for linear in ([[0.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [2.0, 4.0]], [[np.nan, 0.0], [0.0, 1.0]]):
        for value in gradient(jnp.asarray(linear), jnp.zeros(2)):
            assert (value == 0).all()
    for scale in (1e-6, 1.0, 1e6):
        for value in gradient(scale * jnp.eye(2), jnp.full(2, 3.3)):
            assert jnp.isfinite(value).all()
