"""Interpolation kernels along one axis: from a position to the pixels it draws on."""

from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

Interpolation = Literal["nearest", "bilinear", "bicubic"]

# The free parameter of Keys' cubic kernel; OpenCV and PyTorch take this one.
_CUBIC_SLOPE = -0.75


class Taps(NamedTuple):
    """Neighbouring pixels along an axis, by whole numbers in the positions' dtype.

    Attributes:
        first: The lowest pixel.
        weights: Weights of this pixel and those after it.
    """

    first: Float[Array, "*grid"]
    weights: list[Float[Array, "*grid"]]


def plain_taps(position: Float[Array, "*grid"], interpolation: Interpolation) -> Taps:
    """Return the pixels that a position lies between: 1, 2 or 4."""
    if interpolation == "nearest":
        return Taps(jnp.floor(position + 0.5), [jnp.ones_like(position)])
    first = jnp.floor(position)
    after = position - first
    if interpolation == "bilinear":
        return Taps(first, [1 - after, after])
    return Taps(first - 1, _cubic_weights(after))


def smooth_taps(position: Float[Array, "*grid"]) -> Taps:
    """Return three pixels, weighted by the quadratic B-spline: a pixel's area, blurred twice."""
    nearest = jnp.floor(position + 0.5)
    after = position - nearest
    below, above = 0.5 - after, 0.5 + after
    return Taps(nearest - 1, [below * below / 2, 0.75 - after * after, above * above / 2])


def mixed_taps(
    position: Float[Array, "*grid"], interpolation: Interpolation, share: Float[Array, ""]
) -> Taps:
    """Return four pixels, weighted by an interpolation and, up to a share, by the B-spline."""
    first, plain = plain_taps(position, interpolation)
    zero = jnp.zeros_like(position)
    if interpolation == "bilinear":
        first, plain = first - 1, [zero, *plain, zero]
    lowest, weights = smooth_taps(position)
    is_later = lowest > first
    aligned = zip(plain, [*weights, zero], [zero, *weights], strict=True)
    return Taps(
        first,
        [sharp + share * (jnp.where(is_later, b, a) - sharp) for sharp, a, b in aligned],
    )


def _cubic_weights(after: Float[Array, "*grid"]) -> list[Float[Array, "*grid"]]:
    """Weights of the pixels at -1, 0, 1, 2 for a position `after` the pixel 0."""

    def near(distance: Float[Array, "*grid"]) -> Float[Array, "*grid"]:
        return ((a + 2) * distance - (a + 3)) * distance * distance + 1

    def far(distance: Float[Array, "*grid"]) -> Float[Array, "*grid"]:
        return ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a

    a = _CUBIC_SLOPE
    return [far(1 + after), near(after), near(1 - after), far(2 - after)]
