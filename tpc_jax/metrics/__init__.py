"""Scores of generated clips against ground truth, and their confidence intervals."""

from tpc_jax.metrics.bootstrap import MeanInterval, bootstrap_mean
from tpc_jax.metrics.image import (
    foreground_psnr,
    foreground_ssim,
    mask_iou,
    mean_absolute_error,
    psnr,
    round_to_8bit,
    ssim,
)
from tpc_jax.metrics.temporal import flicker, frame_difference_error

__all__ = [
    "MeanInterval",
    "bootstrap_mean",
    "flicker",
    "foreground_psnr",
    "foreground_ssim",
    "frame_difference_error",
    "mask_iou",
    "mean_absolute_error",
    "psnr",
    "round_to_8bit",
    "ssim",
]
