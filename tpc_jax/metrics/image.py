"""Picture metrics on float32 images in [0, 1]; every function returns one value per picture.

The published protocol scores PNG files, so it sees 8-bit values: apply `round_to_8bit` to
generated pictures before `psnr` and `mean_absolute_error` to reproduce it. `ssim` is defined on
8-bit grey levels and rounds by itself.
"""

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Int

from tpc_jax.metrics._shared import as_image_pair, as_pixel_weight, weighted_mean

_IDENTICAL_PSNR = 100.0
_SSIM_WINDOW = 7
_SSIM_BORDER = _SSIM_WINDOW // 2


def round_to_8bit(
    images: Float[ArrayLike, "*batch height width channels"],
) -> Float[Array, "*batch height width channels"]:
    """Round images to the values that an 8-bit file would hold: `round(255 x) / 255`.

    Args:
        images: Pictures in [0, 1]; values outside are clipped.

    Returns:
        Pictures in [0, 1] on the 8-bit grid.
    """
    return _levels_8bit(jnp.asarray(images)) / 255.0


def mean_absolute_error(
    pred: Float[ArrayLike, "*batch height width 3"],
    target: Float[ArrayLike, "*batch height width 3"],
) -> Float[Array, "*batch"]:
    """Compute the mean absolute difference over pixels and channels.

    Args:
        pred: Generated pictures in [0, 1].
        target: Ground truth in [0, 1].

    Returns:
        Difference as a fraction of full scale (times 255 for grey levels), in [0, 1]. The "L1"
        of DisCo's tables is this times `255 / (height * width)`, so it depends on resolution.

    Raises:
        ValueError: Different shapes, or integer pictures.
    """
    pred, target = as_image_pair(pred, target)
    return jnp.mean(jnp.abs(pred - target), axis=(-3, -2, -1))


def psnr(
    pred: Float[ArrayLike, "*batch height width 3"],
    target: Float[ArrayLike, "*batch height width 3"],
) -> Float[Array, "*batch"]:
    """Compute the peak signal-to-noise ratio of each picture.

    `-10 log10(mean (pred - target)^2)`, the mean over pixels and channels.

    Args:
        pred: Generated pictures in [0, 1].
        target: Ground truth in [0, 1].

    Returns:
        Ratio in dB; identical pictures count as 100.

    Raises:
        ValueError: Different shapes, or integer pictures.

    Source:
        DisCo's evaluation code in its current, overflow-free version, on 8-bit pictures.
    """
    pred, target = as_image_pair(pred, target)
    return _decibel(jnp.mean(jnp.square(pred - target), axis=(-3, -2, -1)))


def foreground_psnr(
    pred: Float[ArrayLike, "*batch height width 3"],
    target: Float[ArrayLike, "*batch height width 3"],
    mask: Float[ArrayLike, "*batch height width"] | Bool[ArrayLike, "*batch height width"],
) -> Float[Array, "*batch"]:
    """Compute the peak signal-to-noise ratio over the masked pixels of each picture.

    `-10 log10(sum(mask (pred - target)^2) / (3 sum(mask)))`.

    Args:
        pred: Generated pictures in [0, 1].
        target: Ground truth in [0, 1].
        mask: Weight of each pixel, usually the ground truth's person mask; pass `1 - mask` for
            the background.

    Returns:
        Ratio in dB; pixels that are identical count as 100. A picture with an empty mask has no
        value and gives NaN: average with `jnp.nanmean`.

    Raises:
        ValueError: Different shapes, or integer pictures.

    Source:
        Own definition.
    """
    pred, target = as_image_pair(pred, target)
    weight = as_pixel_weight(mask, pred)
    return _decibel(weighted_mean(jnp.mean(jnp.square(pred - target), axis=-1), weight, (-2, -1)))


def ssim(
    pred: Float[ArrayLike, "*batch height width 3"],
    target: Float[ArrayLike, "*batch height width 3"],
) -> Float[Array, "*batch"]:
    """Compute the structural similarity of each picture on 8-bit grey levels.

    Mean over windows of `(2 m_x m_y + C1) (2 c_xy + C2) / ((m_x^2 + m_y^2 + C1) (v_x + v_y + C2))`
    with uniform 7x7 windows that lie inside the picture, sample covariances (divisor 48),
    `C1 = (0.01 * 255)^2` and `C2 = (0.03 * 255)^2`.

    Args:
        pred: Generated pictures in [0, 1], at least 7x7 pixels.
        target: Ground truth in [0, 1].

    Returns:
        Similarity in [-1, 1]; 1 for identical grey levels.

    Raises:
        ValueError: Different shapes, integer pictures, or less than 7 pixels a side.

    Numerics:
        Window sums and covariances are exact in int32, the ratio is float32.

    Source:
        Wang et al. 2004, with scikit-image's defaults and OpenCV's grey conversion, as DisCo's
        evaluation code does.
    """
    dissimilarity = 1.0 - _ssim_map(*as_image_pair(pred, target))
    # Long float32 sums of values near 1 lose more than sums of what they lack of 1.
    return 1.0 - jnp.mean(dissimilarity, axis=(-2, -1))


