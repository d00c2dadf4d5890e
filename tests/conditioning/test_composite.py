import jax.numpy as jnp
import numpy as np
import pytest

from tpc_jax.conditioning.composite import empty_background, extend, paste


def gradient(height, width):
    """A smooth background in RGB."""
    y, x = np.mgrid[:height, :width]
    channels = (40 + 120 * x / width, 60 + 100 * y / height, np.full((height, width), 90.0))
    return np.round(np.stack(channels, -1)).astype(np.uint8)


@pytest.mark.parametrize("size", [(60, 80), (300, 420)])
def test_the_hole_is_filled_from_its_surroundings(size):
    background = gradient(*size)
    mask = np.zeros(size, bool)
    mask[size[0] // 3 : 2 * size[0] // 3, size[1] // 3 : size[1] // 2] = True
    picture = np.where(mask[..., None], np.uint8([255, 0, 255]), background)
    filled = empty_background(picture, mask).astype(int)
    # Nothing of the person is left, and a smooth background comes back closely.
    assert np.abs(filled - background)[mask].mean() < 6
    assert np.abs(filled - background).max() < 40
    # Away from the person not a pixel changes.
    margin = 2 + -(-3 * max(size) // 160)
    around = np.zeros(size, bool)
    rows, columns = np.where(mask)
    around[
        rows.min() - margin : rows.max() + margin + 1,
        columns.min() - margin : columns.max() + margin + 1,
    ] = True
    np.testing.assert_array_equal(filled[~around], picture[~around])


def test_without_people_nothing_changes():
    picture = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    np.testing.assert_array_equal(empty_background(picture, np.zeros((40, 30), bool)), picture)


def test_a_picture_full_of_people_is_left_as_it_is():
    picture = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    np.testing.assert_array_equal(empty_background(picture, np.ones((40, 30), bool)), picture)


def test_paste_lays_the_last_person_in_front():
    rng = np.random.default_rng(1)
    background = rng.random((5, 6, 3)).astype(np.float32)
    images = rng.random((3, 2, 5, 6, 3)).astype(np.float32)
    masks = rng.random((3, 2, 5, 6)).astype(np.float32)
    pasted = paste(*(jnp.asarray(x) for x in (background, images, masks)))
    # Seen from the front: each layer shows through what the layers before it leave open.
    expected, left = np.zeros((2, 5, 6, 3)), np.ones((2, 5, 6, 1))
    for person in (2, 1, 0):
        expected += left * masks[person][..., None] * images[person]
        left *= 1 - masks[person][..., None]
    np.testing.assert_allclose(pasted, expected + left * background, atol=1e-6)


def test_paste_outside_the_masks_is_the_background_and_inside_the_person():
    background, images = jnp.zeros((4, 4, 3)), jnp.ones((1, 2, 4, 4, 3))
    masks = jnp.zeros((1, 2, 4, 4)).at[0, 1, :2].set(1.0)
    pasted = paste(background, images, masks)
    np.testing.assert_array_equal(pasted[0], 0)
    np.testing.assert_array_equal(pasted[1, :2], 1)
    np.testing.assert_array_equal(pasted[1, 2:], 0)


def test_bars_continue_the_edge_and_the_picture_stays():
    picture = gradient(40, 60)
    content = slice(8, 30), slice(0, 60)
    canvas = np.zeros_like(picture)
    canvas[content] = picture[content]
    extended = extend(canvas, content)
    np.testing.assert_array_equal(extended[content], picture[content])
    for bar, edge in ((extended[:8], picture[8]), (extended[30:], picture[29])):
        assert np.abs(bar.astype(int) - edge).max() <= 4
    whole = slice(0, 40), slice(0, 60)
    np.testing.assert_array_equal(extend(picture, whole), picture)
