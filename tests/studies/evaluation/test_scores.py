import numpy as np
import pytest
import skimage.metrics

from tpc_jax._types import Keypoints
from tpc_jax.metrics import picture_scores
from tpc_jax.studies.evaluation.pairs import drawn_pair
from tpc_jax.studies.evaluation.scores import (
    DISCO_SCORES,
    FAIR_WHEN_MOVED,
    PLACEMENT_ERRORS,
    part_color_error,
    placement_errors,
    score_frames,
)
from tpc_jax.studies.evaluation.truth import Truth

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(0, 255, (3, 24, 20, 3)).astype(np.uint8)
MASKS = np.zeros((3, 24, 20), bool)
MASKS[:, 4:20, 5:15] = True
PARTS = np.where(MASKS, RNG.integers(1, 25, MASKS.shape), 0).astype(np.uint8)


def noisy(size=20):
    noise = np.random.default_rng(1).integers(-size, size, FRAMES.shape)
    return np.clip(FRAMES.astype(int) + noise, 0, 255).astype(np.uint8)


def test_a_perfect_clip():
    still = np.repeat(FRAMES[:1], 3, axis=0)
    scores = score_frames(still, Truth(still, MASKS, None, PARTS))
    assert scores["foreground_psnr"] == scores["psnr"] == 100.0
    assert scores["ssim"] == 1.0
    assert scores["flicker"] == scores["part_color_error"] == 0.0


def test_scores_are_means_over_the_frames():
    scores = score_frames(noisy(), Truth(FRAMES, MASKS))
    pairs = list(zip(noisy(), FRAMES, MASKS, strict=True))
    whole = [skimage.metrics.peak_signal_noise_ratio(t, f) for f, t, _ in pairs]
    person = [skimage.metrics.peak_signal_noise_ratio(t[m], f[m]) for f, t, m in pairs]
    assert scores["psnr"] == pytest.approx(np.mean(whole), abs=1e-3)
    assert scores["foreground_psnr"] == pytest.approx(np.mean(person), abs=1e-3)
    assert scores["ssim"] < 0.99
    # Nothing stands still in noise: flicker cannot be told.
    assert "flicker" not in scores


def test_a_frame_without_the_person_counts_for_the_whole_picture_only():
    gone, present = MASKS.copy(), [0, 2]
    gone[1] = False
    scores = score_frames(noisy(), Truth(FRAMES, gone))
    rest = score_frames(noisy()[present], Truth(FRAMES[present], MASKS[present]))
    assert scores["foreground_psnr"] == pytest.approx(rest["foreground_psnr"], abs=1e-4)


def test_regions_are_scored_apart():
    pred = FRAMES.copy()
    pred[~MASKS] = 255 - pred[~MASKS]
    scores = score_frames(pred, Truth(FRAMES, MASKS, None, PARTS))
    assert scores["foreground_mae"] == 0
    assert scores["background_mae"] > 0.3
    assert scores["background_psnr"] < scores["psnr"]
    assert scores["foreground_motion_error"] < scores["background_motion_error"]
    assert scores["part_color_error"] == 0


def test_what_is_not_known_is_left_out():
    plain = score_frames(noisy(), Truth(FRAMES, None, None, None))
    assert plain.keys() == {"mae", "psnr", "ssim", "motion_error"}
    assert score_frames(noisy()[:1], Truth(FRAMES[:1], None, None, None)).keys() == {
        *("mae", "psnr", "ssim")
    }
    xy = np.full((1, 3, 17, 2), 8.0, np.float32)
    xy[0, :, :5, 0] += np.arange(5)
    seen = Keypoints(xy, np.ones((1, 3, 17), np.float32))
    assert "face_psnr" in score_frames(noisy(), Truth(FRAMES, MASKS, seen, None))
    hidden = Keypoints(xy, np.zeros((1, 3, 17), np.float32))
    assert "face_psnr" not in score_frames(noisy(), Truth(FRAMES, MASKS, hidden, None))


def test_moved_people_get_fair_scores_only():
    truth = Truth(FRAMES, MASKS, None, PARTS)
    moved = np.roll(FRAMES, 3, axis=2)
    scores = score_frames(moved, truth, np.roll(PARTS, 3, axis=2), is_moved=True)
    assert scores.keys() == set(FAIR_WHEN_MOVED)
    assert scores["part_color_error"] == 0
    assert score_frames(moved, Truth(FRAMES, MASKS, None, None), is_moved=True) == {}


def test_the_persons_size_turn_and_place_are_those_of_the_middle_frame():
    stills = [
        drawn_pair(0, 48, misalignment=(angle, 1.0, (0.0, 0.0))).reference
        for angle in (0.3, 0.0, 0.1)
    ]
    turned = np.stack([still.image for still in stills])
    true, mask = (np.repeat(x[None], 3, axis=0) for x in (turned[1], stills[1].masks[0]))
    errors = placement_errors(turned, true, mask)
    assert errors["rotation_error"] == pytest.approx(np.degrees(0.1), abs=0.5)
    assert errors["scale_error"] < 0.01
    assert errors["person_found"] == 1


def test_frames_without_the_person_are_beyond_all_others():
    right = drawn_pair(0, 48, num_frames=4).motion
    mask = right.masks[0].copy()
    grey = right.frames.copy()
    grey[:1] = 128
    some = placement_errors(grey, right.frames, mask)
    assert some["person_found"] == 0.75
    assert max(some[name] for name in PLACEMENT_ERRORS) < 0.01
    grey[:2] = 128
    half = placement_errors(grey, right.frames, mask)
    assert half["person_found"] == 0.5
    assert np.isinf(half["scale_error"])
    # Infinite is left out of what is noted down; frames that show nobody do not count.
    assert "scale_error" not in score_frames(grey, Truth(right.frames, mask))
    mask[0] = False
    assert placement_errors(grey, right.frames, mask)["person_found"] == pytest.approx(2 / 3)
    assert placement_errors(grey, right.frames, np.zeros_like(mask)) == {}


def test_the_fields_convention_is_labelled_and_apart():
    truth = Truth(FRAMES, MASKS, None, PARTS)
    scores = score_frames(noisy(), truth, use_disco=True)
    values = picture_scores(noisy(), FRAMES, mode="disco").values
    for name in DISCO_SCORES:
        assert scores[f"disco_{name}"] == pytest.approx(values[name].mean())
    plain = {name: x for name, x in scores.items() if not name.startswith("disco_")}
    assert plain == score_frames(noisy(), truth)


def test_colors_by_part():
    parts = np.zeros((1, 12, 12), np.uint8)
    parts[0, :6, :6], parts[0, 6:, 6:] = 2, 23
    picture = np.zeros((1, 12, 12, 3), np.uint8)
    picture[0, :6, :6], picture[0, 6:, 6:] = (255, 0, 0), (0, 255, 0)
    assert part_color_error(picture, parts, picture, parts) == 0
    # Turned by half a circle with its parts: the same person.
    turned = picture[:, ::-1, ::-1], parts[:, ::-1, ::-1]
    assert part_color_error(*turned, picture, parts) == 0
    # The pictures turned without their parts: clothes on the wrong limbs, two of three channels.
    assert part_color_error(turned[0], parts, picture, parts) == pytest.approx(2 / 3)
    nobody = np.zeros_like(parts)
    assert np.isnan(part_color_error(picture, nobody, picture, parts))
    # Three pixels are no colour.
    few = nobody.copy()
    few[0, 0, :3] = 2
    assert np.isnan(part_color_error(picture, few, picture, parts))
