"""Which keypoints to trust, and smoothing them along time. Points are masked, never dropped."""

import jax.numpy as jnp
from jaxtyping import Array, Bool

from tpc_jax._numerics import gaussian_smooth
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


def smooth_keypoints(keypoints: Keypoints, sigma: float, tau: float = DEFAULT_TAU) -> Keypoints:
    """Smooth each keypoint of one person along frames, looking at visible frames only.

    Args:
        keypoints: One person, `xy` [frames points 2].
        sigma: Standard deviation of the Gaussian in frames; zero changes nothing.
        tau: Confidence threshold of visibility.

    Returns:
        Keypoints of the same shape. Visible points move to their weighted mean in time; points that
        are not visible keep their coordinates and confidence: smoothing detects nothing.

    Raises:
        ValueError: If `xy` is not [frames points 2] or sigma is negative.

    Source: own derivation.
    """
    if keypoints.xy.ndim != 3 or keypoints.xy.shape[-1] != 2:
        raise ValueError(f"keypoints.xy must be [frames, points, 2], got {keypoints.xy.shape}")
    is_visible = jnp.broadcast_to(visible(keypoints, tau)[..., None], keypoints.xy.shape)
    num_frames = keypoints.xy.shape[0]
    columns = jnp.where(is_visible, keypoints.xy, 0).reshape(num_frames, -1)
    weight = is_visible.astype(keypoints.xy.dtype).reshape(num_frames, -1)
    smooth = gaussian_smooth(columns, weight, sigma).reshape(keypoints.xy.shape)
    return Keypoints(jnp.where(is_visible, smooth, keypoints.xy), keypoints.conf)
