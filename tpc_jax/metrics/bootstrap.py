"""Confidence intervals of a mean over clips."""

from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float


class MeanInterval(NamedTuple):
    """A mean over clips with its percentile bootstrap interval.

    Attributes:
        mean: Mean over the clips, in the metric's unit.
        low: Lower end of the interval.
        high: Upper end of the interval.
    """

    mean: Float[np.ndarray, "*metrics"]
    low: Float[np.ndarray, "*metrics"]
    high: Float[np.ndarray, "*metrics"]


def bootstrap_mean(
    values: Float[ArrayLike, "clips *metrics"],
    *,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> MeanInterval:
    """Compute the mean over clips and its percentile bootstrap interval.

    The interval runs between the `(1 -+ confidence) / 2` quantiles of the means of clips drawn
    with replacement. The clip is the unit drawn: frames of one clip are not independent. All
    metrics share the draws, so to compare two methods on the same clips pass the differences of
    their values.

    Args:
        values: One finite value per clip, and per metric if there are more axes.
        confidence: Coverage aimed at, between 0 and 1.
        num_resamples: Number of draws; memory is 16 bytes times draws times clips.
        seed: Seed of the draws; equal seeds give equal intervals.

    Returns:
        Mean and interval, each without the clips axis, in float64.

    Raises:
        ValueError: Fewer than two clips, a value that is not finite, or an option out of range.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    values = np.asarray(values, np.float64)
    if values.ndim < 1 or values.shape[0] < 2:
        raise ValueError(f"values must hold at least two clips, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("values must be finite; leave out clips that have no value")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be positive, got {num_resamples}")

    num_clips = values.shape[0]
    # How often each clip is drawn says all about a resample's mean, and turns it into a product.
    draws = np.random.default_rng(seed).multinomial(
        num_clips, np.full(num_clips, 1.0 / num_clips), size=num_resamples
    )
    means = np.tensordot(draws, values, axes=1) / num_clips
    low, high = np.quantile(means, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0], axis=0)
    return MeanInterval(np.asarray(values.mean(axis=0)), np.asarray(low), np.asarray(high))
