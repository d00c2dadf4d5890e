import json
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from tpc_jax import metrics

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "metrics"
# The smallest picture with a window, odd sides, tall and wide.
SIZES = [(7, 7), (9, 31), (64, 48), (101, 60)]


def picture_pair(seed: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a textured 8-bit picture and a version with noise and a flat patch in both."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 256, (*shape, 3)).astype(np.float64)
    pred = target + rng.normal(0.0, 20.0, target.shape)
    target[..., : shape[-2] // 2, : shape[-1] // 2, :] = 200.0
    pred[..., : shape[-2] // 2, : shape[-1] // 2, :] = 203.0
    return np.clip(np.round(pred), 0, 255).astype(np.uint8), target.astype(np.uint8)


def as_float(picture: np.ndarray) -> jax.Array:
    return jnp.asarray(picture, jnp.float32) / 255.0


def gray(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


@pytest.mark.parametrize("size", SIZES)
def test_psnr_and_ssim_equal_scikit_image(size):
    pred, target = picture_pair(0, *size)
    psnr = jax.jit(metrics.psnr)(as_float(pred), as_float(target))
    ssim = jax.jit(metrics.ssim)(as_float(pred), as_float(target))
    np.testing.assert_allclose(psnr, peak_signal_noise_ratio(target, pred), rtol=1e-6)
    np.testing.assert_allclose(ssim, structural_similarity(gray(pred), gray(target)), rtol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (256, 256), (300, 480)])
def test_ssim_of_unrelated_pictures_keeps_its_digits(size):
    rng = np.random.default_rng(9)
    pred, target = rng.integers(0, 256, (2, *size, 3), np.uint8)
    expected = structural_similarity(gray(pred), gray(target))
    assert abs(expected) < 0.03
    ssim = jax.jit(metrics.ssim)(as_float(pred), as_float(target))
    np.testing.assert_allclose(ssim, expected, rtol=1e-6)


def test_golden_values_of_the_published_protocol():
    if not GOLDEN.is_dir():
        pytest.skip("the shared golden data are not here")
    golden = np.load(GOLDEN / "io.npz")
    gen, gt = golden["images_gen_f32"], golden["images_gt_f32"]
    gen_8bit, gt_8bit = metrics.round_to_8bit(gen), metrics.round_to_8bit(gt)
    np.testing.assert_array_equal(np.rint(255 * gen_8bit), golden["images_gen_u8"])
    height, width = gen.shape[1:3]
    l1 = np.asarray(metrics.mean_absolute_error(gen_8bit, gt_8bit)) * 255 / (height * width)
    np.testing.assert_allclose(l1, golden["l1_per_image"], rtol=1e-6)
    np.testing.assert_allclose(metrics.psnr(gen_8bit, gt_8bit), golden["psnr_per_image"], rtol=1e-6)
    np.testing.assert_allclose(metrics.ssim(gen, gt), golden["ssim_per_image"], rtol=1e-6)


def test_gray_levels_are_opencvs_for_every_corner_of_the_colour_cube():
    # SSIM of a ramp against itself shifted in colour is sensitive to single grey levels.
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(18, -1, 3)
    other = cube[:, ::-1]
    expected = structural_similarity(gray(cube), gray(np.ascontiguousarray(other)))
    np.testing.assert_allclose(metrics.ssim(as_float(cube), as_float(other)), expected, rtol=1e-6)


def test_mean_absolute_error_and_batch_axes_equal_a_loop():
    pred, target = picture_pair(1, 2, 3, 20, 24)
    expected = np.abs(pred.astype(float) - target).mean(axis=(-3, -2, -1)) / 255
    got = metrics.mean_absolute_error(as_float(pred), as_float(target))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    for metric in (metrics.psnr, metrics.ssim):
        batched = jax.jit(metric)(as_float(pred), as_float(target))
        assert batched.shape == (2, 3)
        single = metric(as_float(pred[1, 2]), as_float(target[1, 2]))
        np.testing.assert_allclose(batched[1, 2], single, rtol=1e-6)


def test_identical_pictures():
    picture = as_float(picture_pair(2, 20, 24)[1])
    assert metrics.mean_absolute_error(picture, picture) == 0.0
    assert metrics.psnr(picture, picture) == 100.0
    np.testing.assert_allclose(metrics.ssim(picture, picture), 1.0, rtol=1e-6)


def test_psnr_does_not_wrap_like_8bit_arithmetic():
    black, white = jnp.zeros((8, 8, 3)), jnp.ones((8, 8, 3))
    assert metrics.psnr(black, white) == 0.0
    np.testing.assert_allclose(metrics.psnr(black + 0.1, black), 20.0, rtol=1e-6)


def test_rounding_is_explicit():
    # A difference far below one 8-bit level: seen by the float metric, gone after rounding.
    picture = jnp.full((8, 8, 3), 100 / 255)
    shifted = picture + 0.1 / 255
    assert metrics.psnr(shifted, picture) < 100.0
    assert metrics.psnr(metrics.round_to_8bit(shifted), metrics.round_to_8bit(picture)) == 100.0
    np.testing.assert_array_equal(
        metrics.round_to_8bit(jnp.asarray([[[-1.0, 0.5, 2.0]]])), np.float32([[[0, 128 / 255, 1]]])
    )


def test_foreground_psnr_equals_the_mean_over_the_selected_pixels():
    pred, target = picture_pair(3, 20, 24)
    mask = np.random.default_rng(3).random((20, 24)) < 0.3
    error = (pred[mask].astype(float) - target[mask]) ** 2
    expected = 10 * np.log10(255**2 / error.mean())
    for kind in (mask, mask.astype(np.float32)):
        got = metrics.psnr(as_float(pred), as_float(target), kind)
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_background_has_no_effect_on_foreground_psnr():
    pred, target = (as_float(x) for x in picture_pair(4, 20, 24))
    mask = jnp.zeros((20, 24)).at[5:12, 4:15].set(1.0)
    spoiled = jnp.where(mask[..., None] > 0, pred, 1.0 - pred)
    np.testing.assert_array_equal(
        metrics.psnr(pred, target, mask), metrics.psnr(spoiled, target, mask)
    )
    assert metrics.psnr(pred, target) != metrics.psnr(spoiled, target)


def test_foreground_ssim_averages_scikit_images_map():
    pred, target = picture_pair(5, 20, 24)
    mask = np.random.default_rng(5).random((20, 24)).astype(np.float32)
    _, full = structural_similarity(gray(pred), gray(target), full=True)
    inside = np.s_[3:-3, 3:-3]
    expected = np.average(full[inside], weights=mask[inside])
    got = metrics.ssim(as_float(pred), as_float(target), mask)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_a_full_mask_gives_the_plain_metric():
    pred, target = (as_float(x) for x in picture_pair(6, 20, 24))
    full = jnp.ones((20, 24), bool)
    for metric in (metrics.psnr, metrics.ssim):
        np.testing.assert_allclose(
            metric(pred, target, full), metric(pred, target), rtol=1e-6, atol=1e-6
        )


def test_a_picture_without_person_has_no_foreground_value():
    pred, target = (as_float(x) for x in picture_pair(7, 2, 20, 24))
    mask = jnp.zeros((2, 20, 24)).at[1].set(1.0)
    for metric in (metrics.psnr, metrics.ssim):
        np.testing.assert_array_equal(np.isnan(jax.jit(metric)(pred, target, mask)), [True, False])


def test_mask_iou_equals_set_arithmetic():
    rng = np.random.default_rng(8)
    a, b = rng.random((2, 4, 15, 21)) < 0.4
    expected = [
        len(x & y) / len(x | y) for x, y in zip(_pixel_sets(a), _pixel_sets(b), strict=True)
    ]
    np.testing.assert_allclose(metrics.mask_iou(a, b), expected, rtol=1e-6)
    soft = np.where(a, 0.51, 0.49).astype(np.float32)
    np.testing.assert_allclose(metrics.mask_iou(soft, b), expected, rtol=1e-6)


def _pixel_sets(masks: np.ndarray) -> list[set]:
    return [set(map(tuple, np.argwhere(mask).tolist())) for mask in masks]


def test_mask_iou_extremes():
    a = jnp.zeros((6, 6), bool).at[:3].set(True)
    empty = jnp.zeros((6, 6), bool)
    assert metrics.mask_iou(a, a) == 1.0
    assert metrics.mask_iou(a, ~a) == 0.0
    assert metrics.mask_iou(a, empty) == 0.0
    assert jnp.isnan(metrics.mask_iou(empty, empty))


def test_person_iou_averages_the_frames_in_which_the_person_is_there():
    masks = np.random.default_rng(9).random((2, 5, 8, 9)).astype(np.float32)
    targets = np.random.default_rng(10).random((2, 5, 8, 9)) < 0.5
    targets[0, [1, 3]] = False
    targets[1] = False
    found = metrics.person_iou(masks, targets)
    pairs = [(masks[0, t] > 0.5, targets[0, t]) for t in (0, 2, 4)]
    expected = np.mean([(a & b).sum() / (a | b).sum() for a, b in pairs])
    np.testing.assert_allclose(found, [expected, np.nan], rtol=1e-6)


# The shape and type annotations already refuse such calls while the test hook is on, so the
# library's own checks are tried in a fresh interpreter, as a user meets them.
BAD_CALLS = {
    "metrics.psnr(u8, u8)": "pred must hold floats in [0, 1], got uint8",
    "metrics.ssim(img, img[:8])": "(9, 9, 3) and (8, 9, 3)",
    "metrics.psnr(img[..., :1], img[..., :1])": "(..., height, width, 3)",
    "metrics.ssim(img[:6], img[:6])": "at least 7x7",
    "metrics.psnr(img, img, img)": "mask must have shape (9, 9)",
    "metrics.ssim(img, img, u8[..., 0])": "booleans or floats",
    "metrics.mask_iou(img[..., 0], img[:8, :, 0])": "(9, 9) and (8, 9)",
    "metrics.flicker(img, img)": "frames >= 2",
    "metrics.frame_difference_error(img[None], img[None])": "frames >= 2",
    "metrics.frame_difference_error(clip, clip, clip)": "mask must have shape (2, 9, 9)",
    "metrics.frame_difference_error(clip, clip, mode='gif')": "mode must be one of",
    "metrics.psnr(img, img, mode='legacy')": "mode must be one of ('correct', 'disco')",
    "metrics.mean_absolute_error(img, img, img)": "mask must have shape (9, 9)",
    "metrics.picture_scores(clip8, clip8[:1])": "got 2 and 1 frames",
    "metrics.picture_scores(clip, clip)": "pred must be uint8 (frames, height, width, 3)",
    "metrics.region_masks(on, on[:8])": "face must be a boolean mask of shape (9, 9)",
    "metrics.region_masks(img[..., 0])": "foreground must be a boolean mask",
    "metrics.face_mask(img, on, (9, 9))": "xy must have shape (..., points, 2)",
    "metrics.picture_placement(u8, u8, on)": "pred must hold floats in [0, 1], got uint8",
    "metrics.picture_placement(img, img, on[1:])": "mask must have shape (9, 9), got (8, 9)",
    "metrics.keypoint_placement(on, on, on[0])": "(points, 2) and valid (points,), got (9, 9)",
    "metrics.bootstrap_mean(on)": "values must hold at least two clips, got shape (9, 9)",
    "metrics.bootstrap_ratio(np.ones(4), np.ones(3))": "one value per clip, got 4, 3",
    "metrics.resize(img, (4, 4), 'nearest')": "method must be one of ('bilinear', 'bicubic'",
    "metrics.through_container(clip8, 'avi')": "container must be one of ('mp4', 'gif')",
}


@pytest.fixture(scope="module")
def bad_call_messages(run_python):
    code = f"""
import json
import numpy as np
from tpc_jax import metrics
img, u8 = np.zeros((9, 9, 3), np.float32), np.zeros((9, 9, 3), np.uint8)
clip, clip8, on = np.stack([img, img]), np.stack([u8, u8]), np.ones((9, 9), bool)
messages = {{}}
for call in {list(BAD_CALLS)!r}:
    try:
        messages[call] = repr(eval(call))
    except ValueError as error:
        messages[call] = "ValueError: " + str(error)
print(json.dumps(messages))
"""
    return json.loads(run_python(code))


@pytest.mark.parametrize("call", BAD_CALLS)
def test_bad_input_is_refused(call, bad_call_messages):
    assert bad_call_messages[call].startswith("ValueError: ")
    assert BAD_CALLS[call] in bad_call_messages[call]
