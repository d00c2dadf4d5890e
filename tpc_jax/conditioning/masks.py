"""Who may read what: person masks become visibility bits on a token grid.

A query reads a key when they share a bit, so that a routing is nothing but a choice of bits; the
(queries x keys) array is never built.
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt32

Routing = Literal["open", "masked", "union", "replace", "composite"]

# Every query and every token without restriction.
EVERYONE = 1
_BACKGROUND, _FOREGROUND, _EITHER = 2, 4, 8
# Bits that are no person's; the people's follow. A key never carries more than one bit.
SHARED_BITS = 4
MAX_PEOPLE = 32 - SHARED_BITS
# A cell belongs to a person when more than 0.1 % of its area does (released code).
_THRESHOLD = 0.001


class Visibility(NamedTuple):
    """Visibility bits on one token grid.

    Attributes:
        queries: Bits of the tokens of every frame.
        reference: Bits of the original reference's tokens.
        calibrated: Bits of the tokens of each person's calibrated pictures.
    """

    queries: UInt32[Array, "frames tokens"]
    reference: UInt32[Array, " tokens"]
    calibrated: UInt32[Array, "people pictures tokens"]


def visibility(
    routing: Routing,
    target_masks: Float[Array, "people frames height width"],
    calibrated_masks: Float[Array, "people pictures height width"],
    reference_masks: Float[Array, "people height width"],
    grid: tuple[int, int],
) -> Visibility | None:
    """Return the bits of a routing on a token grid, or None where everything is visible.

    * `masked`: a person's calibrated tokens are read from inside that person's target mask, the
      reference's background from outside every target mask.
    * `union`: as `masked`, and the reference's people are read from inside any target mask.
    * `open`, `replace`, `composite`: everything is visible.

    Args:
        routing: Name of the routing.
        target_masks: Where each person is in the driving frames, in [0, 1].
        calibrated_masks: Where each person is in the calibrated pictures, in [0, 1].
        reference_masks: Where each person is in the reference, in [0, 1].
        grid: Height and width of the token grid.

    Raises:
        ValueError: More people than bits.

    Source: TPC's released `mutual_self_attention.py` for `masked`, with its threshold and its mean
        over people for the background; `union` is our own.
    """
    masks = (target_masks, calibrated_masks, reference_masks)
    if not is_restricted(routing):
        return None
    return cell_visibility(routing, *(pool(m, grid) for m in masks))


def is_restricted(routing: Routing | None) -> bool:
    """Tell whether a routing hides anything from anybody."""
    return routing in ("masked", "union")


def cell_visibility(
    routing: Routing,
    target: Float[Array, "people frames tokens"],
    calibrated: Float[Array, "people pictures tokens"],
    reference: Float[Array, "people tokens"],
) -> Visibility:
    """Return the bits of a restricted routing from `pool`ed masks.

    Raises:
        ValueError: More people than bits.
    """
    if len(target) > MAX_PEOPLE:
        raise ValueError(f"routing {routing} serves {MAX_PEOPLE} people, got {len(target)}")
    person = (1 << SHARED_BITS) << jnp.arange(len(target), dtype=jnp.uint32)[:, None, None]
    is_target = target > _THRESHOLD
    queries = EVERYONE | _bits(target.mean(0) < _THRESHOLD, _BACKGROUND)
    queries |= jnp.bitwise_or.reduce(_bits(is_target, person), axis=0)
    bits = _bits(reference.mean(0) < _THRESHOLD, _BACKGROUND)
    if routing == "union":
        queries |= _bits(is_target.any(0), _FOREGROUND)
        queries |= _bits((queries & (_BACKGROUND | _FOREGROUND)) != 0, _EITHER)
        bits |= _bits((reference > _THRESHOLD).any(0), _FOREGROUND)
        # Among several people a thin one can count as background too.
        bits = jnp.where(bits == (_BACKGROUND | _FOREGROUND), jnp.uint32(_EITHER), bits)
    return Visibility(queries, bits, _bits(calibrated > _THRESHOLD, person))


def _bits(flags: Bool[Array, "*shape"], bit) -> UInt32[Array, "*shape"]:
    return jnp.where(flags, jnp.asarray(bit, jnp.uint32), jnp.uint32(0))


def pool(
    masks: Float[Array, "*batch height width"], grid: tuple[int, int]
) -> Float[Array, "*batch tokens"]:
    """Average masks over the cells of a token grid, row-major; cells need not be whole pixels."""
    rows = _area_weights(masks.shape[-2], grid[0])
    columns = _area_weights(masks.shape[-1], grid[1])
    cells = jnp.einsum("ih,...hw,jw->...ij", rows, masks, columns, precision="highest")
    return cells.reshape(*masks.shape[:-2], grid[0] * grid[1])


def _area_weights(size: int, cells: int) -> Float[np.ndarray, "cells size"]:
    """Return the share of each pixel in each cell's mean."""
    edges = np.linspace(0, size, cells + 1)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.maximum(overlap, 0) / (size / cells)).astype(np.float32)
