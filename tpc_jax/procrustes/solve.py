"""Weighted closed-form alignment of reference points to driving points, one problem at a time.

Every solver takes (ref, drv, weight) and returns a `ProcrustesResult`; batch with `jax.vmap`.
A point counts when its weight is positive; the coordinates of other points, NaN included, have no
effect. Input that does not determine a transform yields the identity and says why in `status`.

Numerics shared by all solvers: computed in the dtype of the points after centring, contractions at
the highest precision; every division is guarded, so gradients are finite on degenerate input too.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tpc_jax._numerics import safe_divide, safe_sqrt, weighted_mean
from tpc_jax._types import ProcrustesResult, SolveStatus, Transform2D

Solver = Callable[
    [Float[Array, "points 2"], Float[Array, "points 2"], Float[Array, " points"]], ProcrustesResult
]

# Spread, relative to the distance from the origin, below which rounding cannot tell points apart.
_SPREAD_EPS = 16.0


class _Centred(NamedTuple):
    """Points about their weighted means, masked rows zero, with the sums every solver needs."""

    ref: Float[Array, "points dims"]
    drv: Float[Array, "points dims"]
    weight: Float[Array, " points"]
    ref_mean: Float[Array, " dims"]
    drv_mean: Float[Array, " dims"]
    ref_spread: Float[Array, ""]
    drv_spread: Float[Array, ""]
    has_spread: Bool[Array, ""]


def _centre(
    ref: Float[Array, "points dims"],
    drv: Float[Array, "points dims"],
    weight: Float[Array, " points"],
) -> _Centred:
    """Mask, subtract the weighted means and sum the squared spreads."""
    if ref.ndim != 2 or ref.shape != drv.shape:
        raise ValueError(f"ref and drv must share one [points, dims] shape, got {ref.shape}, "
                         f"{drv.shape}")  # fmt: skip
    if weight.shape != ref.shape[:1]:
        raise ValueError(f"weight must have shape {ref.shape[:1]}, got {weight.shape}")
    counts = weight > 0
    weight = jnp.where(counts, weight, jnp.zeros_like(weight))
    ref, drv = (jnp.where(counts[:, None], x, jnp.zeros_like(x)) for x in (ref, drv))
    ref_mean, drv_mean = weighted_mean(ref, weight), weighted_mean(drv, weight)
    centred_ref, centred_drv = (
        jnp.where(counts[:, None], x - mean[None, :], jnp.zeros_like(x))
        for x, mean in ((ref, ref_mean), (drv, drv_mean))
    )
    ref_spread, drv_spread = (_sum_of_squares(x, weight) for x in (centred_ref, centred_drv))
    eps = (_SPREAD_EPS * jnp.finfo(ref.dtype).eps) ** 2
    has_spread = (ref_spread > eps * _sum_of_squares(ref, weight)) & (
        drv_spread > eps * _sum_of_squares(drv, weight)
    )
    return _Centred(
        centred_ref, centred_drv, weight, ref_mean, drv_mean, ref_spread, drv_spread, has_spread
    )


def _sum_of_squares(
    xy: Float[Array, "points dims"], weight: Float[Array, " points"]
) -> Float[Array, ""]:
    return jnp.einsum("p,pd,pd->", weight, xy, xy, precision="highest")


def _complex_correlation(c: _Centred) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return real and imaginary part of sum w conj(ref) drv, points read as complex numbers."""
    cross = jnp.einsum("p,pi,pj->ij", c.weight, c.ref, c.drv, precision="highest")
    return cross[0, 0] + cross[1, 1], cross[0, 1] - cross[1, 0]


def _rotation_like(cosine: Float[Array, ""], sine: Float[Array, ""]) -> Float[Array, "2 2"]:
    """Arrange cosine and sine (or multiples of them) as a rotation matrix."""
    return jnp.stack([jnp.stack([cosine, -sine]), jnp.stack([sine, cosine])])


def _status(c: _Centred, min_points: int, is_determined: Bool[Array, ""]) -> Int[Array, ""]:
    """Name the first reason why a fit is not determined, or OK."""
    status = jnp.where(
        c.has_spread & is_determined, SolveStatus.OK.value, SolveStatus.ZERO_SPREAD.value
    )
    too_few = jnp.sum(c.weight > 0) < min_points
    return jnp.where(too_few, SolveStatus.TOO_FEW_POINTS.value, status).astype(jnp.int32)


