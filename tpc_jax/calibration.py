"""The one public recipe: keypoints of the reference and of the motion to one transform per frame.

Each person of each frame is fitted on its own; frames that determine no transform borrow one.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from tpc_jax._numerics import safe_divide, safe_sqrt, weighted_mean, weighted_spread
from tpc_jax._types import Keypoints, ProcrustesResult, SolveStatus, SubsetFit, Transform2D
from tpc_jax.options import Method, TransformKind
from tpc_jax.pose.filtering import DEFAULT_TAU, visible
from tpc_jax.pose.skeletons import NUM_KEYPOINTS, SUBSETS
from tpc_jax.procrustes.robust import DEFAULT_TRIMMING, Trimming
from tpc_jax.procrustes.solve import SOLVERS, Solver
from tpc_jax.procrustes.subsets import fit_trimmed
from tpc_jax.procrustes.transform import apply, fill_gaps, scale_of, smooth

# Frames searched together: enough to fill the vector units, few enough to stay in the cache.
_FRAMES_PER_CHUNK = 4
# Clips of up to so many frames share one compiled program, longer ones those of powers of two.
_SMALLEST_BUCKET = 64
# Error of detected points in units of the person's size; a fit that leaves less is not surer.
_NOISE = 0.1
# Largest error that is expected anywhere on the person, in its sizes (root mean square spreads).
_LARGEST_ERROR = 0.3
# An OK fit always counts for something.
_LEAST_CERTAINTY = 1e-6


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
    reference_size: tuple[ArrayLike, ArrayLike] | None = None,
    driving_size: tuple[ArrayLike, ArrayLike] | None = None,
    trimming: Trimming = DEFAULT_TRIMMING,
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
        smooth_sigma: Standard deviation in frames of a Gaussian over the transforms, in which
            every frame counts by how certain its fit is; 0 for none.
        scale_range: A fit whose scale lies outside is discarded; relative to the sizes of the
            pictures where both are given: 1 if the person fills as much of both.
        reference_size: Width and height of the reference picture, for `scale_range` alone.
        driving_size: The same of the driving frames.
        trimming: "lts": size of the searched subset and width of its inlier band.

    Returns:
        One transform per person and frame with how it came about. A frame without a fit of its own
        is interpolated between its valid neighbours; before the first and after the last valid one
        it takes that; a person with none at all gets the identity.

    Raises:
        ValueError: If shapes do not agree or an option is unknown.

    Numerics: computed in the default float type. Shapes and string options are static, so that
        `jax.jit(calibrate, static_argnames=...)` compiles once per clip size, `calibrate_on_host`
        for few sizes. Sizes of pictures are traced. Gradients flow to coordinates through the fit;
        the choice of points and the certainty of a fit are constant.

    Source: paper section on Procrustes warping; degenerate frames, smoothing and options ours.
    """
    _check_shapes(reference, driving)
    _check_options(method, transform, np.shape(reference.conf)[1])
    reference, driving = _as_default_float(reference), _as_default_float(driving)
    ref_xy, drv_xy = jnp.asarray(reference.xy), jnp.asarray(driving.xy)
    weight = _weights(reference, driving, method, tau, use_confidence)
    own = _fit(ref_xy, drv_xy, weight, method, SOLVERS[transform], trimming)
    status = _check_range(own.result, scale_range, reference_size, driving_size)
    seen = visible(reference, 0.0).astype(ref_xy.dtype)
    if method == "lts":
        status = _check_support(status, own, ref_xy, weight, seen, trimming.band_floor)
    is_ok = status == SolveStatus.OK.value
    certainty = jnp.where(is_ok, _certainty(own, ref_xy, drv_xy, weight, seen), 0)
    drv_from_ref = _bridge(reference, own.result.drv_from_ref, certainty, sigma=smooth_sigma)
    chosen = jnp.where(own.subset, weight, 0)
    residual = residual_of(drv_from_ref, ref_xy, drv_xy, chosen)
    return Calibration(drv_from_ref, own.subset, residual, status, ~is_ok)


