"""Scores of generated clips against ground truth, and their confidence intervals.

Metrics that need a network (LPIPS, FID, FID-VID, FVD) are in `tpc_jax.metrics.features` and, for
whole data sets, `tpc_jax.metrics.streaming`; importing this package does not load Flax.
"""

from tpc_jax.metrics.bootstrap import Interval, bootstrap_mean, bootstrap_ratio
from tpc_jax.metrics.clips import clip_starts, cut_clips, group_frame_names, through_container
from tpc_jax.metrics.frechet import (
    FeatureStatistics,
    feature_statistics,
    frechet_distance,
    merge_statistics,
)
from tpc_jax.metrics.image import (
    mask_iou,
    mean_absolute_error,
    overflowing_psnr,
    person_iou,
    psnr,
    round_to_8bit,
    ssim,
)
from tpc_jax.metrics.modes import Mode
from tpc_jax.metrics.pictures import PictureScores, picture_scores, prepare_pictures
from tpc_jax.metrics.placement import Placement, keypoint_placement, picture_placement
from tpc_jax.metrics.regions import face_mask, region_masks
from tpc_jax.metrics.resize import central_square, resize, resize_8bit
from tpc_jax.metrics.temporal import flicker, frame_difference_error

__all__ = [
    "FeatureStatistics",
    "Interval",
    "Mode",
    "PictureScores",
    "Placement",
    "bootstrap_mean",
    "bootstrap_ratio",
    "central_square",
    "clip_starts",
    "cut_clips",
    "face_mask",
    "feature_statistics",
    "flicker",
    "frame_difference_error",
    "frechet_distance",
    "group_frame_names",
    "keypoint_placement",
    "mask_iou",
    "mean_absolute_error",
    "merge_statistics",
    "overflowing_psnr",
    "person_iou",
    "picture_placement",
    "picture_scores",
    "prepare_pictures",
    "psnr",
    "region_masks",
    "resize",
    "resize_8bit",
    "round_to_8bit",
    "ssim",
    "through_container",
]
