"""Picture metrics on float32 images in [0, 1]; every function returns one value per picture.

The published protocol scores PNG files, so mode `disco` rounds to 8-bit values; mode `correct`
takes the floats as they are, which tells generated pictures apart that files would not. `ssim` is
defined on 8-bit grey levels in both modes.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike
from jaxtyping import Bool, Float, Int

from tpc_jax.metrics._shared import as_image_pair, as_pixel_weight, levels_8bit, weighted_mean
from tpc_jax.metrics.modes import Mode, check_mode

Mask = Float[ArrayLike, "*batch height width"] | Bool[ArrayLike, "*batch height width"]

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
    return levels_8bit(jnp.asarray(images)) / 255.0


def mean_absolute_error(
    pred: Float[ArrayLike, "*batch height width 3"],
    target: Float[ArrayLike, "*batch height width 3"],
    mask: Mask | None = None,
    *,
    mode: Mode = "correct",
) -> Float[Array, "*batch"]:
    """Compute the mean absolute difference over pixels and channels.

    `sum(mask |pred - target|) / (3 sum(mask))`; in mode `disco` the mean of 8-bit differences
    divided by height * width once more.

    Args:
        pred: Generated pictures in [0, 1].
        target: Ground truth in [0, 1].
        mask: Weight of each pixel; all alike by default. Mode `disco` knows none.
        mode: `correct`, or `disco` for the "L1" of its tables, which depends on resolution: name
            that beside it.

    Returns:
        Difference as a fraction of full scale, in [0, 1]; NaN where the mask is empty. In mode
        `disco` grey levels per number of pixels: times `height * width` it is the mean difference
        in levels.

    Raises:
        ValueError: Different shapes, integer pictures, unknown mode, or a mask in mode `disco`.

    Source:
        The standard definition; DisCo's evaluation code.
    """
    pred, target = as_image_pair(pred, target)
    if _is_disco(mode, mask):
        height, width = pred.shape[-3:-1]
        return _integer_mean(jnp.abs(_level_difference(pred, target))) / (height * width)
    return _masked_mean(jnp.mean(jnp.abs(pred - target), axis=-1), mask)


def psnr(
    pred: Float[ArrayLike, "*batch height width 3"],
    target: Float[ArrayLike, "*batch height width 3"],
    mask: Mask | None = None,
    *,
    mode: Mode = "correct",
) -> Float[Array, "*batch"]:
    """Compute the peak signal-to-noise ratio of each picture.

    `-10 log10(sum(mask (pred - target)^2) / (3 sum(mask)))`.

    Args:
        pred: Generated pictures in [0, 1].
        target: Ground truth in [0, 1].
        mask: Weight of each pixel; all alike by default. Mode `disco` knows none.
        mode: `correct`, or `disco` for 8-bit pictures.

    Returns:
        Ratio in dB; identical pictures count as 100. NaN where the mask is empty.

    Raises:
        ValueError: Different shapes, integer pictures, unknown mode, or a mask in mode `disco`.

    Source:
        DisCo's evaluation code in its current, overflow-free version.
    """
    pred, target = as_image_pair(pred, target)
    if _is_disco(mode, mask):
        squares = jnp.square(_level_difference(pred, target))
        return _decibel(_integer_mean(squares) / 255.0**2)
    return _decibel(_masked_mean(jnp.mean(jnp.square(pred - target), axis=-1), mask))


def overflowing_psnr(
    pred: Float[ArrayLike, "*batch height width 3"],
    target: Float[ArrayLike, "*batch height width 3"],
) -> Float[Array, "*batch"]:
    """Compute the wrong ratio of DisCo's first release, to compare with tables that quote it.

    Differences of 8-bit pictures and their squares both wrap modulo 256, which gives some 28 to
    30 dB for almost any pair. It says nothing about the pictures.

    Args:
        pred: Generated pictures in [0, 1].
        target: Ground truth in [0, 1].

    Returns:
        "Ratio" in dB; 100 where all squares wrap to zero.

    Raises:
        ValueError: Different shapes, or integer pictures.

    Source:
        DisCo's evaluation code as first released, with `uint8` arrays.
    """
    pred, target = as_image_pair(pred, target)
    wrapped = jnp.square(_level_difference(pred, target) % 256) % 256
    return _decibel(_integer_mean(wrapped) / 255.0**2)


def ssim(
    pred: Float[ArrayLike, "*batch height width 3"],
    target: Float[ArrayLike, "*batch height width 3"],
    mask: Mask | None = None,
) -> Float[Array, "*batch"]:
    """Compute the structural similarity of each picture on 8-bit grey levels.

    Mean over windows of `(2 m_x m_y + C1) (2 c_xy + C2) / ((m_x^2 + m_y^2 + C1) (v_x + v_y + C2))`
    with uniform 7x7 windows that lie inside the picture, sample covariances (divisor 48),
    `C1 = (0.01 * 255)^2` and `C2 = (0.03 * 255)^2`. It is the same in both modes.

    Args:
        pred: Generated pictures in [0, 1], at least 7x7 pixels.
        target: Ground truth in [0, 1].
        mask: Weight of each pixel, to average over the windows centred on masked pixels. The outer
            3 pixels carry no window, and windows at a mask's edge see beyond it.

    Returns:
        Similarity in [-1, 1]; 1 for identical grey levels, NaN where the mask is empty.

    Raises:
        ValueError: Different shapes, integer pictures, or less than 7 pixels a side.

    Numerics:
        Window sums and covariances are exact in int32, the ratio is float32.

    Source:
        Wang et al. 2004, with scikit-image's defaults and OpenCV's grey conversion, as DisCo's
        evaluation code does.
    """
    pred, target = as_image_pair(pred, target)
    weight = None if mask is None else as_pixel_weight(mask, pred)
    similarity = _ssim_map(pred, target)
    if weight is None:
        # Sums of values near 1 lose more than sums of what they lack of 1, and the other way round.
        similar = 1.0 - _mean_of_means(1.0 - similarity)
        return jnp.where(similar > 0.5, similar, _mean_of_means(similarity))
    inside = slice(_SSIM_BORDER, -_SSIM_BORDER)
    return weighted_mean(similarity, weight[..., inside, inside], (-2, -1))


def mask_iou(
    mask_a: Mask,
    mask_b: Mask,
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


def person_iou(
    masks: Float[np.ndarray, "people frames height width"],
    target_masks: Bool[np.ndarray, "people frames height width"],
) -> Float[np.ndarray, " people"]:
    """Compute how well each person's mask lies on its target, averaged over the clip.

    Args:
        masks: Coverage of each person in [0, 1], such as that of the warped reference.
        target_masks: Where each of them is in the true frames.

    Returns:
        Mean `mask_iou` over the frames in which the person is there; NaN for one who never is.
    """
    is_there = target_masks.any((-2, -1))
    overlap = np.where(is_there, np.asarray(mask_iou(masks, target_masks), np.float64), 0.0)
    count = is_there.sum(-1)
    return np.divide(overlap.sum(-1), count, out=np.full(len(masks), np.nan), where=count > 0)


def _is_disco(mode: Mode, mask: ArrayLike | None) -> bool:
    """Check the mode and that it can take the mask."""
    check_mode(mode)
    if mode == "disco" and mask is not None:
        raise ValueError("mode 'disco' has no masked metrics; leave out mask or use mode='correct'")
    return mode == "disco"


def _masked_mean(
    values: Float[Array, "*batch height width"], mask: ArrayLike | None
) -> Float[Array, "*batch"]:
    """Average over pixels, weighted by the mask if there is one."""
    if mask is None:
        return jnp.mean(values, axis=(-2, -1))
    return weighted_mean(values, as_pixel_weight(mask, values[..., None]), (-2, -1))


def _mean_of_means(values: Float[Array, "*batch height width"]) -> Float[Array, "*batch"]:
    """Average along rows, then over rows: short float32 sums keep more digits than a long one."""
    return jnp.mean(jnp.mean(values, axis=-1), axis=-1)


def _level_difference(
    pred: Float[Array, "*batch height width 3"], target: Float[Array, "*batch height width 3"]
) -> Int[Array, "*batch height width 3"]:
    """Subtract 8-bit levels as signed numbers."""
    return (levels_8bit(pred) - levels_8bit(target)).astype(jnp.int32)


def _integer_mean(values: Int[Array, "*batch height width 3"]) -> Float[Array, "*batch"]:
    """Average over pixels and channels; sums along rows are exact up to 11,000 pixels."""
    rows = jnp.sum(values, axis=(-2, -1), dtype=jnp.int32).astype(jnp.float32)
    return jnp.mean(rows, axis=-1) / (3 * values.shape[-2])


def _gray_levels(
    images: Float[Array, "*batch height width 3"],
) -> Int[Array, "*batch height width"]:
    """Convert to 8-bit grey with OpenCV's fixed-point luma."""
    luma = jnp.asarray([9798, 19235, 3735], jnp.int32)
    weighted = levels_8bit(images).astype(jnp.int32) * luma
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
