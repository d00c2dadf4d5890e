"""Where each driving pixel comes from in the reference picture."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from tpc_jax._types import Transform2D


def sampling_grid(
    drv_from_ref: Transform2D, height: int, width: int
) -> tuple[Float[Array, "{height} {width} 2"], Bool[Array, ""]]:
    """Return the reference position (x, y) of every driving pixel centre.

    `x_ref = linear^-1 @ (x_drv - offset)`; pixel (row, column) has its centre at (column, row).

    Args:
        drv_from_ref: Transform from reference to driving pixels.
        height: Rows of the driving canvas.
        width: Columns of the driving canvas.

    Returns:
        Positions in reference pixels, and whether the transform could be inverted.

    Numerics:
        Computed in the transform's dtype. A transform that is not finite, or whose determinant is
        below eps times the squared size of its entries, counts as not invertible; its grid is
        the identity's, so that nothing downstream meets NaN.

    Source:
        Own derivation; pixel convention of OpenCV's `warpAffine`.
    """
    (linear, offset), determinant, invertible = _safe(drv_from_ref)
    x = jnp.arange(width, dtype=linear.dtype)[None, :] - offset[0]
    y = jnp.arange(height, dtype=linear.dtype)[:, None] - offset[1]
    ref_x = (linear[1, 1] * x - linear[0, 1] * y) / determinant
    ref_y = (linear[0, 0] * y - linear[1, 0] * x) / determinant
    return jnp.stack([ref_x, ref_y], axis=-1), invertible


def grid_step(drv_from_ref: Transform2D) -> Float[Array, ""]:
    """Return how many reference pixels neighbouring driving pixels lie apart, x or y, at most.

    Args:
        drv_from_ref: Transform from reference to driving pixels.

    Returns:
        Above 1 where the picture shrinks along either axis; 1 if there is no inverse.
    """
    (linear, _), determinant, _ = _safe(drv_from_ref)
    # A column of the inverse times the determinant is a row of `linear`, turned by 90 degrees.
    lengths = jnp.sqrt(jnp.square(linear).sum(axis=1))
    return lengths.max() / jnp.abs(determinant)


def _safe(
    drv_from_ref: Transform2D,
) -> tuple[Transform2D, Float[Array, ""], Bool[Array, ""]]:
    """Return an invertible transform, its determinant, and whether it is the one given."""
    linear, offset = drv_from_ref.linear, drv_from_ref.offset
    identity, eps = jnp.eye(2, dtype=linear.dtype), jnp.finfo(linear.dtype).eps
    finite = jnp.isfinite(linear).all() & jnp.isfinite(offset).all()
    # Twice, or a determinant of NaN would be passed over and its gradient would not.
    linear = jnp.where(finite, linear, identity)
    determinant = linear[0, 0] * linear[1, 1] - linear[0, 1] * linear[1, 0]
    invertible = finite & (jnp.abs(determinant) > eps * jnp.square(linear).sum())
    linear = jnp.where(invertible, linear, identity)
    offset = jnp.where(invertible, offset, jnp.zeros_like(offset))
    determinant = jnp.where(invertible, determinant, jnp.ones_like(determinant))
    return Transform2D(linear, offset), determinant, invertible
