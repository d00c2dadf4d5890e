import functools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax._types import Transform2D
from tpc_jax.warp import (
    composite,
    sample_image,
    sampling_grid,
    warp_image,
    warp_image_and_mask,
    warp_mask,
)

SIZES = [((96, 96), (96, 96)), ((61, 130), (96, 80)), ((120, 75), (64, 151))]
BORDERS = {"zeros": "constant", "edge": "edge", "reflect": "reflect"}  # ours and NumPy's names
KERNELS = {"bicubic": cv2.INTER_CUBIC, "bilinear": cv2.INTER_LINEAR}

# Compiled: op by op each test would compile a hundred small programs.
jit_warp = jax.jit(warp_image, static_argnums=2, static_argnames=("interpolation", "border"))
jit_warp_both = jax.jit(warp_image_and_mask, static_argnums=3, static_argnames="border")
jit_sample = jax.jit(sample_image, static_argnums=(2, 3))


@functools.partial(jax.jit, static_argnames=("size", "interpolation", "border"))
def jit_kernel(image, transform, size, interpolation="bicubic", border="zeros"):
    """Return what OpenCV would: it filters nothing where a picture shrinks."""
    positions, _ = sampling_grid(transform, *size)
    return jnp.clip(sample_image(image, positions, interpolation, border), 0, 1)


