"""DensePose coordinates on a model's canvas."""

import numpy as np
from jaxtyping import Float

from tpc_jax.io.resampling import resample, resize_weights


def fit_uv(
    uv: Float[np.ndarray, "frames height width 2"], size: tuple[int, int]
) -> Float[np.ndarray, "frames {size[0]} {size[1]} 2"]:
    """Stretch coordinates in [0, 1] onto a canvas, bilinearly and without anti-aliasing.

    Args:
        uv: U and V of every pixel, 0 where nobody is.
        size: (height, width) wanted.

    Source: DreamPose's data set (`torchvision` on tensors, before anti-aliasing was its default).
    """
    rows, columns = (
        resize_weights(length, new, "bilinear", False).astype(np.float32)
        for length, new in zip(uv.shape[1:3], size, strict=True)
    )
    fitted = np.empty((len(uv), *size, 2), np.float32)
    for frame, out in zip(uv, fitted, strict=True):
        out[:] = resample(frame, rows, columns)
    return fitted
