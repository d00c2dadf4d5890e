import jax.numpy as jnp
import numpy as np
import pytest
import torch
from PIL import Image

from tpc_jax.io.resampling import resize_weights
from tpc_jax.metrics import central_square, resize, resize_8bit
from tpc_jax.metrics.resize import crop_square

METHODS = {name: Image.Resampling[name.upper()] for name in ("bilinear", "bicubic", "lanczos")}
# Shrinking, enlarging, one of each, and no change along one axis.
SIZES = [((64, 48), (29, 31)), ((20, 33), (112, 112)), ((50, 20), (31, 64)), ((40, 30), (40, 17))]


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("size", "new_size"), SIZES)
def test_float_channels_equal_pillow(size, new_size, method):
    image = picture(*size).astype(np.float32)
    planes = [Image.fromarray(image[..., c]) for c in range(3)]
    expected = np.stack([p.resize(new_size[::-1], METHODS[method]) for p in planes], axis=-1)
    ours = resize(jnp.asarray(image), new_size, method)
    np.testing.assert_allclose(ours, expected, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("size", "new_size"), [*SIZES, ((1080, 604), (256, 256))])
def test_8bit_pictures_equal_pillow_bit_for_bit(size, new_size, method):
    image = picture(*size, seed=1)
    # New versions of Pillow may begin with the other axis; in two calls the order is certain.
    wide = Image.fromarray(image).resize((new_size[1], size[0]), METHODS[method])
    expected = np.asarray(wide.resize(new_size[::-1], METHODS[method]))
    np.testing.assert_array_equal(resize_8bit(image[None], new_size, method)[0], expected)


@pytest.mark.parametrize("side", [40, 600])
def test_squares_equal_any_pillow_bit_for_bit(side):
    image = picture(side, side, seed=4)
    expected = np.asarray(Image.fromarray(image).resize((256, 256), METHODS["bilinear"]))
    np.testing.assert_array_equal(resize_8bit(image, (256, 256), "bilinear"), expected)


@pytest.mark.torch
@pytest.mark.parametrize(("size", "new_size"), [((64, 48), (29, 31)), ((20, 33), (299, 299))])
def test_without_anti_aliasing_it_is_torchs_bilinear(size, new_size):
    image = picture(*size, seed=2).astype(np.float32)
    source = torch.from_numpy(image).permute(2, 0, 1)[None]
    theirs = torch.nn.functional.interpolate(
        source, size=new_size, mode="bilinear", align_corners=False
    )
    ours = resize(jnp.asarray(image), new_size, "bilinear", antialias=False)
    np.testing.assert_allclose(ours, theirs[0].permute(1, 2, 0), atol=1e-3)


def test_float_bicubic_is_neither_rounded_nor_clipped():
    """A trap: the video networks see values beyond 0...255."""
    edge = np.zeros((16, 16, 3), np.float32)
    edge[:, 8:] = 255.0
    enlarged = np.asarray(resize(jnp.asarray(edge), (112, 112), "bicubic"))
    assert enlarged.min() < -1.0
    assert enlarged.max() > 256.0
    assert np.any(np.abs(enlarged - np.rint(enlarged)) > 0.1)
    assert resize_8bit(edge.astype(np.uint8), (112, 112), "bicubic").max() == 255


def test_shrinking_is_anti_aliased_unless_told_otherwise():
    """A trap: FID's inner resize keeps the jagged edges of stripes, Pillow's does not."""
    stripes = jnp.tile(jnp.asarray([0.0, 1.0])[None, :, None], (64, 32, 3))
    smooth = np.asarray(resize(stripes, (16, 16), "bilinear"))[:, 1:-1]
    jagged = resize(stripes, (16, 21), "bilinear", antialias=False)
    np.testing.assert_allclose(smooth, 0.5, atol=0.05)
    assert jnp.std(jagged) > 0.25


def test_batch_axes():
    images = np.stack([picture(9, 12, seed) for seed in range(6)]).reshape(2, 3, 9, 12, 3)
    ours = resize_8bit(images, (7, 5), "bicubic")
    assert ours.shape == (2, 3, 7, 5, 3)
    np.testing.assert_array_equal(ours[1, 2], resize_8bit(images[1, 2], (7, 5), "bicubic"))


@pytest.mark.parametrize(("size", "box"), [((10, 7), (0, 1, 7, 8)), ((6, 11), (2, 0, 8, 6))])
def test_the_square_is_central(size, box):
    image = picture(*size, seed=3)
    expected = Image.fromarray(image).crop(box)
    np.testing.assert_array_equal(crop_square(image), np.asarray(expected))
    resized = expected.resize((5, 5), METHODS["bilinear"])
    np.testing.assert_array_equal(central_square(image, 5), np.asarray(resized))


def test_weights_sum_to_one_and_bad_sizes_are_refused():
    for method in METHODS:
        np.testing.assert_allclose(resize_weights(13, 5, method).sum(1), 1.0, rtol=1e-12)
    with pytest.raises(ValueError, match="at least 1 pixel, got 4 and 0"):
        resize_weights(4, 0, "bilinear")
