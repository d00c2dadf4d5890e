"""Which keypoints to trust. Points are masked, never dropped."""

import jax.numpy as jnp
from jaxtyping import Array, Bool

from tpc_jax._types import Keypoints

# The detector confidence that a point must exceed, in the paper's code and here.
DEFAULT_TAU = 0.3


def visible(keypoints: Keypoints, tau: float = DEFAULT_TAU) -> Bool[Array, "*batch points"]:
    """Mark the points with confidence above tau and finite coordinates.

    Args:
        keypoints: Any batch axes.
        tau: Confidence threshold, strict; 0 keeps every point that was detected at all.

    Returns:
        True for points that may take part in a fit; a NaN coordinate or confidence is not visible.
    """
    return jnp.asarray(keypoints.conf > tau) & jnp.all(jnp.isfinite(keypoints.xy), axis=-1)
