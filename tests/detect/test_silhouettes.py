import cv2
import numpy as np
import pytest

from tpc_jax.detect.regions import Picture, Region, whole_picture
from tpc_jax.detect.silhouettes import keep_apart, silhouette


def overlap(mask, other):
    return (mask & other).sum() / (mask | other).sum()


def scene(size=(240, 320), seed=0):
    """Return a picture of a light figure with a gap between its legs, and where it is."""
    body = np.zeros(size, np.uint8)
    cv2.ellipse(body, (160, 90), (40, 60), 0, 0, 360, 1, -1)
    cv2.line(body, (145, 120), (130, 210), 1, 18)
    cv2.line(body, (175, 120), (190, 210), 1, 18)
    noise = np.random.default_rng(seed).normal(0, 4, (*size, 3))
    image = np.where(body[..., None] > 0, [180, 150, 140], [60, 90, 80]) + noise
    return image.clip(0, 255).astype(np.uint8), body > 0


def coarse_logits(mask, region, size=64):
    """Return what a network says that sees the figure blurred and a little off."""
    crop = Picture(np.repeat(mask[..., None] * np.uint8(255), 3, axis=-1)).crop(region, size)
    blurred = cv2.GaussianBlur(crop[..., 0].astype(np.float32) / 255, (0, 0), 1.5)
    return 8 * (np.roll(blurred, 1, axis=1) - 0.5)


@pytest.mark.parametrize("degrees", [0, 35])
def test_masks_follow_the_edges_of_the_picture(degrees):
    image, mask = scene()
    picture = Picture(image)
    region = whole_picture(picture.size, np.deg2rad(degrees))
    logits = coarse_logits(mask, region)
    found = silhouette(picture, region, logits) > 0.5
    matrix = region.image_from_crop(len(logits))
    raw = cv2.warpAffine(logits, matrix, (320, 240), borderValue=-9.0) > 0
    assert overlap(found, mask) > 0.97
    assert overlap(found, mask) > overlap(raw, mask) + 0.05
    assert not found[200:205, 155:165].any()  # between the legs


def test_the_mask_of_nobody_is_empty():
    picture = Picture(scene()[0])
    region = whole_picture(picture.size)
    assert not silhouette(picture, region, np.full((64, 64), -30.0, np.float32)).any()


def test_a_person_outside_the_picture_has_no_mask():
    picture = Picture(scene()[0])
    region = Region(np.array([-500.0, 100.0]), 100.0)
    assert not silhouette(picture, region, np.full((64, 64), 9.0, np.float32)).any()


def test_a_mask_that_fills_the_region_is_whole():
    picture = Picture(scene()[0])
    likely = silhouette(picture, whole_picture(picture.size), np.full((64, 64), 30.0, np.float32))
    assert likely.min() > 0.9


def test_large_pictures_are_filtered_more_finely():
    image, mask = scene()
    image, mask = (np.repeat(np.repeat(x, 5, axis=0), 5, axis=1) for x in (image, mask))
    picture = Picture(image)
    region = whole_picture(picture.size)
    found = silhouette(picture, region, coarse_logits(mask, region)) > 0.5
    assert overlap(found, mask) > 0.96


def test_every_pixel_belongs_to_one_person():
    left, right = np.zeros((2, 20, 40), np.float32)
    left[:, :25] = np.linspace(1, 0.6, 25)
    right[:, 15:] = np.linspace(0.6, 1, 25)
    masks = keep_apart([left, right])
    assert not (masks[0] & masks[1]).any()
    assert (masks[0] | masks[1]).all()
    assert masks[0][:, :19].all()
    assert masks[1][:, 21:].all()


def test_of_two_masks_that_are_the_same_one_is_empty():
    same = np.ones((4, 4), np.float32)
    assert [mask.sum() for mask in keep_apart([same, same])] == [16, 0]


def test_specks_are_left_out():
    likely = np.zeros((50, 50), np.float32)
    likely[10:40, 10:40] = 1
    likely[2, 2] = 1
    likely[45:49, 10:20] = 1  # a hand, apart from the body
    (mask,) = keep_apart([likely])
    assert mask.sum() == 900 + 40
    assert keep_apart([]) == []
