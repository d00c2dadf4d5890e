import numpy as np
import pytest

from tpc_jax.conditioning.canvas import Canvas

SIZES = [(64, 64), (48, 96), (96, 48), (33, 57), (57, 20), (17, 16), (200, 75)]
CANVAS, SMALL = Canvas((64, 64)), Canvas((16, 16))


def disc(size, radius=0.3):
    y, x = np.mgrid[: size[0], : size[1]]
    center = np.array(size) / 2 - 0.5
    return np.hypot(y - center[0], x - center[1]) < radius * min(size)


def content_box(size, canvas):
    """Height and width of a picture fitted onto a canvas."""
    ratio = min(canvas[0] / size[0], canvas[1] / size[1])
    return tuple(max(1, round(side * ratio)) for side in size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("canvas", [CANVAS, Canvas((40, 72))])
def test_cropping_undoes_the_letterbox(size, canvas):
    white = canvas.pictures(np.full((2, *size, 3), 255, np.uint8))
    assert white.shape == (2, *canvas.size, 3)
    cropped = canvas.crop(white, size)
    assert cropped.shape == (2, *content_box(size, canvas.size), 3)
    # Nothing but the picture inside, and all of it.
    assert (cropped == 255).all()
    assert white.sum(dtype=int) == cropped.sum(dtype=int)


@pytest.mark.parametrize(("size", "factor"), [((64, 64), 1), ((128, 64), 2), ((96, 192), 3)])
def test_whole_factors_average_whole_blocks(size, factor):
    images = np.random.default_rng(0).integers(0, 256, (1, *size, 3), np.uint8)
    fitted = CANVAS.crop(CANVAS.pictures(images), size)[0]
    small = images[0].reshape(size[0] // factor, factor, size[1] // factor, factor, 3)
    np.testing.assert_allclose(fitted, small.mean((1, 3)), atol=0.51)


@pytest.mark.parametrize("size", SIZES)
def test_masks_keep_their_share_of_the_picture(size):
    mask = disc(size)
    fitted = CANVAS.masks(mask[None])
    assert fitted.shape == (1, *CANVAS.size)
    assert fitted.dtype == np.uint8
    inside = CANVAS.crop(fitted, size)
    assert fitted.sum(dtype=int) == inside.sum(dtype=int)
    assert abs(inside.mean() / 255 - mask.mean()) < 0.015
    np.testing.assert_array_equal(CANVAS.masks((mask * np.uint8(255))[None]), fitted)


def test_coverage_stays_grey():
    fitted = SMALL.masks(np.full((1, 8, 8), 51, np.uint8))
    assert (fitted == 51).all()


@pytest.mark.parametrize("size", SIZES)
def test_parts_stay_pure_and_lie_where_the_masks_lie(size):
    parts = np.where(disc(size), np.where(np.arange(size[1]) < size[1] // 2, 3, 20), 0)
    parts = np.broadcast_to(parts, (2, *size)).astype(np.uint8)
    fitted = CANVAS.parts(parts)
    assert set(np.unique(fitted)) == {0, 3, 20}
    mask = CANVAS.masks(parts > 0) / 255
    # Half a pixel of the coarser of the two grids separates nearest from area sampling.
    disagree = (fitted > 0) != (mask > 0.5)
    edge = (mask > 0.02) & (mask < 0.98)
    reach = max(1, round(max(CANVAS.size) / max(size)))
    near_edge = np.lib.stride_tricks.sliding_window_view(
        np.pad(edge, ((0, 0), (reach, reach), (reach, reach))), (2 * reach + 1,) * 2, (1, 2)
    ).any((-2, -1))
    assert not (disagree & ~near_edge).any()


@pytest.mark.parametrize("size", SIZES)
def test_points_move_with_the_picture(size):
    mask = disc(size, radius=0.2)
    before = np.argwhere(mask).mean(0)[::-1]
    fitted = CANVAS.masks(mask[None])[0] / 255
    y, x = np.mgrid[: CANVAS.size[0], : CANVAS.size[1]]
    after = np.array([(x * fitted).sum(), (y * fitted).sum()]) / fitted.sum()
    np.testing.assert_allclose(CANVAS.points(before, size), after, atol=0.1)


def test_any_batch_axes_pass_through():
    images = np.random.default_rng(1).integers(0, 256, (2, 3, 20, 30, 3), np.uint8)
    fitted = SMALL.pictures(images)
    assert fitted.shape == (2, 3, 16, 16, 3)
    np.testing.assert_array_equal(fitted[1, 2], SMALL.pictures(images[1, 2]))


def test_bars_take_the_colour_asked_for():
    fitted = SMALL.pictures(np.zeros((1, 8, 16, 3), np.uint8), (68, 1, 84))
    assert (fitted[0, :4] == (68, 1, 84)).all()
    assert not fitted[0, 4:12].any()


@pytest.mark.parametrize("fit", ["letterbox", "crop", "stretch"])
def test_pictures_of_the_canvas_s_size_stay_and_bars_are_what_is_left(fit):
    canvas = Canvas((48, 64), fit)
    images = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), np.uint8)
    np.testing.assert_array_equal(canvas.pictures(images), images)
    np.testing.assert_array_equal(canvas.masks(images[..., 0]), images[..., 0])
    assert not canvas.beside((48, 64)).any()
    white = canvas.pictures(np.full((30, 90, 3), 255, np.uint8))
    np.testing.assert_array_equal(canvas.beside((30, 90)), (white == 0).all(-1))
