"""The one public recipe: keypoints of the reference and of the motion to one transform per frame.

Each person of each frame is fitted on its own; frames that determine no transform borrow one.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from tpc_jax._numerics import safe_divide, safe_sqrt, weighted_mean
from tpc_jax._types import Keypoints, ProcrustesResult, SolveStatus, SubsetFit, Transform2D
from tpc_jax.options import Method, TransformKind
from tpc_jax.pose.filtering import DEFAULT_TAU, visible
from tpc_jax.pose.skeletons import NUM_KEYPOINTS, SUBSETS
from tpc_jax.procrustes.robust import DEFAULT_BAND, DEFAULT_BAND_FLOOR
from tpc_jax.procrustes.solve import SOLVERS, Solver
from tpc_jax.procrustes.subsets import fit_trimmed
from tpc_jax.procrustes.transform import apply, scale_of, smooth

# Frames searched together: enough to fill the vector units, few enough to stay in the cache.
_FRAMES_PER_CHUNK = 4


class Calibration(NamedTuple):
    """How the reference moves onto every driving frame.

    Attributes:
        drv_from_ref: The transform to use, defined and finite in every frame.
        subset: True for the keypoints that steered the frame's own fit.
        residual: Weighted mean squared distance of those keypoints under `drv_from_ref`, in squared
            driving pixels; 0 without any.
        status: The `SolveStatus` of the frame's own fit.
        is_filled: True where the own fit was not OK and the transform was borrowed.
    """

    drv_from_ref: Transform2D
    subset: Bool[Array, "people frames points"]
    residual: Float[Array, "people frames"]
    status: Int[Array, "people frames"]
    is_filled: Bool[Array, "people frames"]


def calibrate(
    reference: Keypoints,
    driving: Keypoints,
    *,
    method: Method = "lts",
    transform: TransformKind = "similarity",
    tau: float = DEFAULT_TAU,
    use_confidence: bool = False,
    smooth_sigma: float = 0.0,
    scale_range: tuple[float, float] = (0.05, 20.0),
    coverage: float = 0.5,
    band: float = DEFAULT_BAND,
    band_floor: float = DEFAULT_BAND_FLOOR,
) -> Calibration:
    """Fit the transforms that carry the reference person onto every driving frame.

    Args:
        reference: People of the reference image, `xy` [people points 2] in reference pixels.
        driving: The same people, in that order, `xy` [people frames points 2] in driving pixels.
        method: Which points steer the fit. "lts": the subset that one similarity explains best,
            searched exactly, and all points that agree with it; "all": every common visible point;
            "face": the five face points, trusted by driving confidence alone, as released; "clip":
            all points of all frames at once, one transform for the clip.
        transform: Kind of transform. "lts" chooses its points by a similarity for every kind.
        tau: Points with confidence above it are visible; a NaN coordinate is not visible.
        use_confidence: Weight points by the root of the product of both confidences, not equally.
        smooth_sigma: Standard deviation in frames of a Gaussian over the transforms; 0 for none.
        scale_range: A fit whose scale lies outside is discarded.
        coverage: "lts": share of the visible points in the searched subset.
        band: "lts": half width of the inlier band in estimated deviations.
        band_floor: "lts": least half width of the band, in root mean square spreads.

    Returns:
        One transform per person and frame with how it came about. A frame without a fit of its own
        keeps the last valid transform; before the first valid one it takes that; a person with none
        at all gets the identity.

    Raises:
        ValueError: If shapes do not agree or an option is unknown.

    Numerics: computed in the default float type. Shapes and string options are static, so that
        `jax.jit(calibrate, static_argnames=...)` compiles once per clip size. Gradients flow to
        coordinates through the fit, the choice of points is constant.

    Source: paper section on Procrustes warping; degenerate frames, smoothing and options ours.
    """
    _check(reference, driving, method, transform)
    reference, driving = _as_default_float(reference), _as_default_float(driving)
    ref_xy, drv_xy = jnp.asarray(reference.xy), jnp.asarray(driving.xy)
    weight = _weights(reference, driving, method, tau, use_confidence)
    options = {"coverage": coverage, "band": band, "band_floor": band_floor}
    own = _fit(ref_xy, drv_xy, weight, method, SOLVERS[transform], options)
    status = _check_range(own.fit, scale_range)
    is_ok = status == SolveStatus.OK.value
    drv_from_ref = jax.vmap(fill_degenerate)(own.fit.drv_from_ref, is_ok)
    if smooth_sigma > 0:
        seen = visible(reference, 0.0).astype(ref_xy.dtype)
        centroid = jax.vmap(weighted_mean)(_finite(ref_xy), seen)
        blur = partial(smooth, sigma=smooth_sigma)
        drv_from_ref = jax.vmap(blur)(drv_from_ref, is_ok.astype(seen.dtype), centroid)
    chosen = jnp.where(own.subset, weight, 0)
    residual = _residual(drv_from_ref, ref_xy, drv_xy, chosen)
    return Calibration(drv_from_ref, own.subset, residual, status, ~is_ok)


def fill_degenerate(transforms: Transform2D, is_ok: Bool[Array, " frames"]) -> Transform2D:
    """Replace the transforms of one person's failed frames.

    Args:
        transforms: One per frame; the failed ones may hold anything.
        is_ok: Which frames have a transform of their own.

    Returns:
        Per failed frame the last valid transform; before the first valid one, that one; the
        identity in every frame if none is valid.

    Source: project rule for degenerate frames.
    """
    frame = jnp.arange(len(is_ok))
    last_valid = jax.lax.cummax(jnp.where(is_ok, frame, -1))
    source = jnp.where(last_valid >= 0, last_valid, jnp.argmax(is_ok))
    has_any = jnp.any(is_ok)
    identity = jnp.broadcast_to(
        jnp.eye(2, dtype=transforms.linear.dtype)[None], transforms.linear.shape
    )
    linear = jnp.where(has_any, transforms.linear[source], identity)
    offset = jnp.where(has_any, transforms.offset[source], 0)
    return Transform2D(linear, offset)


def _check(reference: Keypoints, driving: Keypoints, method: str, transform: str) -> None:
    """Reject shapes and options that cannot be meant."""
    ref_shape, drv_shape = jnp.shape(reference.xy), jnp.shape(driving.xy)
    if len(ref_shape) != 3 or ref_shape[-1] != 2:
        raise ValueError(f"reference.xy must be [people, points, 2], got {ref_shape}")
    expected = (ref_shape[0], *drv_shape[1:2], *ref_shape[1:])
    if len(drv_shape) != 4 or drv_shape != expected or drv_shape[1] == 0:
        raise ValueError(
            f"driving.xy must be [{ref_shape[0]} people, frames, {ref_shape[1]} points, 2] with "
            f"one frame or more, got {drv_shape}"
        )
    for name, keypoints in (("reference", reference), ("driving", driving)):
        if jnp.shape(keypoints.conf) != jnp.shape(keypoints.xy)[:-1]:
            raise ValueError(
                f"{name}.conf must have shape {jnp.shape(keypoints.xy)[:-1]}, "
                f"got {jnp.shape(keypoints.conf)}"
            )
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {get_args(Method)}, got {method!r}")
    if transform not in SOLVERS:
        raise ValueError(f"transform must be one of {tuple(SOLVERS)}, got {transform!r}")
    if method == "face" and ref_shape[1] != NUM_KEYPOINTS:
        raise ValueError(f"method 'face' needs {NUM_KEYPOINTS} COCO points, got {ref_shape[1]}")


def _as_default_float(keypoints: Keypoints) -> Keypoints:
    dtype = jnp.result_type(float)
    return Keypoints(jnp.asarray(keypoints.xy, dtype), jnp.asarray(keypoints.conf, dtype))


def _finite(xy: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.where(jnp.isfinite(xy), xy, 0)


def _weights(
    reference: Keypoints, driving: Keypoints, method: Method, tau: float, use_confidence: bool
) -> Float[Array, "people frames points"]:
    """Weigh the points that a method may use; zero masks the others."""
    is_visible = visible(driving, tau)
    if method == "face":
        is_visible &= jnp.asarray(SUBSETS["face"])[None, None, :]
        is_visible &= visible(reference, 0.0)[:, None, :]
    else:
        is_visible &= visible(reference, tau)[:, None, :]
    weight = jnp.ones_like(driving.conf)
    if use_confidence:
        weight = safe_sqrt(jnp.asarray(reference.conf[:, None, :] * driving.conf))
    return jnp.where(is_visible, weight, 0)


def _fit(
    ref: Float[Array, "people points 2"],
    drv: Float[Array, "people frames points 2"],
    weight: Float[Array, "people frames points"],
    method: Method,
    solve: Solver,
    options: dict[str, float],
) -> SubsetFit:
    """Fit every person and frame by the method; leading axes of the result are [people frames]."""
    num_people, num_frames, num_points = weight.shape
    every_ref = jnp.broadcast_to(ref[:, None], drv.shape)
    if method == "clip":
        per_clip = (num_people, num_frames * num_points)
        fit = jax.vmap(solve)(
            every_ref.reshape(*per_clip, 2), drv.reshape(*per_clip, 2), weight.reshape(per_clip)
        )
        fit = jax.tree.map(
            lambda x: jnp.broadcast_to(x[:, None], (num_people, num_frames, *x.shape[1:])), fit
        )
        return SubsetFit(fit, weight > 0)
    if method == "lts":
        problems = jax.tree.map(
            lambda x: x.reshape(num_people * num_frames, *x.shape[2:]), (every_ref, drv, weight)
        )
        trimmed = _map_in_chunks(partial(fit_trimmed, solve=solve, **options), problems)
        return jax.tree.map(lambda x: x.reshape(num_people, num_frames, *x.shape[1:]), trimmed)
    return SubsetFit(jax.vmap(jax.vmap(solve))(every_ref, drv, weight), weight > 0)


def _map_in_chunks(
    fit: Callable[..., SubsetFit], problems: tuple[Float[Array, "problems ..."], ...]
) -> SubsetFit:
    """Fit all problems, a few at a time: memory stays bounded however long the clip."""
    num_problems = len(problems[-1])
    # Masked problems fill the last chunk, or a second program would be compiled for the rest.
    room = -num_problems % _FRAMES_PER_CHUNK
    problems = jax.tree.map(lambda x: jnp.pad(x, [(0, room)] + [(0, 0)] * (x.ndim - 1)), problems)
    fits = jax.lax.map(lambda problem: fit(*problem), problems, batch_size=_FRAMES_PER_CHUNK)
    return jax.tree.map(lambda x: x[:num_problems], fits)


def _check_range(
    fit: ProcrustesResult, scale_range: tuple[float, float]
) -> Int[Array, "people frames"]:
    """Turn an OK fit that is not finite or of impossible scale into OUT_OF_RANGE."""
    scale = scale_of(fit.drv_from_ref)
    is_usable = (scale >= scale_range[0]) & (scale <= scale_range[1])
    is_usable &= jnp.all(jnp.isfinite(fit.drv_from_ref.offset), axis=-1)
    is_bad = (fit.status == SolveStatus.OK.value) & ~is_usable
    return jnp.where(is_bad, SolveStatus.OUT_OF_RANGE.value, fit.status)


def _residual(
    drv_from_ref: Transform2D,
    ref: Float[Array, "people points 2"],
    drv: Float[Array, "people frames points 2"],
    weight: Float[Array, "people frames points"],
) -> Float[Array, "people frames"]:
    """Average the squared distance left by the transforms that are really used."""
    moved = apply(drv_from_ref, jnp.broadcast_to(_finite(ref)[:, None], drv.shape))
    squared_error = jnp.sum((_finite(drv) - moved) ** 2, axis=-1)
    total = jnp.einsum("pfk,pfk->pf", weight, squared_error, precision="highest")
    return safe_divide(total, jnp.sum(weight, axis=-1))
