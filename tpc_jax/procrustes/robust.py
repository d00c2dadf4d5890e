"""The inlier band of a trimmed fit: which points are close enough to be counted in."""

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import xlogy
from jaxtyping import Array, Bool, Float

from tpc_jax._numerics import safe_divide, safe_sqrt

# Parameters of a planar similarity, each worth one residual coordinate.
_SIMILARITY_DOF = 4


class Trimming(NamedTuple):
    """Which points a trimmed fit is made from.

    The band is five deviations wide, where Gaussian errors would ask for three: poses differ by
    whole limbs, and sigma, taken from the half that agrees best, knows little of them. Between
    frames of four driving videos the mean IoU of the warped masks is 0.692 for no band, 0.697 for
    3, 0.699 for 5 and 6, 0.692 for 12.

    Attributes:
        coverage: Share of the visible points in the searched subset, in (0, 1].
        band: Half width of the inlier band in estimated deviations per coordinate; 0 for the floor
            alone.
        band_floor: Least half width of the band, in root mean square spreads of the subset; no
            detector places a joint better than 0.02 of the person's size.
    """

    coverage: float = 0.5
    band: float = 5.0
    band_floor: float = 0.02


DEFAULT_TRIMMING = Trimming()


def trimmed_variance_ratio(share: Float[Array, ""]) -> Float[Array, ""]:
    """Return how much the variance of the closest share of Gaussian errors understates the whole.

    Squared planar errors are exponential with mean 2 sigma^2; this is the mean of those below the
    `share` quantile, over 2 sigma^2.

    Args:
        share: The share that was kept, in [0, 1]; of nothing the ratio is 1.

    Source: own derivation (consistency factor of least trimmed squares for two dimensions).
    """
    rest = 1 - share
    return safe_divide(share + xlogy(rest, rest), share, fallback=1.0)


def admit_inliers(
    squared_error: Float[Array, " points"],
    subset: Bool[Array, " points"],
    valid: Bool[Array, " points"],
    size: Float[Array, ""],
    *,
    band: float,
    band_floor: float,
) -> Bool[Array, " points"]:
    """Extend a trimmed subset by the valid points within the inlier band.

    A point is admitted if its error is at most max(band sigma, band_floor size), with sigma the
    deviation per coordinate estimated from the subset and corrected for trimming and for the four
    fitted parameters.

    Args:
        squared_error: Squared distance of every point after alignment, in squared pixels.
        subset: The points that were fitted, which always stay.
        valid: The points that may be admitted.
        size: Root mean square distance of the person's points from their centre, in pixels.
        band: Half width of the band in deviations; 0 admits only by the floor.
        band_floor: Half width in person sizes that is always admitted.

    Source: one-step reweighted least squares of Rousseeuw and Leroy (1987); corrections ours.
    """
    num_fitted = jnp.sum(subset).astype(squared_error.dtype)
    kept = jnp.where(subset, squared_error, jnp.zeros_like(squared_error))
    degrees = jnp.maximum(2 * num_fitted - _SIMILARITY_DOF, 1)
    share = num_fitted / jnp.maximum(jnp.sum(valid).astype(num_fitted.dtype), 1)
    variance = jnp.sum(kept) / degrees / trimmed_variance_ratio(share)
    limit = jnp.maximum(band * safe_sqrt(variance), band_floor * size)
    return subset | (valid & (squared_error <= limit**2))
