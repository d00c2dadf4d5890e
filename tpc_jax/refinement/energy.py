"""How badly a similarity fits: keypoints, body segments and silhouettes in one number."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from tpc_jax.refinement.bodies import BODY_SIDE, MAP_SIDE, OTHER, Still, Target


class Weights(NamedTuple):
    """What counts how much.

    Chosen on five public DensePose clips and on drawn people, the same for all
    (docs/calibration.md).

    Attributes:
        segments: Weight of the share of both bodies on which segments agree.
        silhouette: Weight of the share of both bodies that overlaps.
        keypoints: Weight of the keypoints that agree beyond the quorum.
        reach: Distance at which a keypoint no longer agrees, in sides of the body's box.
        quorum: Share of the common keypoints that has to agree before they count at all: any two
            poses have a subset of points that agree.
    """

    segments: float = 1.0
    silhouette: float = 0.1
    keypoints: float = 0.25
    reach: float = 0.1
    quorum: float = 0.5


DEFAULT_WEIGHTS = Weights()
# Masks that are given say more than bodies that are drawn.
MASKED_WEIGHTS = Weights(silhouette=0.5)


class Overlap(NamedTuple):
    """Shares of the union of both bodies, as far as the driving frame shows them.

    Attributes:
        segments: Where both show the same segment.
        silhouette: Where both show anything.
    """

    segments: Float[Array, "*batch"]
    silhouette: Float[Array, "*batch"]


def overlap(parameters: Float[Array, "*batch 4"], still: Still, target: Target) -> Overlap:
    """Compare the moved reference body with the motion's in one frame.

    Args:
        parameters: Similarities (`bodies.to_parameters`).
        still: The reference's body.
        target: The motion's body.
    """
    x, y = _move(parameters, jnp.asarray(still.points))
    column, row = (jnp.round(v).astype(jnp.int32) for v in (x, y))
    is_mapped = (column >= 0) & (column < MAP_SIDE) & (row >= 0) & (row < MAP_SIDE)
    place = jnp.clip(row, 0, MAP_SIDE - 1) * MAP_SIDE + jnp.clip(column, 0, MAP_SIDE - 1)
    found = jnp.where(is_mapped, jnp.asarray(target.segments).reshape(-1)[place], 0)
    left, top, right, bottom = target.canvas
    is_body = jnp.asarray(still.labels) > 0
    is_shown = is_body & (x > left) & (x < right) & (y > top) & (y < bottom)
    both = is_shown & (found > 0)
    same = both & (found == still.labels) & (found != OTHER)
    area = still.area * jnp.exp(2 * parameters[..., 0]) / jnp.maximum(jnp.sum(is_body), 1)
    shown, shared, equal = (area * jnp.sum(mask, axis=-1) for mask in (is_shown, both, same))
    union = jnp.maximum(shown + target.area - shared, jnp.finfo(area.dtype).tiny)
    return Overlap(equal / union, shared / union)


def energy(
    parameters: Float[Array, "*batch 4"], still: Still, target: Target, weights: Weights
) -> Float[Array, "*batch"]:
    """Weigh all evidence for similarities in one frame; less is better.

    Args:
        parameters: Similarities (`bodies.to_parameters`).
        still: The reference's body.
        target: The motion's body.
        weights: What counts how much.

    Numerics: piecewise constant in the bodies, so there is no gradient to follow; see `search`.
    """
    found = overlap(parameters, still, target)
    return -(
        weights.segments * found.segments
        + weights.silhouette * found.silhouette
        + weights.keypoints * support(parameters, still, target, weights)
    )


def support(
    parameters: Float[Array, "*batch 4"], still: Still, target: Target, weights: Weights
) -> Float[Array, "*batch"]:
    """Return how many keypoints agree beyond the quorum: 1 if all lie exactly, 0 up to the quorum.

    Arguments as for `energy`.
    """
    x, y = _move(parameters, jnp.asarray(still.keypoints))
    drv_x, drv_y = jnp.asarray(target.keypoints).T
    squared = ((x - drv_x) ** 2 + (y - drv_y) ** 2) / (weights.reach * BODY_SIDE) ** 2
    common = (jnp.asarray(still.visible) & target.visible).astype(squared.dtype)
    agreeing = jnp.sum(common * jnp.maximum(1 - squared, 0), axis=-1)
    share = agreeing / jnp.maximum(jnp.sum(common), 1)
    return jnp.maximum(share - weights.quorum, 0) / (1 - weights.quorum)


def _move(parameters: Float[Array, "*batch 4"], points: Float[Array, "points 2"]):
    """Return x and y `[*batch points]` on the map."""
    log_scale, angle, x, y = (v[..., None] for v in jnp.moveaxis(parameters, -1, 0))
    cosine, sine = jnp.exp(log_scale) * jnp.cos(angle), jnp.exp(log_scale) * jnp.sin(angle)
    px, py = points.T
    return cosine * px - sine * py + x, sine * px + cosine * py + y