def _finish(
    c: _Centred, linear: Float[Array, "dims dims"], status: Int[Array, ""]
) -> ProcrustesResult:
    """Add the translation that maps mean to mean, the residual, and the identity fallback."""
    is_ok = status == SolveStatus.OK.value
    identity = jnp.eye(linear.shape[0], dtype=linear.dtype)
    linear = jnp.where(is_ok, linear, identity)
    shift = c.drv_mean - jnp.matmul(linear, c.ref_mean, precision="highest")
    offset = jnp.where(is_ok, shift, jnp.zeros_like(shift))
    # Centred coordinates keep the residual exact to rounding of the person, not of the canvas.
    left_over = jnp.where(is_ok, jnp.zeros_like(shift), c.drv_mean - c.ref_mean)
    error = c.drv - jnp.matmul(c.ref, linear.T, precision="highest") + left_over[None, :]
    residual = safe_divide(_sum_of_squares(error, c.weight), jnp.sum(c.weight))
    return ProcrustesResult(Transform2D(linear, offset), residual, status)


def solve_similarity(
    ref: Float[Array, "points 2"], drv: Float[Array, "points 2"], weight: Float[Array, " points"]
) -> ProcrustesResult:
    """Fit the scale, rotation and translation that map reference points onto driving points.

    min over complex z, t of sum w |drv - (z ref + t)|^2, z = sum w conj(ref') drv' / sum w |ref'|^2
    with primes for centred points; |z| is the scale, arg z the angle.

    Args:
        ref: Reference keypoints in reference pixels.
        drv: The same keypoints in driving pixels.
        weight: Non-negative weight per point; zero masks the point.

    Returns:
        The transform, the Procrustes residual and the status.

    Raises:
        ValueError: If the shapes do not agree.

    Numerics: a multiplication by a complex number cannot reflect. TOO_FEW_POINTS below two points;
        ZERO_SPREAD if either side is one point repeated or no rotation is better than another.

    Source: least-squares similarity of Umeyama (1991), complex form in 2-D by own derivation.
    """
    c = _centre(ref, drv, weight)
    cosine, sine = _complex_correlation(c)
    z = _rotation_like(safe_divide(cosine, c.ref_spread), safe_divide(sine, c.ref_spread))
    return _finish(c, z, _status(c, 2, _has_direction(c, cosine, sine)))


def _has_direction(
    c: _Centred, cosine: Float[Array, ""], sine: Float[Array, ""]
) -> Bool[Array, ""]:
    """Tell whether the correlation stands out of rounding, so that it has an angle."""
    eps = _SPREAD_EPS * jnp.finfo(cosine.dtype).eps
    return cosine**2 + sine**2 > eps**2 * c.ref_spread * c.drv_spread


def solve_rigid(
    ref: Float[Array, "points 2"], drv: Float[Array, "points 2"], weight: Float[Array, " points"]
) -> ProcrustesResult:
    """Fit the rotation and translation, scale one, that map reference onto driving points.

    min over |z| = 1, t of sum w |drv - (z ref + t)|^2, z the direction of sum w conj(ref') drv'.
    Arguments, result and degenerate cases are those of `solve_similarity`.

    Source: own derivation (the similarity with its scale left out).
    """
    c = _centre(ref, drv, weight)
    cosine, sine = _complex_correlation(c)
    size = safe_sqrt(cosine**2 + sine**2)
    z = _rotation_like(safe_divide(cosine, size), safe_divide(sine, size))
    return _finish(c, z, _status(c, 2, _has_direction(c, cosine, sine)))


def solve_translation_scale(
    ref: Float[Array, "points 2"], drv: Float[Array, "points 2"], weight: Float[Array, " points"]
) -> ProcrustesResult:
    """Fit the scale and translation, no rotation, that map reference onto driving points.

    min over s > 0, t of sum w |drv - (s ref + t)|^2 / s, solved by s^2 = sum w |drv'|^2 /
    sum w |ref'|^2: error is shared by both sides. Plain least squares would shrink a person whom
    it may not turn, to nothing at 90 degrees. Arguments and result as in `solve_similarity`.

    Numerics: TOO_FEW_POINTS below two points, ZERO_SPREAD if either side is one point repeated.

    Source: the "linear" transform of the paper's ablation, which no text defines; symmetric scale
        of Horn (1987).
    """
    c = _centre(ref, drv, weight)
    scale = safe_sqrt(safe_divide(c.drv_spread, c.ref_spread))
    linear = _rotation_like(scale, jnp.zeros_like(scale))
    return _finish(c, linear, _status(c, 2, jnp.asarray(True)))


