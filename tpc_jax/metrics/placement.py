"""How large, how turned and how far off a generated person is, against the true one.

Two ways to the same numbers: from keypoints of both, which somebody has to detect; and from the
pictures alone, by the similarity that best carries the true person onto the generated picture.
"""

import itertools
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.signal import fftconvolve
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from tpc_jax._numerics import safe_divide, safe_sqrt
from tpc_jax._types import SolveStatus
from tpc_jax.metrics._shared import as_image_pair, as_pixel_weight
from tpc_jax.metrics.resize import resize
from tpc_jax.procrustes.solve import solve_similarity
from tpc_jax.procrustes.transform import angle_of, apply, scale_of
from tpc_jax.warp.sample import sample_image

# With less, pictures tell nothing. Animated clips that look right reach 0.8 and more; within the
# range below none of 160 other people before other scenes got here, and 1 of 80 empty true scenes.
LEAST_MATCH = 0.6
# How far the search in pictures looks: factor in size, turn in radians, shift in person heights.
_RANGE = (2.0, np.radians(60.0), 0.5)
# Longest sides in pixels at which it starts and ends, and its steps there.
_COARSE, _FINE = 24, 96
_STEPS, _NUM_KEPT = 8, 3
_STARTS = np.array(
    [
        (np.log(scale), angle, x, y)
        for scale, angle, x, y in itertools.product(
            (0.55, 0.74, 1.0, 1.35, 1.8),
            (-0.7, -0.35, 0, 0.35, 0.7),
            (-0.2, 0, 0.2),
            (-0.2, 0, 0.2),
        )
    ],
    np.float32,
)
# Passes of a [1 2 1] filter between one softened view of the person and the next.
_SOFTENING = (2, 4)

# (log of scale, angle in radians, shift x and y in person heights).
_Pose = Float[Array, " 4"]


class Placement(NamedTuple):
    """A generated person against the true one.

    Attributes:
        scale: Size relative to the true person's, 1 is right.
        angle: Turn in radians, from +x towards +y, 0 is right.
        shift: How far the true person's middle is off (x, y), in heights of the true person: of
            the longer side of the box around them.
        match: How well a similarity accounts for what is there, 1 at best; 0 where nothing can be
            told.
    """

    scale: Float[Array, "*batch"]
    angle: Float[Array, "*batch"]
    shift: Float[Array, "*batch 2"]
    match: Float[Array, "*batch"]


def keypoint_placement(
    pred: Float[ArrayLike, "points 2"],
    target: Float[ArrayLike, "points 2"],
    valid: Bool[ArrayLike, " points"],
) -> Placement:
    """Compare a generated person with the true one by keypoints.

    The similarity of least squares from the true points to the generated ones.

    Args:
        pred: Keypoints found in a generated picture, in pixels.
        target: Those of the true picture, which has the same size.
        valid: Which points both show.

    Returns:
        The placement. The middle is the mean of the valid points, `match` the correlation of the
        carried true points with the generated ones; 0 with fewer than two valid points.

    Raises:
        ValueError: Shapes that do not fit.

    Source: least-squares similarity, see `tpc_jax.procrustes.solve.solve_similarity`.
    """
    if jnp.shape(pred) != jnp.shape(target) or jnp.shape(pred) != (*jnp.shape(valid), 2):
        raise ValueError(
            "pred and target must have shape (points, 2) and valid (points,), got "
            f"{jnp.shape(pred)}, {jnp.shape(target)} and {jnp.shape(valid)}"
        )
    is_common = jnp.asarray(valid)[:, None]
    xy, true = (jnp.where(is_common, jnp.asarray(x, jnp.float32), 0) for x in (pred, target))
    fit = solve_similarity(true, xy, is_common[:, 0].astype(xy.dtype))
    count = jnp.maximum(jnp.sum(is_common), 1)
    middle, mean = (jnp.sum(points, axis=0) / count for points in (true, xy))
    spread = jnp.sum(jnp.where(is_common, jnp.square(xy - mean), 0)) / count
    low = jnp.min(jnp.where(is_common, true, jnp.inf), axis=0)
    high = jnp.max(jnp.where(is_common, true, -jnp.inf), axis=0)
    moved = apply(fit.drv_from_ref, middle[None])[0] - middle
    match = safe_sqrt(1 - safe_divide(fit.residual, spread, 1.0))
    return Placement(
        scale_of(fit.drv_from_ref),
        angle_of(fit.drv_from_ref),
        moved / jnp.maximum(jnp.max(high - low), 1e-6),
        jnp.where(fit.status == SolveStatus.OK, match, 0),
    )


