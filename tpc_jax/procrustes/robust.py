"""The inlier band of a trimmed fit: which points are close enough to be counted in."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from tpc_jax._numerics import safe_sqrt

# Parameters of a planar similarity, each worth one residual coordinate.
_SIMILARITY_DOF = 4


def trimmed_variance_ratio(coverage: float) -> float:
    """Return how much the variance of the closest share of Gaussian errors understates the whole.

    Squared planar errors are exponential with mean 2 sigma^2; this is the mean of those below the
    `coverage` quantile, over 2 sigma^2.

    Args:
        coverage: The share that was kept, in (0, 1].

    Source: own derivation (consistency factor of least trimmed squares for two dimensions).
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must lie in (0, 1], got {coverage}")
    if coverage == 1:
        return 1.0
    rest = 1 - coverage
    return float((coverage + rest * np.log(rest)) / coverage)


def admit_inliers(
    squared_error: Float[Array, " points"],
    subset: Bool[Array, " points"],
    valid: Bool[Array, " points"],
    size: Float[Array, ""],
    *,
    coverage: float,
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
        coverage: Share of the valid points that was fitted.
        band: Half width of the band in deviations; 0 admits only by the floor.
        band_floor: Half width in person sizes that is always admitted: no detector is better.

    Source: one-step reweighted least squares of Rousseeuw and Leroy (1987); corrections ours.
    """
    num_fitted = jnp.sum(subset).astype(squared_error.dtype)
    kept = jnp.where(subset, squared_error, jnp.zeros_like(squared_error))
    degrees = jnp.maximum(2 * num_fitted - _SIMILARITY_DOF, 1)
    variance = jnp.sum(kept) / degrees / trimmed_variance_ratio(coverage)
    limit = jnp.maximum(band * safe_sqrt(variance), band_floor * size)
    return subset | (valid & (squared_error <= limit**2))