_compiled = jax.jit(
    calibrate,
    static_argnames=(
        *("method", "transform", "tau", "use_confidence", "smooth_sigma", "scale_range"),
        "trimming",
    ),
)


def calibrate_on_host(reference: Keypoints, driving: Keypoints, **options: Any) -> Calibration:
    """Run `calibrate` compiled, from NumPy to NumPy, by programs that serve clips of many lengths.

    The clip is filled up to 64, 128, 256, ... frames in which nobody is seen; they change no
    fit and are cut off again.

    Args:
        reference: As for `calibrate`.
        driving: As for `calibrate`.
        **options: Those of `calibrate`; every choice of them is a program of its own.

    Returns:
        NumPy arrays, one transform per person and frame.

    Raises:
        ValueError: As for `calibrate`.
    """
    _check_shapes(reference, driving)
    num_frames = driving.xy.shape[1]
    filled = _compiled(reference, _fill_up(driving, num_frames), **options)
    return jax.tree.map(lambda x: np.asarray(x)[:, :num_frames], filled)


def bridge_on_host(
    reference: Keypoints,
    drv_from_ref: Transform2D,
    certainty: Float[np.ndarray, "people frames"],
    smooth_sigma: float = 0.0,
) -> Transform2D:
    """Bridge gaps and smooth, as `calibrate` does, compiled, from NumPy to NumPy.

    Args:
        reference: As for `calibrate`.
        drv_from_ref: Transforms `[people frames]`.
        certainty: How certain each is; 0 marks the gaps.
        smooth_sigma: As for `calibrate`.
    """
    num_frames = certainty.shape[1]
    sides = _as_default_float(reference)
    values = jax.tree.map(
        lambda x: np.asarray(x, sides.xy.dtype), _fill_up((drv_from_ref, certainty), num_frames)
    )
    bridged = _compiled_bridge(sides, *values, sigma=smooth_sigma)
    return jax.tree.map(lambda x: np.asarray(x)[:, :num_frames], bridged)


def _fill_up(arrays: Any, num_frames: int) -> Any:
    """Fill the frames [people frames ...] up to a length that many clips share."""
    bucket = max(_SMALLEST_BUCKET, 1 << (num_frames - 1).bit_length())

    def fill_up(x: Any) -> np.ndarray:
        x = np.asarray(x)
        return np.pad(x, [(0, 0), (0, bucket - num_frames)] + [(0, 0)] * (x.ndim - 2))

    return jax.tree.map(fill_up, arrays)


def _bridge(reference: Keypoints, drv_from_ref: Transform2D, certainty, *, sigma: float):
    """Bridge gaps and smooth every person's transforms about the middle of the keypoints."""
    seen = visible(reference, 0.0).astype(certainty.dtype)
    centroid = jax.vmap(weighted_mean)(_finite(jnp.asarray(reference.xy)), seen)
    drv_from_ref, certainty = jax.vmap(fill_gaps)(drv_from_ref, certainty, centroid)
    return jax.vmap(partial(smooth, sigma=sigma))(drv_from_ref, certainty, centroid)


_compiled_bridge = jax.jit(_bridge, static_argnames="sigma")


def _check_shapes(reference: Keypoints, driving: Keypoints) -> None:
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


def _check_options(method: str, transform: str, num_points: int) -> None:
    if method not in get_args(Method):
        raise ValueError(f"method must be one of {get_args(Method)}, got {method!r}")
    if transform not in SOLVERS:
        raise ValueError(f"transform must be one of {tuple(SOLVERS)}, got {transform!r}")
    if method == "face" and num_points != NUM_KEYPOINTS:
        raise ValueError(f"method 'face' needs {NUM_KEYPOINTS} COCO points, got {num_points}")


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
    trimming: Trimming,
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
        trimmed = _map_in_chunks(partial(fit_trimmed, solve=solve, trimming=trimming), problems)
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
    fit: ProcrustesResult,
    scale_range: tuple[float, float],
    reference_size: tuple[ArrayLike, ArrayLike] | None,
    driving_size: tuple[ArrayLike, ArrayLike] | None,
) -> Int[Array, "people frames"]:
    """Turn an OK fit that is not finite or of impossible scale into OUT_OF_RANGE."""
    scale = scale_of(fit.drv_from_ref)
    if reference_size is not None and driving_size is not None:
        width, height = (
            jnp.asarray(ref, scale.dtype) / jnp.asarray(drv, scale.dtype)
            for ref, drv in zip(reference_size, driving_size, strict=True)
        )
        scale = scale * jnp.sqrt(width * height)
    is_usable = (scale >= scale_range[0]) & (scale <= scale_range[1])
    is_usable &= jnp.all(jnp.isfinite(fit.drv_from_ref.offset), axis=-1)
    is_bad = (fit.status == SolveStatus.OK.value) & ~is_usable
    return jnp.where(is_bad, SolveStatus.OUT_OF_RANGE.value, fit.status)