def picture_placement(
    pred: Float[ArrayLike, "height width 3"],
    target: Float[ArrayLike, "height width 3"],
    person: Bool[ArrayLike, "height width"],
) -> Placement:
    """Compare a generated person with the true one by the pictures alone.

    max over similarities and k of the correlation of `pred - empty` with `sum k_i soft_i(carried -
    empty)`: `empty` is the true picture with the person filled in from around, `carried` the same
    with the true person put back elsewhere, `soft_i` filters. The k make up for a generated person
    who is paler or less sharp than the true one. Gauss-Newton steps from the best of a grid.

    Seen are sizes from half to double, turns up to 60 degrees in the picture plane, shifts up to
    half a person. Not seen are turns about the vertical, single limbs, and people whose colours
    have nothing of the true ones. Unlike a person who is moved, one who is only drawn otherwise
    costs some percent: compare methods on the same clips. Several people count as one.

    Args:
        pred: Generated picture in [0, 1].
        target: True picture of the same size.
        person: Where its person is.

    Returns:
        The placement; below a `match` of `LEAST_MATCH` the person is not found.

    Raises:
        ValueError: Different shapes, integer pictures, or a mask of another shape.

    Numerics: float32, at most 96 pixels a side, where most fits are good to a tenth of a pixel.

    Source: own derivation; the objective is that of Evangelidis and Psarakis (2008), ECC.
    """
    pred, target = as_image_pair(pred, target)
    person = as_pixel_weight(person, target)
    coarse, fine = (_scene(pred, target, person, side) for side in (_COARSE, _FINE))
    starts = jnp.asarray(_STARTS)
    matches = jax.vmap(partial(_match, coarse))(starts)
    # Standing right is always among the starts: mostly it is the answer.
    kept = jnp.concatenate([jnp.zeros_like(starts[:1]), starts[jnp.argsort(-matches)[:_NUM_KEPT]]])
    poses, matches = jax.vmap(partial(_climb, coarse))(kept)
    pose, match = _climb(fine, poses[jnp.argmax(matches)])
    scale, angle, shift = jnp.exp(pose[0]), pose[1], pose[2:]
    size_limit, angle_limit, shift_limit = _RANGE
    is_inside = (
        (jnp.abs(pose[0]) <= np.log(size_limit))
        & (jnp.abs(angle) <= angle_limit)
        & (jnp.linalg.norm(shift) <= shift_limit)
    )
    return Placement(scale, angle, shift, jnp.where(is_inside, match, 0.0))


class _Scene(NamedTuple):
    """Both pictures at one size.

    Attributes:
        change: The generated picture less the empty one.
        person: The true person's colours times their mask, and the mask.
        empty: The true picture without the person.
        middle: Of the mask, (x, y) in pixels.
        height: The longer side of the box around the mask in pixels.
    """

    change: Float[Array, "height width 3"]
    person: Float[Array, "height width 4"]
    empty: Float[Array, "height width 3"]
    middle: Float[Array, " 2"]
    height: Float[Array, ""]


def _scene(pred: Array, target: Array, person: Array, longest: int) -> _Scene:
    shrink = min(1.0, longest / max(person.shape))
    height, width = (max(2, round(side * shrink)) for side in person.shape)
    pred, target, mask = (
        resize(x, (height, width), "bilinear") for x in (pred, target, person[..., None])
    )
    empty = _without_person(target, mask)
    sides, middle = [], []
    for axis in (0, 1):
        along = jnp.sum(mask, axis=(axis, 2))
        place = jnp.arange(along.size)
        middle.append(jnp.sum(place * along) / jnp.maximum(jnp.sum(along), 1e-6))
        is_there = jnp.max(mask, axis=(axis, 2)) > 0.5
        first, last = jnp.argmax(is_there), along.size - 1 - jnp.argmax(is_there[::-1])
        sides.append(last - first + 1)
    longer = jnp.maximum(*sides).astype(jnp.float32)
    colors = jnp.concatenate([target * mask, mask], axis=-1)
    return _Scene(pred - empty, colors, empty, jnp.stack(middle), longer)


