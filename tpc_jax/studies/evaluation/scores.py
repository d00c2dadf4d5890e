"""Scores of an animated clip against its true frames."""

import numpy as np
from jaxtyping import Bool, UInt8

from tpc_jax.io.images import from_uint8
from tpc_jax.metrics.image import foreground_psnr, psnr, ssim
from tpc_jax.metrics.temporal import flicker


def score_clip(
    frames: UInt8[np.ndarray, "frames height width 3"],
    truth: UInt8[np.ndarray, "frames height width 3"],
    masks: Bool[np.ndarray, "frames height width"],
) -> dict[str, float]:
    """Return scores averaged over the frames of one clip.

    Args:
        frames: The animated clip.
        truth: The true clip.
        masks: Where the person is in the true clip.

    Returns:
        `foreground_psnr` and `psnr` in dB, `ssim`, and `flicker`: how much of the picture changes
        from frame to frame where the truth stands still, in [0, 1].
    """
    predicted, target = from_uint8(frames), from_uint8(truth)
    return {
        "foreground_psnr": float(np.nanmean(foreground_psnr(predicted, target, masks))),
        "psnr": float(np.mean(psnr(predicted, target))),
        "ssim": float(np.mean(ssim(predicted, target))),
        "flicker": float(flicker(predicted, target)),
    }
