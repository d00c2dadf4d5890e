import numpy as np
import pytest
import skimage.metrics

from tpc_jax.studies.evaluation.cases import make_case
from tpc_jax.studies.evaluation.scores import score_clip


@pytest.fixture(scope="module")
def clip():
    case = make_case(0, 32, num_frames=4)
    noise = np.random.default_rng(0).integers(-20, 21, case.motion.frames.shape)
    noisy = np.clip(case.motion.frames + noise, 0, 255).astype(np.uint8)
    return noisy, case.motion.frames, case.motion.masks[0]


def test_a_perfect_clip(clip):
    _, truth, masks = clip
    scores = score_clip(truth, truth, masks)
    assert scores == {"foreground_psnr": 100.0, "psnr": 100.0, "ssim": 1.0, "flicker": 0.0}


def test_scores_are_means_over_the_frames(clip):
    frames, truth, masks = clip
    scores = score_clip(frames, truth, masks)
    pairs = list(zip(frames, truth, masks, strict=True))
    whole = [skimage.metrics.peak_signal_noise_ratio(t, f) for f, t, _ in pairs]
    person = [skimage.metrics.peak_signal_noise_ratio(t[m], f[m]) for f, t, m in pairs]
    assert scores["psnr"] == pytest.approx(np.mean(whole), abs=1e-3)
    assert scores["foreground_psnr"] == pytest.approx(np.mean(person), abs=1e-3)
    assert scores["ssim"] < 0.99
    assert scores["flicker"] > 0.01


def test_a_frame_without_the_person_counts_for_the_whole_picture_only(clip):
    frames, truth, masks = clip
    gone = masks.copy()
    gone[1] = False
    scores, present = score_clip(frames, truth, gone), [0, 2, 3]
    rest = score_clip(frames[present], truth[present], masks[present])
    assert scores["foreground_psnr"] == pytest.approx(rest["foreground_psnr"], abs=1e-4)