def picture(size, seed=0):
    """Smooth texture over the full grey range: interpolation has something to do everywhere."""
    noise = np.random.default_rng(seed).normal(size=(*size, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def similarity(angle, scale, centre, target, dtype=np.float32):
    """Turn and scale about `centre`, which goes to `target`; points are (x, y)."""
    turn = np.deg2rad(angle)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    offset = np.asarray(target) - linear @ np.asarray(centre)
    return Transform2D(jnp.asarray(linear, dtype), jnp.asarray(offset, dtype))


def cv2_warp(image, transform, size, kernel, border="zeros"):
    """Warp with OpenCV, the border made by NumPy: OpenCV 5 has no mirrored border for cubic."""
    pad = 0 if border == "zeros" else 150
    image = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode=BORDERS[border])
    linear, offset = (np.asarray(part, float) for part in transform)
    matrix = np.column_stack([linear, offset - linear @ [pad, pad]])
    return cv2.warpAffine(image, matrix, size[::-1], flags=KERNELS[kernel])


def as_levels(pixels):
    return np.rint(np.asarray(pixels) * 255).astype(int)


@pytest.mark.parametrize(("size", "out_size"), SIZES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_matches_opencv(size, out_size, kernel):
    image = picture(size)
    pixels = jnp.asarray(image / np.float32(255))
    centre = (size[1] / 2, size[0] / 2)
    target = (out_size[1] * 0.55 + 0.3, out_size[0] * 0.42)
    for angle, scale in [(0, 1), (25, 0.8), (160, 1.7), (-90, 0.45), (7, 3)]:
        transform = similarity(angle, scale, centre, target)
        ours = jit_kernel(pixels, transform, out_size, kernel)
        assert ours.dtype == jnp.float32
        difference = np.abs(as_levels(ours) - cv2_warp(image, transform, out_size, kernel))
        assert np.mean(difference > 2) <= 0.001
        assert np.asarray(ours).std() > 0.1  # the picture is in view


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_borders_match_opencv(border, kernel):
    image = picture((50, 70))
    transform = similarity(33, 0.5, (35, 25), (60, 60))  # the border is most of the canvas
    pixels = jnp.asarray(image / np.float32(255))
    ours = jit_kernel(pixels, transform, (120, 110), kernel, border)
    expected = cv2_warp(image, transform, (120, 110), kernel, border)
    assert np.mean(np.abs(as_levels(ours) - expected) > 2) <= 0.001


def test_affine_shear_matches_opencv():
    image = picture((80, 90))
    linear, offset = jnp.asarray([[1.2, 0.4], [-0.1, 0.7]]), jnp.asarray([-12.0, 20.0])
    transform = Transform2D(linear, offset)
    ours = jit_kernel(jnp.asarray(image / 255.0), transform, (77, 101))
    expected = cv2_warp(image, transform, (77, 101), "bicubic")
    assert np.mean(np.abs(as_levels(ours) - expected) > 2) <= 0.001


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("border", BORDERS)
def test_what_does_not_shrink_is_the_kernel_s_but_for_rounding(border, kernel, dtype):
    image = jnp.asarray(picture((50, 71)) / dtype(255))
    for angle, scale in [(0, 1), (25, 1), (33, 1.7), (-90, 1.02)]:
        transform = similarity(angle, scale, (35.3, 25), (48, 40.6), dtype)
        warped = jit_warp(image, transform, (80, 96), interpolation=kernel, border=border)
        expected = jit_kernel(image, transform, (80, 96), kernel, border)
        np.testing.assert_allclose(warped, expected, atol=80 * np.finfo(dtype).eps)
        assert warped.std() > 0.1


@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("border", BORDERS)
def test_whole_pixel_shift_copies_exactly(kernel, border):
    image = jnp.asarray(np.random.default_rng(1).uniform(size=(12, 17, 2)))
    transform = Transform2D(jnp.eye(2), jnp.asarray([3.0, -2.0]))
    warped = jit_warp(image, transform, (12, 17), interpolation=kernel, border=border)
    np.testing.assert_array_equal(warped[:10, 3:], image[2:, :-3])
    if border == "zeros":
        assert (warped[:, :3] == 0).all()
        assert (warped[10:] == 0).all()
    else:
        padded = np.pad(image, ((0, 2), (3, 0), (0, 0)), mode=BORDERS[border])
        np.testing.assert_array_equal(warped, padded[2:, :-3])


def test_right_angles_equal_rot90():
    image = jnp.asarray(np.random.default_rng(2).uniform(size=(9, 14, 3)))
    # x to the right becomes y downwards: a clockwise quarter turn on the screen.
    turn = Transform2D(jnp.asarray([[0.0, -1.0], [1.0, 0.0]]), jnp.asarray([8.0, 0.0]))
    np.testing.assert_array_equal(jit_warp(image, turn, (14, 9)), np.rot90(image, -1))


def test_bilinear_reproduces_a_ramp_and_bicubic_a_constant():
    y, x = np.mgrid[:30, :40]
    ramp = jnp.asarray((0.2 + 0.01 * x + 0.005 * y)[..., None])
    at = np.random.default_rng(3).uniform((2, 2), (37, 27), (200, 2))
    values = jit_sample(ramp, jnp.asarray(at), "bilinear")
    np.testing.assert_allclose(values[:, 0], 0.2 + at @ [0.01, 0.005], atol=1e-12)
    values = jit_sample(jnp.full_like(ramp, 0.7), jnp.asarray(at), "bicubic")
    np.testing.assert_allclose(values, 0.7, atol=1e-12)


def test_nearest_takes_the_nearest():
    image = jnp.asarray(np.arange(12.0).reshape(3, 4, 1) / 12)
    at = jnp.asarray([[0.4, 0.4], [0.6, 1.4], [2.51, 1.6], [-0.4, 0.0], [-0.6, 0.0]])
    values = jit_sample(image, at, "nearest")[:, 0] * 12
    np.testing.assert_allclose(values, [0, 5, 11, 0, 0], atol=1e-12)
    assert sample_image(image, jnp.asarray([[-9.0, 2.4]]), "nearest", "edge")[0, 0] * 12 == 8


@pytest.mark.parametrize("border", BORDERS)
def test_no_inverse_gives_nothing(border):
    image, mask = jnp.full((6, 7, 3), 0.5), jnp.ones((6, 7), bool)
    for linear, offset in [
        ([[0.0, 0.0], [0.0, 0.0]], [1.0, 2.0]),
        ([[1.0, 2.0], [2.0, 4.0]], [0.0, 0.0]),
        ([[np.nan, 0.0], [0.0, 1.0]], [0.0, 0.0]),
        ([[1.0, 0.0], [0.0, 1.0]], [np.inf, 0.0]),
    ]:
        transform = Transform2D(jnp.asarray(linear), jnp.asarray(offset))
        warped, coverage = jit_warp_both(image, mask, transform, (5, 4), border=border)
        assert warped.shape == (5, 4, 3)
        assert (warped == 0).all()
        assert (coverage == 0).all()
        assert not sampling_grid(transform, 5, 4)[1]


@pytest.mark.parametrize("border", BORDERS)
def test_far_away_and_extreme_scales_stay_finite(border):
    image = jnp.asarray(picture((20, 20)) / np.float32(255))
    for scale, shift in [(1.0, 1e9), (1e-5, 0.0), (1e6, 0.0), (1.0, -1e30)]:
        linear = scale * jnp.eye(2, dtype=jnp.float32)
        transform = Transform2D(linear, jnp.full(2, shift, jnp.float32))
        warped = jit_warp(image, transform, (8, 8), border=border)
        assert jnp.isfinite(warped).all()
        if border == "zeros" and abs(shift) > 1e6:
            assert (warped == 0).all()


def test_values_stay_in_range_and_mask_follows_the_picture():
    image = jnp.asarray(np.random.default_rng(5).integers(0, 2, (40, 40, 3)).astype(np.float32))
    mask = np.zeros((40, 40), bool)
    mask[8:30, 12:33] = True
    transform = similarity(40, 1.3, (20, 20), (30, 28))
    warped, coverage = jit_warp_both(image, jnp.asarray(mask), transform, (60, 56))
    for values in (warped, coverage):
        assert values.min() == 0
        assert values.max() == 1
    matrix = np.column_stack([transform.linear, transform.offset]).astype(float)
    expected = cv2.warpAffine(mask.astype(np.float32), matrix, (56, 60), flags=cv2.INTER_CUBIC)
    np.testing.assert_allclose(coverage, expected.clip(0, 1), atol=2e-5)
    area = mask.sum() * 1.3**2
    assert abs(float((coverage > 0.5).sum()) - area) < 0.01 * area


def test_mask_is_empty_beside_the_picture_whatever_the_border():
    transform = Transform2D(jnp.eye(2), jnp.asarray([10.0, 0.0]))
    image, mask = jnp.ones((8, 8, 3)), jnp.ones((8, 8), bool)
    warped, coverage = jit_warp_both(image, mask, transform, (8, 20), border="edge")
    assert (warped == 1).all()
    assert (coverage[:, 10:18] == 1).all()
    assert float(coverage[:, :10].sum() + coverage[:, 18:].sum()) == 0


def test_float_mask_keeps_its_dtype():
    mask = jnp.full((5, 5), 0.25, jnp.float32)
    identity = Transform2D(jnp.eye(2), jnp.zeros(2))
    warped = jax.jit(warp_mask, static_argnums=2)(mask, identity, (5, 5))
    assert warped.dtype == jnp.float32
    np.testing.assert_allclose(warped, 0.25)


def test_jit_vmap_and_map_agree():
    image = jnp.asarray(picture((30, 34)) / np.float32(255))
    each = [similarity(20 * i, 0.7 + 0.1 * i, (17, 15), (20, 18)) for i in range(4)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)

    def warp(transform):
        return warp_image(image, transform, (36, 40))

    expected = np.stack([jit_warp(image, transform, (36, 40)) for transform in each])
    np.testing.assert_allclose(jax.jit(jax.vmap(warp))(batch), expected, atol=1e-5)
    np.testing.assert_allclose(jax.jit(lambda t: jax.lax.map(warp, t))(batch), expected, atol=1e-5)


def test_composite():
    image, background = jnp.full((2, 2, 3), 0.75), jnp.full((2, 2, 3), 0.25)
    mixed = composite(image, jnp.asarray([[0.0, 1.0], [0.5, 0.0]]), background)
    np.testing.assert_allclose(mixed[..., 0], [[0.25, 0.75], [0.5, 0.25]])


def test_unknown_options_raise():
    image, identity = jnp.zeros((4, 4, 3)), Transform2D(jnp.eye(2), jnp.zeros(2))
    with pytest.raises(Exception, match="lanczos"):
        warp_image(image, identity, (4, 4), interpolation="lanczos")
    with pytest.raises(Exception, match="wrap"):
        warp_image(image, identity, (4, 4), border="wrap")


def test_grey_levels_come_back_as_grey_levels():
    levels, mask = picture((40, 50)), np.zeros((40, 50), bool)
    mask[10:30, 12:40] = True
    for scale in (1.3, 0.8, 0.3):
        transform = similarity(20, scale, (25, 20), (20, 18))
        expected, share = jit_warp_both(levels / np.float32(255), mask, transform, (36, 40))
        warped, coverage = jit_warp_both(levels, mask, transform, (36, 40))
        both = jit_warp_both(levels, np.uint8(255) * mask, transform, (36, 40))
        for ours, theirs in zip(both, (warped, coverage), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        mixed = jit_warp_both(levels / np.float32(255), np.uint8(255) * mask, transform, (36, 40))
        np.testing.assert_array_equal(mixed[0], expected)
        np.testing.assert_array_equal(mixed[1], coverage)
        for ours, theirs in ((warped, expected), (coverage, share)):
            assert ours.dtype == jnp.uint8
            assert np.abs(np.asarray(ours) - 255 * np.asarray(theirs)).max() <= 1.5


@pytest.mark.parametrize("dtype", [np.int32, np.complex64, bool])
def test_other_numbers_are_refused(dtype):
    identity = Transform2D(jnp.eye(2), jnp.zeros(2))
    name = jnp.dtype(dtype).name
    with pytest.raises(ValueError, match=f"must hold floats .* got {name}; convert"):
        warp_image(np.zeros((4, 4, 3), dtype), identity, (4, 4))


def test_numpy_pictures_are_warped_alike(rng):
    image, mask = rng.uniform(size=(9, 7, 3)), rng.uniform(size=(9, 7)) > 0.5
    turn = Transform2D(jnp.array([[0.0, -1.0], [1.0, 0.0]]), jnp.array([6.0, 0.5]))
    for warp, source in ((warp_image, image), (warp_mask, mask)):
        expected = warp(jnp.asarray(source), turn, (8, 8))
        np.testing.assert_array_equal(warp(source, turn, (8, 8)), expected)
