"""The two modes of the picture metrics, and the traps between them."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity

from tpc_jax import metrics


def noisy_pair(seed: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 256, (*shape, 3))
    pred = np.clip(target + rng.normal(0, 25, target.shape).round(), 0, 255)
    return pred.astype(np.uint8), target.astype(np.uint8)


def as_float(picture: np.ndarray) -> jax.Array:
    return jnp.asarray(picture, jnp.float32) / 255.0


def disco_l1(pred, target):
    height, width = target.shape[:2]
    return (np.abs(pred.astype(float) - target) / (height * width)).mean()


def disco_psnr(pred, target):
    mse = np.mean((pred.astype(float) - target) ** 2)
    return 100.0 if mse == 0 else 20 * np.log10(255 / np.sqrt(mse))


def first_psnr(pred, target):
    with np.errstate(over="ignore"):
        mse = np.mean((pred - target) ** 2)  # both wrap in uint8
    return 100.0 if mse == 0 else 20 * np.log10(255 / np.sqrt(mse))


def disco_ssim(pred, target):
    gray = [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (pred, target)]
    return structural_similarity(*gray)


@pytest.mark.parametrize("size", [(16, 16), (37, 21), (256, 256)])
def test_disco_equals_its_numpy_code(size):
    pred, target = noisy_pair(0, *size)
    x, y = as_float(pred), as_float(target)
    found = metrics.mean_absolute_error(x, y, mode="disco")
    np.testing.assert_allclose(found, disco_l1(pred, target), rtol=1e-6)
    np.testing.assert_allclose(
        metrics.psnr(x, y, mode="disco"), disco_psnr(pred, target), rtol=1e-6
    )
    np.testing.assert_allclose(metrics.overflowing_psnr(x, y), first_psnr(pred, target), rtol=1e-6)


def test_l1_depends_on_resolution_in_mode_disco_only():
    """A trap: the same pictures at twice the size score four times lower."""
    pred, target = (as_float(x) for x in noisy_pair(1, 16, 16))
    twice = [jnp.repeat(jnp.repeat(x, 2, 0), 2, 1) for x in (pred, target)]
    small = metrics.mean_absolute_error(pred, target, mode="disco")
    large = metrics.mean_absolute_error(*twice, mode="disco")
    np.testing.assert_allclose(small / large, 4.0, rtol=1e-5)
    correct = metrics.mean_absolute_error(pred, target)
    np.testing.assert_allclose(correct, metrics.mean_absolute_error(*twice), rtol=1e-5)
    np.testing.assert_allclose(small * 256 / 255, correct, rtol=1e-5)


def test_the_first_psnr_says_nothing_about_the_pictures():
    """A trap: 8-bit arithmetic gives about 28 to 30 dB for almost any pair."""
    rng = np.random.default_rng(2)
    a, b = (as_float(rng.integers(0, 256, (64, 64, 3))) for _ in range(2))
    assert metrics.psnr(a, b, mode="disco") < 8.5
    assert 27 < metrics.overflowing_psnr(a, b) < 30
    # 16 levels: the square is 256, which wraps to a perfect score.
    flat = jnp.full((8, 8, 3), 100 / 255)
    assert metrics.overflowing_psnr(flat + 16 / 255, flat) == 100.0


def test_mode_disco_rounds_to_8_bits_and_mode_correct_does_not():
    """A trap: differences that files cannot hold."""
    picture = jnp.full((8, 8, 3), 100 / 255)
    shifted = picture + 0.1 / 255
    assert metrics.psnr(shifted, picture, mode="disco") == 100.0
    assert metrics.mean_absolute_error(shifted, picture, mode="disco") == 0.0
    assert metrics.psnr(shifted, picture) < 100.0
    assert metrics.mean_absolute_error(shifted, picture) > 0.0


def test_masked_error_is_the_mean_over_the_selected_pixels():
    pred, target = noisy_pair(3, 20, 24)
    mask = np.random.default_rng(3).random((20, 24)) < 0.3
    expected = np.abs(pred[mask].astype(float) - target[mask]).mean() / 255
    found = metrics.mean_absolute_error(as_float(pred), as_float(target), mask)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    empty = np.zeros_like(mask)
    assert jnp.isnan(metrics.mean_absolute_error(as_float(pred), as_float(target), empty))


def test_masks_belong_to_mode_correct():
    pred, target = (as_float(x) for x in noisy_pair(4, 20, 24))
    mask = jnp.ones((20, 24), bool)
    for metric in (metrics.psnr, metrics.mean_absolute_error):
        with pytest.raises(ValueError, match="no masked metrics"):
            metric(pred, target, mask, mode="disco")


def test_scores_of_mode_correct_with_regions():
    pred, target = noisy_pair(5, 3, 24, 20)
    person = np.zeros((3, 24, 20), bool)
    person[:2, 4:20, 5:15] = True
    regions = metrics.region_masks(person)
    scores = metrics.picture_scores(pred, target, masks=regions)
    assert scores.label == "correct, 20x24"
    x, y = as_float(pred), as_float(target)
    np.testing.assert_allclose(scores.values["psnr"], metrics.psnr(x, y), rtol=1e-5)
    for region, mask in regions.items():
        for name, metric in (("mae", metrics.mean_absolute_error), ("ssim", metrics.ssim)):
            expected = metric(x, y, mask)
            np.testing.assert_allclose(scores.values[f"{region}_{name}"], expected, rtol=1e-4)
    assert np.isnan(scores.values["foreground_psnr"][2])
    assert np.isfinite(scores.values["background_psnr"]).all()


def test_mode_disco_scores_the_central_square_at_256():
    """A trap: L1, PSNR and SSIM of another resolution are other numbers."""
    pred, target = noisy_pair(6, 2, 300, 280)
    scores = metrics.picture_scores(pred, target, mode="disco")
    assert scores.label == "disco, 256x256"
    for index in range(2):
        squares = [
            np.asarray(
                Image.fromarray(x[index])
                .crop((0, 10, 280, 290))
                .resize((256, 256), Image.Resampling.BILINEAR)
            )
            for x in (pred, target)
        ]
        expected = {
            "l1": disco_l1(*squares),
            "mae": disco_l1(*squares) * 256**2,
            "psnr": disco_psnr(*squares),
            "psnr_first_release": first_psnr(*squares),
            "ssim": disco_ssim(*squares),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(scores.values[name][index], value, rtol=1e-6, err_msg=name)


def test_generated_pictures_of_another_size_are_resized_by_opencv():
    """A trap: correct scores refuse them, DisCo's code stretches them to the truth's size."""
    target = noisy_pair(7, 1, 256, 256)[1]
    pred = noisy_pair(8, 1, 512, 512)[0]
    ours, theirs = metrics.prepare_pictures(pred, target, mode="disco")
    np.testing.assert_array_equal(ours[0], cv2.resize(pred[0], (256, 256)))
    np.testing.assert_array_equal(theirs, target)
    with pytest.raises(ValueError, match=r"pred is \(512, 512\), target \(256, 256\)"):
        metrics.prepare_pictures(pred, target)


def test_bad_input_is_refused():
    pred, target = noisy_pair(9, 2, 24, 20)
    with pytest.raises(ValueError, match="masks need mode='correct'"):
        metrics.picture_scores(pred, target, mode="disco", masks={"face": target[..., 0] > 3})


def test_regions():
    person = np.zeros((6, 8), bool)
    person[1:5, 2:6] = True
    face = np.zeros((6, 8), bool)
    face[0:3, 3:5] = True
    regions = metrics.region_masks(person, face)
    np.testing.assert_array_equal(regions["foreground"], person)
    np.testing.assert_array_equal(regions["background"], ~person)
    np.testing.assert_array_equal(regions["face"], face & person)


def test_face_mask_is_a_disc_about_the_visible_points():
    xy = np.array(
        [[[10.0, 12.0], [14.0, 12.0], [500.0, 3.0]], [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]]
    )
    valid = np.array([[True, True, False], [False, True, False]])
    mask = metrics.face_mask(xy, valid, (30, 24))
    rows, columns = np.mgrid[:30, :24]
    np.testing.assert_array_equal(mask[0], (rows - 12) ** 2 + (columns - 12) ** 2 <= 3.2**2)
    assert not mask[1].any()
    poisoned = np.where(valid[..., None], xy, np.nan)
    np.testing.assert_array_equal(metrics.face_mask(poisoned, valid, (30, 24)), mask)
