"""Classifier-free guidance."""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Array, Float


def guide(
    unconditional: Float[Array, "*shape"], conditional: Float[Array, "*shape"], scale: float
) -> Float[Array, "*shape"]:
    """Return unconditional + scale * (conditional - unconditional); scale 1 means off."""
    return unconditional + scale * (conditional - unconditional)


def guide_all(
    predictions: Sequence[Float[Array, "*shape"]], scales: Sequence[float]
) -> Float[Array, "*shape"]:
    """Return p0 + s1 (p1 - p0) + s2 (p2 - p1) + ...; with all scales 1 the last prediction.

    Args:
        predictions: From the one without conditions to the one with all of them, each with one
            condition more than the one before it.
        scales: One number per condition.

    Source: `guide` for two predictions; DreamPose's dual guidance for three.
    """
    result = predictions[0]
    for (less, more), scale in zip(pairwise(predictions), scales, strict=True):
        result = result + scale * (more - less)
    return result