def solve_affine(
    ref: Float[Array, "points 2"], drv: Float[Array, "points 2"], weight: Float[Array, " points"]
) -> ProcrustesResult:
    """Fit the 2x2 matrix and translation that map reference onto driving points.

    min over A, t of sum w |drv - (A ref + t)|^2, A = (sum w drv' ref'^T) (sum w ref' ref'^T)^-1.
    Arguments and result as in `solve_similarity`; the only solver whose result may reflect or
    shear, because its six parameters are free.

    Numerics: TOO_FEW_POINTS below three points, ZERO_SPREAD if the reference points lie on a line
        or either side is one point repeated.

    Source: ordinary least squares.
    """
    c = _centre(ref, drv, weight)
    scatter = jnp.einsum("p,pi,pj->ij", c.weight, c.ref, c.ref, precision="highest")
    cross = jnp.einsum("p,pi,pj->ij", c.weight, c.drv, c.ref, precision="highest")
    determinant = scatter[0, 0] * scatter[1, 1] - scatter[0, 1] * scatter[1, 0]
    adjugate = jnp.trace(scatter) * jnp.eye(2, dtype=scatter.dtype) - scatter
    numerator = jnp.matmul(cross, adjugate, precision="highest")
    is_planar = determinant > _SPREAD_EPS * jnp.finfo(ref.dtype).eps * c.ref_spread**2
    divisor = jnp.where(is_planar, determinant, jnp.zeros_like(determinant))
    linear = safe_divide(numerator, jnp.broadcast_to(divisor, numerator.shape))
    return _finish(c, linear, _status(c, 3, is_planar))


@jax.custom_jvp
def nearest_rotation(matrix: Float[Array, "dims dims"]) -> Float[Array, "dims dims"]:
    """Find the rotation nearest to a matrix in the Frobenius norm, never a reflection.

    max over R^T R = 1, det R = 1 of trace(R^T M): R = U diag(1, .., 1, det(U V^T)) V^T.

    Numerics: the derivative follows from M = R P with P symmetric and divides by sums of singular
        values, not by their differences, so equal singular values are no special case; where the
        rotation is ambiguous the derivative is zero.

    Source: Kabsch (1976) and Umeyama (1991); derivative by own derivation.
    """
    return _polar(matrix)[0]


def _polar(
    matrix: Float[Array, "dims dims"],
) -> tuple[Float[Array, "dims dims"], Float[Array, " dims"], Float[Array, "dims dims"]]:
    """Split M = R (V diag(p) V^T); return R, p and V."""
    u, singular, vt = jnp.linalg.svd(matrix)
    sign = jnp.where(jnp.linalg.det(jnp.matmul(u, vt, precision="highest")) < 0, -1.0, 1.0)
    guard = jnp.ones_like(singular).at[-1].set(sign.astype(singular.dtype))
    rotation = jnp.matmul(u * guard[None, :], vt, precision="highest")
    return rotation, singular * guard, vt.T


@nearest_rotation.defjvp
def _nearest_rotation_jvp(primals, tangents):
    (matrix,), (d_matrix,) = primals, tangents
    rotation, stretch, v = _polar(matrix)
    turn = jnp.matmul(rotation.T, d_matrix, precision="highest")
    twist = jnp.linalg.multi_dot([v.T, turn - turn.T, v], precision="highest")
    sums = stretch[:, None] + stretch[None, :]
    eps = _SPREAD_EPS * jnp.finfo(matrix.dtype).eps
    sums = jnp.where(sums > eps * jnp.max(stretch), sums, jnp.zeros_like(sums))
    spin = jnp.linalg.multi_dot([v, safe_divide(twist, sums), v.T], precision="highest")
    return rotation, jnp.matmul(rotation, spin, precision="highest")


def solve_similarity_svd(
    ref: Float[Array, "points dims"],
    drv: Float[Array, "points dims"],
    weight: Float[Array, " points"],
) -> ProcrustesResult:
    """Fit scale, rotation and translation in any number of dimensions.

    min over s > 0, rotations R, t of sum w |drv - (s R ref + t)|^2. In two dimensions it equals
    `solve_similarity`, whose arguments and result it shares; `linear` is [dims, dims].

    Numerics: reflections are excluded by the determinant of the singular vectors. TOO_FEW_POINTS
        below `dims` points, ZERO_SPREAD if either side is one point repeated or the scale is zero.
        Fewer independent directions than `dims - 1` leave a free rotation, which is then arbitrary.

    Source: Umeyama (1991).
    """
    c = _centre(ref, drv, weight)
    cross = jnp.einsum("p,pi,pj->ij", c.weight, c.drv, c.ref, precision="highest")
    rotation = nearest_rotation(cross)
    scale = safe_divide(jnp.einsum("ij,ij->", rotation, cross, precision="highest"), c.ref_spread)
    eps = _SPREAD_EPS * jnp.finfo(ref.dtype).eps
    # Compared without division: scale * ref_spread is the correlation along the best rotation.
    is_scaled = (scale > 0) & ((scale * c.ref_spread) ** 2 > eps**2 * c.ref_spread * c.drv_spread)
    return _finish(c, scale * rotation, _status(c, max(2, ref.shape[1]), is_scaled))


SOLVERS: MappingProxyType[str, Solver] = MappingProxyType(
    {
        "similarity": solve_similarity,
        "affine": solve_affine,
        "translation_scale": solve_translation_scale,
        "rigid": solve_rigid,
    }
)