def _without_person(target: Array, mask: Array) -> Array:
    """Fill the person from around: colours weighted by the distance to the power of -4."""
    rows, columns = (jnp.arange(1 - side, side) for side in mask.shape[:2])
    kernel = 1 / jnp.square(1 + rows[:, None] ** 2 + columns**2)
    known = jnp.concatenate([target * (1 - mask), 1 - mask], axis=-1)
    spread = jax.vmap(lambda x: fftconvolve(x, kernel, "same"), -1, -1)(known)
    return known[..., :3] + mask * spread[..., :3] / jnp.maximum(spread[..., 3:], 1e-6)


def _from_middle(scene: _Scene, pose: _Pose) -> Float[Array, "height width 2"]:
    """Return where pixels are, (x, y) from the middle of the carried person."""
    height, width = scene.empty.shape[:2]
    grid = jnp.stack(jnp.meshgrid(jnp.arange(width), jnp.arange(height)), axis=-1)
    return grid - scene.middle - scene.height * pose[2:]


def _carry(scene: _Scene, pose: _Pose) -> Float[Array, "height width 4"]:
    x, y = jnp.moveaxis(_from_middle(scene, pose), -1, 0)
    cosine, sine = jnp.cos(pose[1]), jnp.sin(pose[1])
    back = jnp.stack([cosine * x + sine * y, cosine * y - sine * x], axis=-1)
    return sample_image(scene.person, back / jnp.exp(pose[0]) + scene.middle, "bilinear")


def _put_back(scene: _Scene, carried: Array) -> Float[Array, "height width 3"]:
    """Return what the carried person changes of the empty picture; linear in the person."""
    return carried[..., :3] - carried[..., 3:] * scene.empty


def _softened(image: Array) -> Float[Array, "views height width channels"]:
    """Return a picture as it is and ever softer."""
    views = [image]
    for passes in _SOFTENING:
        image = views[-1]
        for _ in range(passes):
            padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
            rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
            image = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16
        views.append(image)
    return jnp.stack(views)


def _explain(scene: _Scene, views: Array) -> tuple[Array, Array, Array]:
    """Mix the views to what is seen; return their weights, what is left over, and the match."""
    gram = jnp.einsum("ihwc,jhwc->ij", views, views, precision="highest")
    seen = jnp.einsum("ihwc,hwc->i", views, scene.change, precision="highest")
    # Views are nearly alike: without a ridge their weights would grow against each other.
    ridge = 1e-4 * jnp.trace(gram) / len(views) + 1e-9
    weights = jnp.linalg.solve(gram + ridge * jnp.eye(len(views)), seen)
    left = scene.change - jnp.einsum("i,ihwc->hwc", weights, views, precision="highest")
    share = 1 - jnp.sum(left**2) / jnp.maximum(jnp.sum(scene.change**2), 1e-9)
    return weights, left, jnp.where(weights.sum() > 0, safe_sqrt(share), 0)


def _match(scene: _Scene, pose: _Pose) -> Float[Array, ""]:
    return _explain(scene, _softened(_put_back(scene, _carry(scene, pose))))[2]


def _climb(scene: _Scene, start: _Pose) -> tuple[_Pose, Float[Array, ""]]:
    """Take damped Gauss-Newton steps; return the best pose and its match."""

    def step(_, state):
        pose, match, damping = state
        carried = _carry(scene, pose)
        views = _softened(_put_back(scene, carried))
        weights, left, _ = _explain(scene, views)
        model = jnp.einsum("i,ihwc->hwc", weights, _softened(carried), precision="highest")
        # A small move of the model is its slope times the way: growth, turn, and shifts.
        slopes = jnp.gradient(model, axis=(1, 0))
        right, down = (-scene.height * _put_back(scene, slope) for slope in slopes)
        x, y = jnp.moveaxis(_from_middle(scene, pose) / scene.height, -1, 0)[..., None]
        moves = jnp.stack([x * right + y * down, x * down - y * right, right, down])
        columns = jnp.concatenate([views, moves]).reshape(len(views) + 4, -1)
        normal = jnp.matmul(columns, columns.T, precision="highest")
        normal = normal + damping * jnp.diag(jnp.diag(normal)) + 1e-9 * jnp.eye(len(normal))
        gain = jnp.matmul(columns, left.ravel(), precision="highest")
        tried = pose + jnp.linalg.solve(normal, gain)[-4:]
        reached = _match(scene, tried)
        is_better = reached > match
        pose, match = (jnp.where(is_better, *x) for x in ((tried, pose), (reached, match)))
        return pose, match, jnp.where(is_better, 0.3, 4.0) * damping

    state = (start, _match(scene, start), jnp.float32(0.03))
    pose, match, _ = jax.lax.fori_loop(0, _STEPS, step, state)
    return pose, match
