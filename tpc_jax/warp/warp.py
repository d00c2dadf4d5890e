"""Warp one picture and its mask by one transform; callers batch over frames."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from tpc_jax._types import Transform2D
from tpc_jax.warp.grid import sampling_grid
from tpc_jax.warp.sample import Border, Interpolation, sample_image

Picture = Float[Array, "height width channels"] | Float[np.ndarray, "height width channels"]
Mask = (
    Float[Array, "height width"]
    | Bool[Array, "height width"]
    | Float[np.ndarray, "height width"]
    | Bool[np.ndarray, "height width"]
)


def warp_image(
    image: Picture,
    drv_from_ref: Transform2D,
    out_size: tuple[int, int],
    *,
    interpolation: Interpolation = "bicubic",
    border: Border = "zeros",
) -> Float[Array, "out_height out_width channels"]:
    """Warp a reference picture into the driving frame.

    `out(x) = image(linear^-1 (x - offset))` at every driving pixel centre x.

    Args:
        image: Reference picture, values in [0, 1].
        drv_from_ref: One transform from reference to driving pixels.
        out_size: (height, width) of the driving canvas, which may differ from the picture's.
        interpolation: `nearest`, `bilinear` or `bicubic` (OpenCV's kernel).
        border: What lies outside the picture: `zeros`, `edge` or `reflect`.

    Returns:
        The warped picture; bicubic overshoot is cut off at 0 and 1.

    Raises:
        ValueError: If the interpolation or the border is unknown.

    Numerics:
        Sampling in the image's dtype. A transform without an inverse gives all zeros whatever
        the border. No low-pass filter: shrinking aliases, as in the released code.

    Source:
        TPC, Procrustes warping; the released code's `warpAffine(..., INTER_CUBIC)`.
    """
    positions, invertible = sampling_grid(drv_from_ref, *out_size)
    warped = sample_image(image, positions, interpolation, border)
    return jnp.where(invertible, jnp.clip(warped, 0, 1), 0)


def warp_mask(
    mask: Mask,
    drv_from_ref: Transform2D,
    out_size: tuple[int, int],
    *,
    interpolation: Interpolation = "bicubic",
) -> Float[Array, "out_height out_width"]:
    """Warp a person mask into the driving frame; nobody is outside the picture.

    Args:
        mask: Reference person mask, coverage in [0, 1] or boolean.
        drv_from_ref: One transform from reference to driving pixels.
        out_size: (height, width) of the driving canvas.
        interpolation: As for `warp_image`.

    Returns:
        Coverage in [0, 1]; threshold at 0.5 for a boolean mask.

    Numerics:
        A boolean mask is sampled in the transform's dtype, any other in its own.

    Source:
        TPC, Procrustes warping.
    """
    coverage = mask.astype(drv_from_ref.linear.dtype) if mask.dtype == jnp.bool_ else mask
    warped = warp_image(coverage[..., None], drv_from_ref, out_size, interpolation=interpolation)
    return warped[..., 0]


def warp_image_and_mask(
    image: Picture,
    mask: Mask,
    drv_from_ref: Transform2D,
    out_size: tuple[int, int],
    *,
    interpolation: Interpolation = "bicubic",
    border: Border = "zeros",
) -> tuple[Float[Array, "out_height out_width channels"], Float[Array, "out_height out_width"]]:
    """Warp a reference picture and its person mask by one transform.

    Args:
        image: Reference picture, values in [0, 1].
        mask: Its person mask, coverage in [0, 1] or boolean.
        drv_from_ref: One transform from reference to driving pixels.
        out_size: (height, width) of the driving canvas.
        interpolation: As for `warp_image`.
        border: What lies outside the picture; outside the mask there is always nobody.

    Returns:
        The warped picture and the warped coverage in [0, 1].
    """
    warped = warp_image(image, drv_from_ref, out_size, interpolation=interpolation, border=border)
    return warped, warp_mask(mask, drv_from_ref, out_size, interpolation=interpolation)


def composite(
    image: Float[Array, "*batch height width channels"],
    mask: Float[Array, "*batch height width"],
    background: Float[Array, "*batch height width channels"],
) -> Float[Array, "*batch height width channels"]:
    """Lay a masked picture over a background: `mask * image + (1 - mask) * background`.

    Args:
        image: The picture on top.
        mask: Its coverage in [0, 1].
        background: The picture below, of the same size.

    Returns:
        The mixture.
    """
    return background + mask[..., None] * (image - background)
