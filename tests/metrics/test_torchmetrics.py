"""Agreement with torchmetrics where it defines the same thing.

Its SSIM (Gaussian window, or a uniform one with the population's covariance) is another one than
DisCo's, which scikit-image's tests cover; its LPIPS and FID need torchvision and published weights.
"""

import numpy as np
import pytest
import torch

from tpc_jax.metrics import (
    feature_statistics,
    frechet_distance,
    mask_iou,
    mean_absolute_error,
    psnr,
)

pytest.importorskip("torchmetrics")

from torchmetrics.functional import mean_absolute_error as their_mae
from torchmetrics.functional.classification import binary_jaccard_index
from torchmetrics.functional.image import peak_signal_noise_ratio
from torchmetrics.image.fid import _compute_fid

pytestmark = pytest.mark.torch

RNG = np.random.default_rng(0)
PRED, TARGET = RNG.random((2, 4, 20, 17, 3)).astype(np.float32)


def test_psnr():
    theirs = [
        peak_signal_noise_ratio(torch.from_numpy(a), torch.from_numpy(b), data_range=1.0)
        for a, b in zip(PRED, TARGET, strict=True)
    ]
    np.testing.assert_allclose(psnr(PRED, TARGET), theirs, rtol=1e-5)


def test_mean_absolute_error():
    theirs = [
        their_mae(torch.from_numpy(a.ravel()), torch.from_numpy(b.ravel()))
        for a, b in zip(PRED, TARGET, strict=True)
    ]
    np.testing.assert_allclose(mean_absolute_error(PRED, TARGET), theirs, rtol=1e-5)


def test_intersection_over_union():
    masks = RNG.random((2, 5, 12, 9)) > 0.4
    ours = mask_iou(masks[0].astype(np.float32), masks[1].astype(np.float32))
    theirs = [
        binary_jaccard_index(torch.from_numpy(a), torch.from_numpy(b).long())
        for a, b in zip(*masks, strict=True)
    ]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_frechet_distance():
    features = RNG.normal(size=(300, 12)), RNG.normal(0.3, 1.4, size=(250, 12))
    ours = frechet_distance(*map(feature_statistics, features))
    moments = [
        torch.from_numpy(x) for set_ in features for x in (set_.mean(0), np.cov(set_, rowvar=False))
    ]
    assert ours == pytest.approx(float(_compute_fid(*moments)), rel=1e-8)
