"""Temporal consistency of generated clips whose ground truth is known.

The measures look at frame-to-frame differences only. None estimates optical flow, so no second
estimator's errors enter the score.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Bool, Float

from tpc_jax.metrics._shared import as_image_pair, as_pixel_weight, levels_8bit, weighted_mean
from tpc_jax.metrics.modes import Mode, check_mode

Mask = (
    Float[ArrayLike, "*batch frames height width"] | Bool[ArrayLike, "*batch frames height width"]
)


def frame_difference_error(
    pred: Float[ArrayLike, "*batch frames height width 3"],
    target: Float[ArrayLike, "*batch frames height width 3"],
    mask: Mask | None = None,
    *,
    mode: Mode = "correct",
) -> Float[Array, "*batch"]:
    """Compute the mean error of the clip's frame-to-frame differences.

    `mean |(pred[t+1] - pred[t]) - (target[t+1] - target[t])|` over t, pixels and channels. An error
    that stands still costs nothing here: only its changes count.

    Args:
        pred: Generated clips in [0, 1], two frames or more.
        target: Ground truth in [0, 1].
        mask: Weight of each pixel in each frame, such as the ground truth's person masks; a pair
            of frames takes the larger of its two weights. All pixels count alike by default. Mode
            `disco` knows none.
        mode: `correct`, or `disco` for its `dtssd`: the mean square over the first pair of frames,
            in 8-bit grey levels, at 256x256.

    Returns:
        Error as a fraction of full scale per frame step, in [0, 2]; NaN where the mask is empty.
        In mode `disco` squared grey levels.

    Raises:
        ValueError: Different shapes, integer pictures, fewer than two frames, unknown mode, or a
            mask in mode `disco`.

    Source:
        Own definition; DisCo's evaluation code.
    """
    check_mode(mode)
    pred, target = as_image_pair(pred, target)
    if mode == "disco":
        if mask is not None:
            raise ValueError("mode 'disco' has no masked metrics; leave out mask")
        change = _steps(levels_8bit(pred)) - _steps(levels_8bit(target))
        return jnp.mean(jnp.square(change[..., 0, :, :, :]), axis=(-3, -2, -1))
    error = jnp.mean(jnp.abs(_steps(pred) - _steps(target)), axis=-1)
    if mask is None:
        return jnp.mean(error, axis=(-3, -2, -1))
    weight = as_pixel_weight(mask, pred)
    weight = jnp.maximum(weight[..., 1:, :, :], weight[..., :-1, :, :])
    return weighted_mean(error, weight, (-3, -2, -1))


def flicker(
    pred: Float[ArrayLike, "*batch frames height width 3"],
    target: Float[ArrayLike, "*batch frames height width 3"],
) -> Float[Array, "*batch"]:
    """Compute the mean frame-to-frame change where the ground truth stands still.

    `mean |pred[t+1] - pred[t]|` over the pixels whose ground truth changes by less than half an
    8-bit level in every channel, so true motion is never mistaken for flicker.

    Args:
        pred: Generated clips in [0, 1], two frames or more.
        target: Ground truth in [0, 1], free of noise (synthetic clips, a static camera).

    Returns:
        Change as a fraction of full scale per frame step, in [0, 1]; NaN where nothing stands
        still.

    Raises:
        ValueError: Different shapes, integer pictures, or fewer than two frames.

    Source:
        Own definition.
    """
    pred, target = as_image_pair(pred, target)
    is_still = jnp.all(jnp.abs(_steps(target)) < 0.5 / 255.0, axis=-1)
    change = jnp.mean(jnp.abs(_steps(pred)), axis=-1)
    return weighted_mean(change, is_still.astype(jnp.float32), (-3, -2, -1))


def _steps(
    clip: Float[Array, "*batch frames height width 3"],
) -> Float[Array, "*batch steps height width 3"]:
    """Return the differences between neighbouring frames."""
    if clip.ndim < 4 or clip.shape[-4] < 2:
        raise ValueError(f"clips must have shape (..., frames >= 2, h, w, 3), got {clip.shape}")
    return jnp.diff(clip, axis=-4)