def foreground_ssim(
    pred: Float[ArrayLike, "*batch height width 3"],
    target: Float[ArrayLike, "*batch height width 3"],
    mask: Float[ArrayLike, "*batch height width"] | Bool[ArrayLike, "*batch height width"],
) -> Float[Array, "*batch"]:
    """Compute the structural similarity over the windows centred on masked pixels.

    The mean of `ssim`'s map weighted by the mask. The outer 3 pixels carry no window, and windows
    at the person's edge see background too.

    Args:
        pred: Generated pictures in [0, 1], at least 7x7 pixels.
        target: Ground truth in [0, 1].
        mask: Weight of each pixel, usually the ground truth's person mask.

    Returns:
        Similarity in [-1, 1]; NaN where the mask is empty.

    Raises:
        ValueError: Different shapes, integer pictures, or less than 7 pixels a side.

    Source:
        Own definition.
    """
    pred, target = as_image_pair(pred, target)
    weight = as_pixel_weight(mask, pred)
    inside = slice(_SSIM_BORDER, -_SSIM_BORDER)
    return weighted_mean(_ssim_map(pred, target), weight[..., inside, inside], (-2, -1))


def mask_iou(
    mask_a: Float[ArrayLike, "*batch height width"] | Bool[ArrayLike, "*batch height width"],
    mask_b: Float[ArrayLike, "*batch height width"] | Bool[ArrayLike, "*batch height width"],
) -> Float[Array, "*batch"]:
    """Compute the intersection over union of two masks, each cut at one half.

    Args:
        mask_a: Masks in [0, 1] or booleans; order does not matter.
        mask_b: The masks to compare with.

    Returns:
        Overlap in [0, 1]. Two empty masks have no value and give NaN: average with `jnp.nanmean`.

    Raises:
        ValueError: Different shapes.
    """
    a, b = jnp.asarray(mask_a), jnp.asarray(mask_b)
    if a.shape != b.shape:
        raise ValueError(f"mask_a and mask_b must have one shape, got {a.shape} and {b.shape}")
    a, b = a.astype(jnp.float32) > 0.5, b.astype(jnp.float32) > 0.5
    return weighted_mean((a & b).astype(jnp.float32), (a | b).astype(jnp.float32), (-2, -1))


def _levels_8bit(images: Array) -> Array:
    """Round to whole 8-bit levels 0...255, kept as float32."""
    return jnp.round(jnp.clip(images.astype(jnp.float32), 0.0, 1.0) * 255.0)


def _gray_levels(
    images: Float[Array, "*batch height width 3"],
) -> Int[Array, "*batch height width"]:
    """Convert to 8-bit grey with OpenCV's fixed-point luma."""
    luma = jnp.asarray([9798, 19235, 3735], jnp.int32)
    weighted = _levels_8bit(images).astype(jnp.int32) * luma
    return (jnp.sum(weighted, axis=-1, dtype=jnp.int32) + (1 << 14)) >> 15


def _window_sum(values: Int[Array, "*batch height width"]) -> Int[Array, "*batch h w"]:
    """Sum every 7x7 window that lies inside the picture."""
    window = (1,) * (values.ndim - 2) + (_SSIM_WINDOW, _SSIM_WINDOW)
    zero = jnp.zeros((), values.dtype)
    return lax.reduce_window(values, zero, lax.add, window, (1,) * values.ndim, "VALID")


def _ssim_map(
    pred: Float[Array, "*batch height width 3"], target: Float[Array, "*batch height width 3"]
) -> Float[Array, "*batch h w"]:
    """Return the similarity of each window inside the picture (6 rows and columns fewer)."""
    if min(pred.shape[-3:-1]) < _SSIM_WINDOW:
        raise ValueError(f"pictures must be at least 7x7 pixels, got {pred.shape[-3:-1]}")
    x, y = _gray_levels(pred), _gray_levels(target)
    count = _SSIM_WINDOW**2
    sum_x, sum_y = _window_sum(x), _window_sum(y)

    def covariance(a: Array, b: Array, sum_a: Array, sum_b: Array) -> Array:
        # In float32 the difference of these two large terms would lose flat windows to rounding.
        centred = count * _window_sum(a * b) - sum_a * sum_b
        return centred.astype(jnp.float32) / (count * (count - 1))

    mean_x, mean_y = (s.astype(jnp.float32) / count for s in (sum_x, sum_y))
    variances = covariance(x, x, sum_x, sum_x) + covariance(y, y, sum_y, sum_y)
    c1, c2 = (0.01 * 255.0) ** 2, (0.03 * 255.0) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance(x, y, sum_x, sum_y) + c2) / (variances + c2)
    return luminance * structure


def _decibel(mse: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Convert a mean squared error at full scale 1 to dB, with the convention for zero."""
    return jnp.where(mse == 0.0, _IDENTICAL_PSNR, -10.0 * jnp.log10(mse))
