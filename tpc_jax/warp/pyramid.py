"""A picture and its halvings, which together can be read at any size without aliasing."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from tpc_jax.warp.kernels import Interpolation, Taps, mixed_taps, plain_taps, smooth_taps
from tpc_jax.warp.sample import (
    Border,
    Picture,
    axis_taps,
    check_options,
    check_picture,
    weighted_sum,
)

# Distance of samples, in pixels, at which the B-spline alone reads a picture: less blurs, more
# shimmers. Chosen on noise, textures and drawn people.
_SMOOTH_STEP = 1.4
# What this much more than a step of 1 would change is far below a grey level of 8 bits.
_ROUNDING = 1e-4
_PADDING = {"zeros": "constant", "edge": "edge", "reflect": "reflect"}


class Pyramid(NamedTuple):
    """A picture, the same at half the size, and so on down to one pixel.

    Attributes:
        pixels: All levels one after the other, each row by row.
        levels: Number of the first pixel, height and width of every level.
    """

    pixels: Shaped[Array, "count channels"]
    levels: Int[Array, "levels 3"]


def build_pyramid(image: Picture, border: Border = "zeros") -> Pyramid:
    """Halve a picture by averages of 2 x 2 pixels until one pixel is left.

    Args:
        image: Floats in [0, 1], or uint8 from 0 to 255.
        border: What lies outside, which the averages of an odd size reach.

    Returns:
        Levels of the image's dtype.

    Raises:
        ValueError: If the border is unknown, or the image holds neither floats nor uint8.
    """
    check_options("bicubic", border)
    check_picture(image)
    levels = [jnp.asarray(image)]
    while max(levels[-1].shape[:2]) > 1:
        levels.append(_halve(levels[-1], border))
    flat = [level.reshape(-1, image.shape[2]) for level in levels]
    starts = np.cumsum([0, *map(len, flat[:-1])])
    table = [(start, *level.shape[:2]) for start, level in zip(starts, levels, strict=True)]
    return Pyramid(jnp.concatenate(flat), jnp.asarray(table, jnp.int32))


def sample_pyramid(
    pyramid: Pyramid,
    positions: Float[Array, "*grid 2"],
    step: Float[Array, ""],
    interpolation: Interpolation = "bicubic",
    border: Border = "zeros",
) -> Float[Array, "*grid channels"]:
    """Interpolate a picture at positions that lie `step` of its pixels apart.

    Up to a step of 1 that is `sample_image`. From there the kernel turns into a quadratic B-spline,
    and then the result into that of the halved picture read by it, and so on. Shares grow with the
    square of the step, as does the variance of the area that a sample stands for: nothing jumps
    while a picture shrinks.

    Args:
        pyramid: The picture.
        positions: (x, y) in pixels of the picture.
        step: Distance of neighbouring positions in pixels of the picture.
        interpolation: As for `sample_image`; `nearest` takes pixels of the picture at any step.
        border: As for `sample_image`; that which the pyramid was built with.

    Returns:
        As `sample_image`.

    Raises:
        ValueError: If the interpolation or the border is unknown.

    Numerics:
        The levels are constant for gradients, their shares are not.

    Source: own choice; the levels are Williams' (Pyramidal parametrics, 1983).
    """
    check_options(interpolation, border)

    def level_at(level, kernel):
        return _sample_level(pyramid, level, positions, border, kernel)

    def picture():
        return level_at(jnp.int32(0), lambda x: mixed_taps(x, interpolation, share))

    def halvings():
        last = len(pyramid.levels) - 1
        fine, coarse = (level_at(jnp.clip(n, 0, last), smooth_taps) for n in (level, level + 1))
        return fine + share.astype(fine.dtype) * (coarse - fine)

    if interpolation == "nearest":
        return level_at(jnp.int32(0), lambda x: plain_taps(x, "nearest"))
    level, share = _level_and_share(step)
    return jax.lax.cond(level < 0, picture, halvings)


def _level_and_share(step: Float[Array, ""]) -> tuple[Int[Array, ""], Float[Array, ""]]:
    """Return the finer of two levels and the share of the coarser, the B-spline's at level -1."""
    # Rounding of a transform that keeps sizes is no reason to read two levels.
    step = jnp.where(step > 1 + _ROUNDING, step, 1)
    level = jnp.maximum(jnp.floor(jnp.log2(step / _SMOOTH_STEP)), -1)
    is_plain = level < 0
    start = jnp.where(is_plain, 1, _SMOOTH_STEP * 2**level)
    end = _SMOOTH_STEP * 2 ** (level + 1)
    share = ((step / start) ** 2 - 1) / ((end / start) ** 2 - 1)
    return level.astype(jnp.int32), jnp.clip(share, 0, 1)


def _sample_level(
    pyramid: Pyramid,
    level: Int[Array, ""],
    positions: Float[Array, "*grid 2"],
    border: Border,
    kernel: Callable[[Float[Array, "*grid"]], Taps],
) -> Float[Array, "*grid channels"]:
    """Sample one level; positions are those in the picture."""
    start, height, width = pyramid.levels[level]
    # Areas are what is halved, hence half pixels; nothing is rounded at the first level.
    size = 2.0 ** level.astype(positions.dtype)
    positions = positions / size + (0.5 / size - 0.5)
    rows = axis_taps(positions[..., 1], height, border, kernel)
    columns = axis_taps(positions[..., 0], width, border, kernel)
    return weighted_sum(pyramid.pixels, start, width, rows, columns)


def _halve(
    image: Shaped[Array, "height width channels"], border: Border
) -> Shaped[Array, "_height _width channels"]:
    height, width, _ = image.shape
    even = jnp.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode=_PADDING[border])
    is_float = jnp.issubdtype(image.dtype, jnp.floating)
    even = even if is_float else even.astype(jnp.uint16)
    total = (even[::2, ::2] + even[1::2, ::2]) + (even[::2, 1::2] + even[1::2, 1::2])
    return total / 4 if is_float else ((total + 2) // 4).astype(image.dtype)
