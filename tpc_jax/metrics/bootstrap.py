"""Confidence intervals of means over clips and of their ratios."""

import functools
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float


class Interval(NamedTuple):
    """A number over clips with its percentile bootstrap interval.

    Attributes:
        value: The number, in the metric's unit.
        low: Lower end of the interval.
        high: Upper end of the interval.
        clips: Clips that it comes from.
    """

    value: float
    low: float
    high: float
    clips: int


def bootstrap_mean(
    values: Float[ArrayLike, " clips"],
    *,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Compute the mean over clips and its percentile bootstrap interval.

    The interval runs between the `(1 -+ confidence) / 2` quantiles of the means of clips drawn
    with replacement. The clip is the unit drawn: frames of one clip are not independent. Equal
    numbers of clips share the draws, so to compare two methods on the same clips pass the
    differences of their values.

    Args:
        values: One finite value per clip.
        confidence: Coverage aimed at, between 0 and 1.
        num_resamples: Number of draws; memory is 16 bytes times draws times clips.
        seed: Seed of the draws; equal seeds give equal intervals.

    Returns:
        Mean and interval, computed in float64.

    Raises:
        ValueError: Fewer than two clips, a value that is not finite, or an option out of range.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    values = _checked("values", values)
    sums = _draws(len(values), num_resamples, seed) @ values
    low, high = np.quantile(sums / len(values), _ends(confidence))
    return Interval(float(values.mean()), float(low), float(high), len(values))


def bootstrap_ratio(
    numerator: Float[ArrayLike, " clips"],
    denominator: Float[ArrayLike, " clips"],
    *,
    confidence: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Compute the ratio of two means over the same clips and its percentile bootstrap interval.

    `sum(numerator) / sum(denominator)`, of which every resample draws both sides of a clip.

    Args:
        numerator: One finite value per clip.
        denominator: One finite value for each of the same clips; its mean should lie clearly away
            from zero, or the interval means nothing.
        confidence: See `bootstrap_mean`.
        num_resamples: See `bootstrap_mean`.
        seed: See `bootstrap_mean`.

    Raises:
        ValueError: Different numbers of clips, or see `bootstrap_mean`.
    """
    above, below = _checked("numerator", numerator), _checked("denominator", denominator)
    if len(above) != len(below):
        raise ValueError(f"both sides must have one value per clip, got {len(above)}, {len(below)}")
    sums = _draws(len(above), num_resamples, seed) @ np.stack([above, below], axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], _ends(confidence))
    return Interval(float(above.sum() / below.sum()), float(low), float(high), len(above))


def _checked(name: str, values: ArrayLike) -> Float[np.ndarray, " clips"]:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or len(array) < 2:
        raise ValueError(f"{name} must hold at least two clips, got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite; leave out clips that have no value")
    return array


def _ends(confidence: float) -> tuple[float, float]:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    return (1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0


# Drawing takes nearly all of the time, and one table asks for the same draws again and again.
@functools.lru_cache(maxsize=2)
def _draws(num_clips: int, num_resamples: int, seed: int) -> Float[np.ndarray, "resamples clips"]:
    """Return how often each resample holds each clip, which says all about its mean."""
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be positive, got {num_resamples}")
    share = np.full(num_clips, 1.0 / num_clips)
    draws = np.random.default_rng(seed).multinomial(num_clips, share, size=num_resamples)
    return draws.astype(np.float64)
