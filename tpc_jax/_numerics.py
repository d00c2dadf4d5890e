"""Small numerical helpers that stay finite, in value and in gradient, on degenerate input."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def safe_divide(
    numerator: Float[Array, "*shape"], denominator: Float[Array, "*shape"], fallback: float = 0.0
) -> Float[Array, "*shape"]:
    """Divide, with `fallback` where the denominator is zero.

    Numerics: the denominator is replaced before the division, so neither the value nor the
        gradient of a guarded element is NaN.
    """
    is_zero = denominator == 0
    quotient = numerator / jnp.where(is_zero, jnp.ones_like(denominator), denominator)
    return jnp.where(is_zero, jnp.full_like(quotient, fallback), quotient)


def safe_sqrt(value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Take the square root, with value and gradient zero where the argument is not positive."""
    is_positive = value > 0
    root = jnp.sqrt(jnp.where(is_positive, value, jnp.ones_like(value)))
    return jnp.where(is_positive, root, jnp.zeros_like(root))


def weighted_mean(
    values: Float[Array, "points dims"], weight: Float[Array, " points"]
) -> Float[Array, " dims"]:
    """Average rows by weight; the mean of no weight at all is zero.

    Rows of zero weight must hold finite values.
    """
    total = jnp.sum(weight)
    weighted_sum = jnp.einsum("p,pd->d", weight, values, precision="highest")
    return safe_divide(weighted_sum, jnp.broadcast_to(total, weighted_sum.shape))


def weighted_spread(
    values: Float[Array, "points dims"], weight: Float[Array, " points"]
) -> Float[Array, ""]:
    """Return the root mean square distance of the weighted rows from their mean.

    Unlike in `weighted_mean`, rows of zero weight may hold anything, NaN included.
    """
    counts = weight > 0
    values = jnp.where(counts[:, None], values, jnp.zeros_like(values))
    weight = jnp.where(counts, weight, jnp.zeros_like(weight))
    centred = values - weighted_mean(values, weight)[None, :]
    total = jnp.einsum("p,pd,pd->", weight, centred, centred, precision="highest")
    return safe_sqrt(safe_divide(total, jnp.sum(weight)))


def gaussian_smooth(
    values: Float[Array, "frames channels"], weight: Float[Array, "frames channels"], sigma: float
) -> Float[Array, "frames channels"]:
    """Smooth along frames with a Gaussian that looks only at weighted entries.

    out[i] = sum_j k(i - j) w[j] x[j] / sum_j k(i - j) w[j], with k(d) = exp(-d^2 / (2 sigma^2)).

    Args:
        values: One column per channel; entries of zero weight must be finite and have no effect.
        weight: Non-negative weight of every entry.
        sigma: Standard deviation in frames; zero returns the values unchanged.

    Returns:
        The smoothed values; an entry with no weight in its reach keeps its own value.

    Numerics: the kernel is a [frames, frames] matrix, so that gaps and both ends need no cases.

    Source: own derivation (normalised convolution).
    """
    if sigma < 0:
        raise ValueError(f"sigma must not be negative, got {sigma}")
    if sigma == 0:
        return values
    frame = jnp.arange(values.shape[0], dtype=values.dtype)
    distance = (frame[:, None] - frame[None, :]) / sigma
    kernel = jnp.exp(-0.5 * distance**2)
    total = jnp.matmul(kernel, weight, precision="highest")
    smooth = safe_divide(jnp.matmul(kernel, weight * values, precision="highest"), total)
    return jnp.where(total > 0, smooth, values)
