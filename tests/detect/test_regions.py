import numpy as np
import pytest

from tpc_jax.detect.regions import Picture, Region, paste, region_upright, whole_picture


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("degrees", [0, 30, -90, 170])
def test_points_go_to_the_picture_and_back(rng, degrees):
    region = Region(np.array([40.0, 30.0]), 50.0, np.deg2rad(degrees))
    xy = rng.uniform(0, 80, (5, 2))
    np.testing.assert_allclose(region.to_image(region.from_image(xy)), xy, atol=1e-9)
    np.testing.assert_allclose(region.to_image(np.array([0.5, 0.5])), region.centre)


@pytest.mark.parametrize("degrees", [0, 45, 90, 180, -120])
def test_a_person_is_upright_in_their_region(degrees):
    turn = np.deg2rad(degrees)
    hip = np.array([50.0, 60.0])
    top = hip + 20 * np.array([np.sin(turn), -np.cos(turn)])
    region = region_upright(hip, top)
    assert region.side == pytest.approx(50)
    np.testing.assert_allclose(region.from_image(top), [0.5, 0.5 - 20 / 50], atol=1e-9)


def test_points_that_coincide_give_a_small_region():
    region = region_upright(np.array([5.0, 5.0]), np.array([5.0, 5.0]))
    assert region.side > 0
    assert np.isfinite(region.linear).all()


def test_a_crop_of_the_whole_square_picture_is_the_picture(rng):
    image = rng.integers(0, 255, (64, 64, 3), np.uint8)
    picture = Picture(image)
    view = whole_picture(picture.size)
    np.testing.assert_array_equal(picture.crop(view, 64), image)
    np.testing.assert_array_equal(picture.crop(view, 64, is_mirrored=True), image[:, ::-1])


@pytest.mark.parametrize("degrees", [0, 30, 75, 180])
@pytest.mark.parametrize("size", [(60, 100), (100, 60)])
def test_a_turned_view_holds_the_whole_picture(size, degrees):
    view = whole_picture(size, np.deg2rad(degrees))
    height, width = size
    corners = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5]])
    u = view.from_image(corners)
    assert u.min() >= -1e-9
    assert u.max() <= 1 + 1e-9
    assert max(np.ptp(u, axis=0)) > 0.6


def test_fine_patterns_shrink_to_grey():
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    picture = Picture(stripes)
    crop = picture.crop(whole_picture(picture.size), 64)
    assert np.abs(crop.astype(int) - 127).max() < 3


def test_shrunken_crops_lie_where_the_picture_does():
    image = np.zeros((203, 301, 3), np.uint8)
    image[80:120, 100:180] = 255
    picture = Picture(image)
    region = Region(np.array([139.5, 99.5]), 200.0, 0.0)
    crop = picture.crop(region, 20)[..., 0] > 127
    np.testing.assert_array_equal(np.argwhere(crop).min(axis=0), [8, 6])
    np.testing.assert_array_equal(np.argwhere(crop).max(axis=0), [11, 13])


def test_pictures_of_one_pixel_can_be_cropped():
    picture = Picture(np.full((1, 1, 3), 200, np.uint8))
    assert picture.crop(Region(np.zeros(2), 64.0), 16).shape == (16, 16, 3)


@pytest.mark.parametrize("degrees", [0, 40])
def test_a_crop_is_pasted_where_it_came_from(degrees):
    image = np.zeros((90, 120, 3), np.uint8)
    image[30:60, 40:80] = 255
    region = Region(np.array([60.0, 45.0]), 80.0, np.deg2rad(degrees))
    crop = Picture(image).crop(region, 160)[..., 0].astype(np.float32)
    back = paste(crop, region, (90, 120), -1.0)
    assert back[0, 0] == -1
    assert np.abs(back[20:70, 30:90] - image[20:70, 30:90, 0]).mean() < 8
