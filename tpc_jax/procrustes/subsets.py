"""Exact least trimmed squares: the keypoint subset that a similarity explains best.

All subsets of the right size are scored. The score needs only sums over the subset, which are
linear in its indicator, so one matrix product [moments, points] x [points, subsets] scores a frame.

Sizes vary with the number of visible points, shapes may not. The visible points are ranked to the
front; then the subsets of the first n points are, in order of their bit patterns, the first
rows of the subsets of that size. So one table serves every n: for 17 points 41,879 rows instead of
2^17, of which a frame scores those of its own size, 24,310 when all are visible.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from tpc_jax._numerics import safe_divide, weighted_spread
from tpc_jax._types import SolveStatus, SubsetFit
from tpc_jax.procrustes.robust import DEFAULT_TRIMMING, Trimming, admit_inliers
from tpc_jax.procrustes.solve import Solver, solve_similarity
from tpc_jax.procrustes.transform import apply

MIN_SUBSET = 3
MAX_POINTS = 20
# Distances below this are ties: a residual of a thousandth of the person's size is exact.
TIE_DISTANCE = 1e-6
# So many best subsets are scored again without the rounding of the moments.
_NUM_CANDIDATES = 16


class SubsetTable(NamedTuple):
    """Every subset that a frame may need, by size and then by bit pattern.

    Attributes:
        member: True where the row's subset has the ranked point.
        size: Number of members.
        span: Rank of the last member plus one: the row needs at least so many visible points.
        size_for: Subset size for every number of visible points from 0.
    """

    member: np.ndarray
    size: np.ndarray
    span: np.ndarray
    size_for: np.ndarray


@functools.lru_cache(maxsize=8)
def subset_table(num_points: int, coverage: float = 0.5) -> SubsetTable:
    """List the subsets of size h(n) = min(n, max(3, ceil(coverage n))) of the first n points.

    Args:
        num_points: Points of the skeleton, at most 20.
        coverage: Share of the visible points that a subset holds, in (0, 1].

    Raises:
        ValueError: If an argument is out of range.
    """
    if not 2 <= num_points <= MAX_POINTS:
        raise ValueError(f"num_points must lie in [2, {MAX_POINTS}], got {num_points}")
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must lie in (0, 1], got {coverage}")
    visible = np.arange(num_points + 1)
    share = np.ceil(coverage * visible - 1e-9).astype(np.int32)
    size_for = np.minimum(visible, np.maximum(MIN_SUBSET, share)).astype(np.int32)
    pattern = np.arange(1, 2**num_points, dtype=np.int32)
    member = (pattern[:, None] >> np.arange(num_points) & 1).astype(bool)
    size = member.sum(axis=1, dtype=np.int32)
    span = (num_points - member[:, ::-1].argmax(axis=1)).astype(np.int32)
    is_needed = np.zeros(len(pattern), dtype=bool)
    for n in range(2, num_points + 1):
        is_needed |= (size == size_for[n]) & (span <= n)
    rows = np.flatnonzero(is_needed)
    rows = rows[np.argsort(size[rows], kind="stable")]
    return SubsetTable(member[rows], size[rows], span[rows], size_for)


def search_subset(
    ref: Float[Array, "points 2"],
    drv: Float[Array, "points 2"],
    weight: Float[Array, " points"],
    *,
    coverage: float = 0.5,
) -> Bool[Array, " points"]:
    """Find the subset of given size with the least Procrustes distance.

    min over subsets S, |S| = h, of [min over similarities sum_S w |drv - (z ref + t)|^2] /
    sum_S w |drv - mean_S|^2. The divisor keeps compact subsets from winning by being small.

    Args:
        ref: Reference keypoints in reference pixels.
        drv: The same keypoints in driving pixels.
        weight: Non-negative weight per point; zero masks the point.
        coverage: h = max(3, ceil(coverage n)) for n points of positive weight (at most n).

    Returns:
        True for the members of the best subset. Distances up to `TIE_DISTANCE` count as equal, and
        of equal subsets the one with the lowest bit pattern sum of 2^index wins. Masked points are
        never members; with fewer than two points there are no members.

    Numerics: moments are taken about the medians, so that wild points do not cost the others their
        digits; the best 16 subsets are scored again directly. Not differentiable (constant).

    Source: subset rule and divisor by the project (the paper's own rule is not available in text);
        least trimmed squares of Rousseeuw (1984).
    """
    ref, drv, weight = jax.lax.stop_gradient((ref, drv, weight))
    num_points = ref.shape[0]
    table = subset_table(num_points, coverage)
    valid = weight > 0
    num_valid = jnp.sum(valid, dtype=jnp.int32)
    order = jnp.argsort(~valid, stable=True)
    ref, drv, weight = _rank_and_centre(ref, drv, jnp.where(valid, weight, 0), order, num_valid)
    size = jnp.asarray(table.size_for)[num_valid]
    is_candidate = (jnp.asarray(table.size) == size) & (jnp.asarray(table.span) <= num_valid)
    distance = _moment_distances(ref, drv, weight, jnp.asarray(table.member.T))
    distance = jnp.where(is_candidate, jnp.maximum(distance, TIE_DISTANCE), jnp.inf)
    rows = jax.lax.top_k(-distance, min(_NUM_CANDIDATES, len(table.size)))[1]
    winner = _best_row(ref, drv, weight, jnp.asarray(table.member), rows, distance[rows])
    member = jnp.asarray(table.member)[winner] & (num_valid >= 2)
    return jnp.zeros_like(valid).at[order].set(member) & valid


def _rank_and_centre(
    ref: Float[Array, "points 2"],
    drv: Float[Array, "points 2"],
    weight: Float[Array, " points"],
    order: Int[Array, " points"],
    num_valid: Int[Array, ""],
) -> tuple[Float[Array, "points 2"], Float[Array, "points 2"], Float[Array, " points"]]:
    """Bring valid points to the front about their medians and within [-1, 1]; zero the rest."""
    is_front = (jnp.arange(len(order), dtype=jnp.int32) < num_valid)[:, None]

    def centre(xy: Float[Array, "points 2"]) -> Float[Array, "points 2"]:
        ranked = xy[order]
        ascending = jnp.sort(jnp.where(is_front, ranked, jnp.inf), axis=0)
        median = ascending[jnp.maximum(num_valid - 1, 0) // 2]
        centred = jnp.where(is_front, ranked - median[None, :], 0)
        return safe_divide(centred, jnp.broadcast_to(jnp.max(jnp.abs(centred)), centred.shape))

    return centre(ref), centre(drv), weight[order]


def _moment_distances(
    ref: Float[Array, "points 2"],
    drv: Float[Array, "points 2"],
    weight: Float[Array, " points"],
    member: Bool[Array, "points subsets"],
) -> Float[Array, " subsets"]:
    """Score all subsets: 1 - |S_rd|^2 / (S_rr S_dd) with centred complex second moments S."""
    (rx, ry), (dx, dy) = ref.T, drv.T
    columns = [
        jnp.ones_like(rx), rx, ry, dx, dy,
        rx * rx + ry * ry, dx * dx + dy * dy, rx * dx + ry * dy, rx * dy - ry * dx,
    ]  # fmt: skip
    moments = jnp.stack(columns) * weight[None, :]
    sums = jnp.matmul(moments, member.astype(moments.dtype), precision="highest")
    total, rx, ry, dx, dy, rr, dd, re, im = sums
    share = 1 / total
    ref_spread = rr - (rx * rx + ry * ry) * share
    drv_spread = dd - (dx * dx + dy * dy) * share
    real = re - (rx * dx + ry * dy) * share
    imag = im - (rx * dy - ry * dx) * share
    # A spread this small against the raw moment is rounding, and so would be the distance.
    eps = 100 * jnp.finfo(sums.dtype).eps
    is_spread = (ref_spread > eps * rr) & (drv_spread > eps * dd)
    product = jnp.where(is_spread, ref_spread * drv_spread, 1)
    return jnp.where(is_spread, 1 - (real * real + imag * imag) / product, jnp.inf)


def _best_row(
    ref: Float[Array, "points 2"],
    drv: Float[Array, "points 2"],
    weight: Float[Array, " points"],
    member: Bool[Array, "subsets points"],
    rows: Int[Array, " candidates"],
    coarse: Float[Array, " candidates"],
) -> Int[Array, ""]:
    """Score the candidate rows by their residuals; return the best, of ties the lowest."""

    def distance(row: Int[Array, ""]) -> Float[Array, ""]:
        return procrustes_distance(ref, drv, jnp.where(member[row], weight, 0))

    exact = jnp.maximum(jax.vmap(distance)(rows), TIE_DISTANCE)
    exact = jnp.where(jnp.isfinite(coarse), exact, jnp.inf)
    is_best = exact == jnp.min(exact)
    return jnp.min(jnp.where(is_best, rows, len(member) - 1))


def procrustes_distance(
    ref: Float[Array, "points 2"], drv: Float[Array, "points 2"], weight: Float[Array, " points"]
) -> Float[Array, ""]:
    """Return the share of the driving points' spread that no similarity explains.

    Residual sum of squares of the best similarity over the centred sum of squares of the driving
    points: 0 for equal shapes, at most 1. Arguments as in `solve_similarity`; 1 when not solvable.
    """
    fit = solve_similarity(ref, drv, weight)
    spread = weighted_spread(drv, weight) ** 2
    ratio = safe_divide(fit.residual, spread, fallback=1.0)
    return jnp.where(fit.status == SolveStatus.OK.value, ratio, jnp.ones_like(ratio))


def fit_trimmed(
    ref: Float[Array, "points 2"],
    drv: Float[Array, "points 2"],
    weight: Float[Array, " points"],
    *,
    solve: Solver = solve_similarity,
    trimming: Trimming = DEFAULT_TRIMMING,
) -> SubsetFit:
    """Fit a transform to the points that agree on one similarity.

    Three steps: `search_subset`; a similarity of that subset, by which `admit_inliers` extends it;
    the fit of `solve` to the extended subset. The subset is chosen by a similarity whatever `solve`
    is, so that kinds of transform differ in their fit and not in their points.

    Args:
        ref: Reference keypoints in reference pixels.
        drv: The same keypoints in driving pixels.
        weight: Non-negative weight per point; zero masks the point.
        solve: The solver of the last step.
        trimming: Size of the subset and width of the band.

    Returns:
        The fit and the points that steered it.

    Source: paper section on Procrustes warping in outline; subset rule and band by the project.
    """
    subset = search_subset(ref, drv, weight, coverage=trimming.coverage)
    chosen = jnp.where(subset, weight, 0)
    first = solve_similarity(ref, drv, chosen)
    squared_error = jnp.sum((drv - apply(first.drv_from_ref, ref)) ** 2, axis=-1)
    inliers = admit_inliers(
        squared_error,
        subset,
        weight > 0,
        weighted_spread(drv, chosen),
        band=trimming.band,
        band_floor=trimming.band_floor,
    )
    return SubsetFit(solve(ref, drv, jnp.where(inliers, weight, 0)), inliers)