def _check_support(
    status: Int[Array, "people frames"],
    fit: SubsetFit,
    ref: Float[Array, "people points 2"],
    weight: Float[Array, "people frames points"],
    seen: Float[Array, "people points"],
    noise: float,
) -> Int[Array, "people frames"]:
    """Turn an OK fit that may be far off at the far end of the person into UNSUPPORTED.

    The error expected at the reference's point farthest from the n chosen ones is

    sigma^2 (1 / n + distance^2 / sum |ref - mean|^2),

    with sigma from what the fit leaves, at least `noise` person sizes: two eyes fit exactly, and
    say nothing of the feet.
    """
    chosen = jnp.where(fit.subset, weight, 0)
    count = jnp.sum(chosen > 0, axis=-1).astype(ref.dtype)
    every = jax.vmap(jax.vmap(weighted_mean, (None, 0)))(_finite(ref), chosen)
    square = jnp.sum((_finite(ref)[:, None] - every[:, :, None]) ** 2, axis=-1)
    spread = jnp.einsum("pfk,pfk->pf", (chosen > 0).astype(ref.dtype), square)
    farthest = jnp.max(jnp.where(seen[:, None] > 0, square, 0), axis=-1)
    size = scale_of(fit.result.drv_from_ref) * jax.vmap(weighted_spread)(ref, seen)[:, None]
    variance = fit.result.residual * safe_divide(count, jnp.maximum(count - 2, 1))
    variance = jnp.maximum(variance, (noise * size) ** 2)
    error = variance * (safe_divide(jnp.ones_like(count), count) + safe_divide(farthest, spread))
    is_bad = (status == SolveStatus.OK.value) & (error > (_LARGEST_ERROR * size) ** 2)
    return jnp.where(is_bad, SolveStatus.UNSUPPORTED.value, status)


def _certainty(
    fit: SubsetFit,
    ref: Float[Array, "people points 2"],
    drv: Float[Array, "people frames points 2"],
    weight: Float[Array, "people frames points"],
    seen: Float[Array, "people points"],
) -> Float[Array, "people frames"]:
    """Say in (0, 1] how far an OK fit is to be trusted; a constant for gradients.

    certainty = lever noise^2 / (noise^2 + error / (scale size)^2),

    where error is the mean squared distance that the fit leaves between all points that the method
    may use, size the root mean square distance of the reference's points from their mean, and lever
    the share of that spread that the chosen points have: few points, points close together, and
    points that the fit does not explain all count against it.
    """
    every_ref = jnp.broadcast_to(ref[:, None], drv.shape)
    chosen = jnp.where(fit.subset, weight, 0)
    spread = jax.vmap(jax.vmap(weighted_spread))(every_ref, chosen) ** 2 * jnp.sum(chosen, -1)
    size = jax.vmap(weighted_spread)(ref, seen)[:, None]
    transform = fit.result.drv_from_ref
    error = residual_of(transform, ref, drv, weight)
    relative = safe_divide(error, (scale_of(transform) * size) ** 2)
    lever = safe_divide(
        spread, jnp.broadcast_to(size**2 * jnp.sum(seen, -1)[:, None], spread.shape)
    )
    certainty = lever * _NOISE**2 / (_NOISE**2 + relative)
    return jax.lax.stop_gradient(jnp.clip(certainty, _LEAST_CERTAINTY, 1.0))


def residual_of(
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
