"""Planar transforms: apply, compose, invert, convert, measure, bridge gaps, smooth.

Functions take transforms with any leading batch axes and are named target-from-source, so that
`compose(c_from_b, b_from_a)` reads as what it returns. Contractions run at the highest precision.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from tpc_jax._numerics import gaussian_smooth, safe_divide, safe_sqrt
from tpc_jax._types import Transform2D


def identity(batch: tuple[int, ...] = (), dtype: jnp.dtype | type = jnp.float32) -> Transform2D:
    """Return the transform that moves nothing, repeated over the batch axes."""
    linear = jnp.broadcast_to(jnp.eye(2, dtype=dtype), (*batch, 2, 2))
    return Transform2D(linear, jnp.zeros((*batch, 2), dtype=dtype))


def apply(
    out_from_in: Transform2D, xy: Float[Array, "*batch points 2"]
) -> Float[Array, "*batch points 2"]:
    """Move points: x_out = linear @ x_in + offset.

    Args:
        out_from_in: Transforms with batch axes `*batch`.
        xy: Points in pixels of the input frame.

    Returns:
        The points in pixels of the output frame.
    """
    moved = jnp.einsum("...ij,...pj->...pi", out_from_in.linear, xy, precision="highest")
    return moved + out_from_in.offset[..., None, :]


def compose(c_from_b: Transform2D, b_from_a: Transform2D) -> Transform2D:
    """Chain two transforms of equal batch axes, the right one first."""
    linear = jnp.matmul(c_from_b.linear, b_from_a.linear, precision="highest")
    offset = jnp.einsum("...ij,...j->...i", c_from_b.linear, b_from_a.offset, precision="highest")
    return Transform2D(linear, offset + c_from_b.offset)


def invert(out_from_in: Transform2D) -> Transform2D:
    """Return the transform that undoes the given one.

    Numerics: a singular linear part inverts to zero, not to NaN or infinity.
    """
    a, b = out_from_in.linear[..., 0, 0], out_from_in.linear[..., 0, 1]
    c, d = out_from_in.linear[..., 1, 0], out_from_in.linear[..., 1, 1]
    adjugate = jnp.stack([jnp.stack([d, -b], axis=-1), jnp.stack([-c, a], axis=-1)], axis=-2)
    determinant = jnp.broadcast_to((a * d - b * c)[..., None, None], adjugate.shape)
    linear = safe_divide(adjugate, determinant)
    offset = -jnp.einsum("...ij,...j->...i", linear, out_from_in.offset, precision="highest")
    return Transform2D(linear, offset)


def to_matrix(out_from_in: Transform2D) -> Float[Array, "*batch 3 3"]:
    """Return homogeneous 3x3 matrices that act on columns (x, y, 1)."""
    top = jnp.concatenate([out_from_in.linear, out_from_in.offset[..., None]], axis=-1)
    bottom = jnp.broadcast_to(jnp.asarray([[0, 0, 1]], dtype=top.dtype), (*top.shape[:-2], 1, 3))
    return jnp.concatenate([top, bottom], axis=-2)


def from_matrix(matrix: Float[Array, "*batch rows 3"]) -> Transform2D:
    """Read a transform from affine 2x3 or homogeneous 3x3 matrices with last row (0, 0, 1).

    Raises:
        ValueError: If the last two axes are neither 2x3 nor 3x3.
    """
    if matrix.shape[-2:] not in ((2, 3), (3, 3)):
        raise ValueError(f"matrix must be [..., 2, 3] or [..., 3, 3], got {matrix.shape}")
    return Transform2D(matrix[..., :2, :2], matrix[..., :2, 2])


def angle_of(out_from_in: Transform2D) -> Float[Array, "*batch"]:
    """Return the angle of the nearest rotation in radians, in (-pi, pi], from +x towards +y."""
    linear = out_from_in.linear
    sine = linear[..., 1, 0] - linear[..., 0, 1]
    cosine = linear[..., 0, 0] + linear[..., 1, 1]
    # atan2 has no gradient at the origin; the substitute has a zero one.
    is_ambiguous = (sine == 0) & (cosine == 0)
    return jnp.arctan2(sine, jnp.where(is_ambiguous, jnp.ones_like(cosine), cosine))


def scale_of(out_from_in: Transform2D) -> Float[Array, "*batch"]:
    """Return the length ratio sqrt(|det linear|), which for a similarity is its scale."""
    linear = out_from_in.linear
    determinant = (
        linear[..., 0, 0] * linear[..., 1, 1] - linear[..., 0, 1] * linear[..., 1, 0]
    )  # fmt: skip
    return safe_sqrt(jnp.abs(determinant))


def from_angle_scale(
    angle: Float[Array, "*batch"],
    scale: Float[Array, "*batch"],
    offset: Float[Array, "*batch 2"] | None = None,
    *,
    pivot: Float[Array, "*batch 2"] | None = None,
) -> Transform2D:
    """Build similarities that turn and scale about a pivot and then shift.

    x_out = scale R(angle) (x_in - pivot) + pivot + offset.

    Args:
        angle: Rotation in radians, from +x towards +y.
        scale: Positive length ratio.
        offset: Shift in pixels; none by default.
        pivot: The point that turning and scaling leave in place; the origin by default.
    """
    cosine, sine = scale * jnp.cos(angle), scale * jnp.sin(angle)
    linear = jnp.stack(
        [jnp.stack([cosine, -sine], axis=-1), jnp.stack([sine, cosine], axis=-1)], axis=-2
    )
    shift = jnp.zeros_like(linear[..., 0]) if offset is None else offset
    if pivot is not None:
        moved = jnp.einsum("...ij,...j->...i", linear, pivot, precision="highest")
        shift = shift + pivot - moved
    return Transform2D(linear, shift)


class _Motion(NamedTuple):
    """Transforms as what may be averaged along frames."""

    log_scale: Float[Array, " frames"]
    angle: Float[Array, " frames"]
    centre: Float[Array, "frames 2"]
    shear: Float[Array, "frames 2 2"]


def fill_gaps(
    drv_from_ref: Transform2D, weight: Float[Array, " frames"], pivot: Float[Array, " 2"]
) -> tuple[Transform2D, Float[Array, " frames"]]:
    """Interpolate the transforms of one person in frames of zero weight.

    Between the weighted frames on both sides, linearly in time: log scale, angle along the shorter
    way, the image of the pivot and, for affine fits, the shear. At both ends the nearest weighted
    frame is repeated.

    Args:
        drv_from_ref: One transform per frame; the unweighted ones may hold anything.
        weight: Non-negative; zero marks the gaps.
        pivot: A point on the person in reference pixels, such as the centroid of its keypoints.

    Returns:
        The transforms, the weighted ones untouched, the identity in every frame if there are none;
        and the weights, interpolated likewise, but zero at both ends.

    Source: project rule for degenerate frames.
    """
    frame, has_own = jnp.arange(len(weight)), weight > 0
    before = jax.lax.cummax(jnp.where(has_own, frame, -1))
    after = jax.lax.cummin(jnp.where(has_own, frame, len(weight)), reverse=True)
    is_between = (before >= 0) & (after < len(weight))
    first = jnp.where(before >= 0, before, jnp.minimum(after, len(weight) - 1))
    last = jnp.where(is_between, after, first)
    share = (frame - first) / jnp.maximum(last - first, 1)
    share = jnp.where(is_between, share, 0).astype(weight.dtype)

    def over_frames(x: Array, values: Array) -> Array:
        return x.reshape(-1, *[1] * (values.ndim - 1))

    def blend(values: Array) -> Array:
        return values[first] + over_frames(share, values) * (values[last] - values[first])

    still = identity(weight.shape, drv_from_ref.linear.dtype)
    own = jax.tree.map(lambda x, i: jnp.where(over_frames(has_own, x), x, i), drv_from_ref, still)
    motion = _to_motion(own, pivot)
    turn = motion.angle[last] - motion.angle[first]
    turn = turn - 2 * jnp.pi * jnp.round(turn / (2 * jnp.pi))
    bridge = jax.tree.map(blend, motion)._replace(angle=motion.angle[first] + share * turn)
    filled = jax.tree.map(
        lambda x, bridged: jnp.where(over_frames(share > 0, x), bridged, x[first]),
        own,
        _from_motion(bridge, pivot),
    )
    return filled, jnp.where(is_between, blend(weight), 0)


def smooth(
    drv_from_ref: Transform2D,
    weight: Float[Array, " frames"],
    pivot: Float[Array, " 2"],
    sigma: float,
) -> Transform2D:
    """Smooth the transforms of one person along frames with a Gaussian.

    The smoothed quantities are log scale, angle as a unit vector, the image of the pivot, and (for
    affine fits) the shear left when scale and angle are taken out. Unit vectors have no seam: a
    frame that is upside down pulls by its weight, and can turn nobody through a circle. Smoothing
    the image of a point on the person, not the offset, keeps the person in place: the offset is the
    image of the far-away origin, and swings with every change of angle.

    Args:
        drv_from_ref: One transform per frame; the unweighted ones must be finite too.
        weight: How certain each is, non-negative; frames of zero weight have no effect.
        pivot: A point on the person in reference pixels, such as the centroid of its keypoints.
        sigma: Standard deviation in frames; zero returns the transforms unchanged.

    Returns:
        The smoothed transforms; a frame with no weighted frame in reach keeps its own, and its own
        angle where those in reach cancel out.

    Source: own derivation.
    """
    if sigma == 0:
        return drv_from_ref
    motion = _to_motion(drv_from_ref, pivot)
    heading = jnp.stack([jnp.cos(motion.angle), jnp.sin(motion.angle)], axis=1)
    columns = jnp.concatenate(
        [heading, motion.log_scale[:, None], motion.centre, motion.shear.reshape(-1, 4)], axis=1
    )
    weights = jnp.broadcast_to(weight[:, None], columns.shape)
    columns = gaussian_smooth(columns, weights, sigma)
    cosine, sine = columns[:, 0], columns[:, 1]
    has_heading = cosine**2 + sine**2 > jnp.finfo(columns.dtype).eps
    # atan2 has no gradient at the origin.
    angle = jnp.arctan2(jnp.where(has_heading, sine, 0), jnp.where(has_heading, cosine, 1))
    smoothed = _Motion(
        columns[:, 2],
        jnp.where(has_heading, angle, motion.angle),
        columns[:, 3:5],
        columns[:, 5:].reshape(-1, 2, 2),
    )
    return _from_motion(smoothed, pivot)


def _to_motion(drv_from_ref: Transform2D, pivot: Float[Array, " 2"]) -> _Motion:
    scale = jnp.maximum(scale_of(drv_from_ref), jnp.finfo(drv_from_ref.linear.dtype).tiny)
    angle = angle_of(drv_from_ref)
    upright = from_angle_scale(-angle, 1 / scale).linear
    shear = jnp.matmul(upright, drv_from_ref.linear, precision="highest")
    centre = apply(drv_from_ref, jnp.broadcast_to(pivot[None, None, :], (len(angle), 1, 2)))[:, 0]
    return _Motion(jnp.log(scale), angle, centre, shear)


def _from_motion(motion: _Motion, pivot: Float[Array, " 2"]) -> Transform2D:
    turned = from_angle_scale(motion.angle, jnp.exp(motion.log_scale)).linear
    linear = jnp.matmul(turned, motion.shear, precision="highest")
    image = jnp.einsum("fij,j->fi", linear, pivot, precision="highest")
    return Transform2D(linear, motion.centre - image)
