"""Warp one picture and its mask by one transform; callers batch over frames."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from tpc_jax._types import Transform2D
from tpc_jax.warp.grid import grid_step, sampling_grid
from tpc_jax.warp.kernels import Interpolation
from tpc_jax.warp.pyramid import Pyramid, build_pyramid, sample_pyramid
from tpc_jax.warp.sample import Border, Picture

Mask = (
    Float[Array, "height width"]
    | Bool[Array, "height width"]
    | UInt8[Array, "height width"]
    | Float[np.ndarray, "height width"]
    | Bool[np.ndarray, "height width"]
    | UInt8[np.ndarray, "height width"]
)
Warped = (
    Float[Array, "out_height out_width channels"] | UInt8[Array, "out_height out_width channels"]
)
WarpedMask = Float[Array, "out_height out_width"] | UInt8[Array, "out_height out_width"]


def warp_image(
    image: Picture | Pyramid,
    drv_from_ref: Transform2D,
    out_size: tuple[int, int],
    *,
    interpolation: Interpolation = "bicubic",
    border: Border = "zeros",
) -> Warped:
    """Warp a reference picture into the driving frame.

    `out(x) = image(linear^-1 (x - offset))` at every driving pixel centre x, of the image averaged
    over about the area of a driving pixel where it shrinks.

    Args:
        image: Reference picture, floats in [0, 1] or uint8 from 0 to 255; or what `build_pyramid`
            made of it with the same border, once for many warps.
        drv_from_ref: One transform from reference to driving pixels.
        out_size: (height, width) of the driving canvas, which may differ from the picture's.
        interpolation: `nearest`, `bilinear` or `bicubic` (OpenCV's kernel).
        border: What lies outside the picture: `zeros`, `edge` or `reflect`.

    Returns:
        The warped picture in the image's dtype; bicubic overshoot is cut off.

    Raises:
        ValueError: If the interpolation or the border is unknown, or the image holds neither floats
            nor uint8.

    Numerics:
        Sampling in the image's dtype, of uint8 in the transform's. A transform without an inverse
        gives all zeros whatever the border. Where nothing shrinks the kernel is the released
        code's; `nearest` aliases. Many warps are faster under `lax.map` than under `vmap`, which
        filters those too that do not shrink.

    Source:
        TPC, Procrustes warping; the released code's `warpAffine(..., INTER_CUBIC)`, which aliases
        where it shrinks.
    """
    pyramid = image if isinstance(image, Pyramid) else build_pyramid(image, border)
    positions, invertible = sampling_grid(drv_from_ref, *out_size)
    warped = sample_pyramid(pyramid, positions, grid_step(drv_from_ref), interpolation, border)
    is_8bit = pyramid.pixels.dtype == jnp.uint8
    warped = jnp.where(invertible, jnp.clip(warped, 0, 255 if is_8bit else 1), 0)
    return jnp.round(warped).astype(jnp.uint8) if is_8bit else warped


def warp_mask(
    mask: Mask,
    drv_from_ref: Transform2D,
    out_size: tuple[int, int],
    *,
    interpolation: Interpolation = "bicubic",
) -> WarpedMask:
    """Warp a person mask into the driving frame; nobody is outside the picture.

    Args:
        mask: Reference person mask, boolean, or coverage as floats in [0, 1] or uint8 from 0 to
            255.
        drv_from_ref: One transform from reference to driving pixels.
        out_size: (height, width) of the driving canvas.
        interpolation: As for `warp_image`.

    Returns:
        Coverage in [0, 1], or as uint8 if it came so; threshold in the middle for a boolean mask.

    Raises:
        ValueError: As `warp_image`.

    Numerics:
        A boolean mask is sampled in the transform's dtype, any other as `warp_image` does.

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
) -> tuple[Warped, WarpedMask]:
    """Warp a reference picture and its person mask by one transform.

    Args:
        image: Reference picture, as for `warp_image`.
        mask: Its person mask, as for `warp_mask`; a boolean one takes the image's dtype.
        drv_from_ref: One transform from reference to driving pixels.
        out_size: (height, width) of the driving canvas.
        interpolation: As for `warp_image`.
        border: What lies outside the picture; outside the mask there is always nobody.

    Returns:
        The warped picture and the warped coverage.

    Raises:
        ValueError: As `warp_image`.
    """
    image, mask = jnp.asarray(image), jnp.asarray(mask)
    if mask.dtype == jnp.bool_:
        mask = mask.astype(image.dtype) * (255 if image.dtype == jnp.uint8 else 1)
    if border != "zeros" or mask.dtype != image.dtype:
        warped = warp_image(
            image, drv_from_ref, out_size, interpolation=interpolation, border=border
        )
        return warped, warp_mask(mask, drv_from_ref, out_size, interpolation=interpolation)
    # One channel more costs next to nothing, a second picture as much as the first.
    layers = jnp.concatenate([image, mask[..., None]], axis=-1)
    warped = warp_image(layers, drv_from_ref, out_size, interpolation=interpolation)
    return warped[..., :-1], warped[..., -1]


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
