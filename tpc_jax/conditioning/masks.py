"""Who may read what: person masks become visibility bits on a token grid.

A query reads a key when they share a bit, so that a routing is nothing but a choice of bits; the
(queries x keys) array is never built.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt32

from tpc_jax.options import Routing


class RoutingFacts(NamedTuple):
    """What a routing means for what is encoded.

    Attributes:
        reads_reference: Whether the reference is read beside the calibrated pictures.
        is_pasted: Whether the calibrated people are pasted into one picture.
        hides: Whether visibility bits say who may read what.
    """

    reads_reference: bool = True
    is_pasted: bool = False
    hides: bool = False


# * `open`: everything is visible.
# * `masked`: a person's calibrated tokens are read from inside that person's target mask, the
#   reference's background from outside every target mask.
# * `union`: as `masked`, and the reference's people are read from inside any target mask.
# * `replace`: the calibrated picture is read in place of the reference.
# * `composite`: as `replace`, and the calibrated people are pasted over the reference's scene.
# None leaves calibrated pictures out.
ROUTINGS: dict[Routing | None, RoutingFacts] = {
    None: RoutingFacts(),
    "open": RoutingFacts(),
    "masked": RoutingFacts(hides=True),
    "union": RoutingFacts(hides=True),
    "replace": RoutingFacts(reads_reference=False),
    "composite": RoutingFacts(reads_reference=False, is_pasted=True),
}

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
    target: Float[Array, "people frames tokens"],
    calibrated: Float[Array, "people pictures tokens"],
    reference: Float[Array, "people tokens"],
) -> Visibility:
    """Return the bits of a routing that hides something.

    Args:
        routing: `masked` or `union` (see `ROUTINGS`).
        target: Share of every token that each person covers in the driving frames (see `pool`).
        calibrated: The same in the calibrated pictures.
        reference: The same in the reference.

    Raises:
        ValueError: More people than bits.

    Source: TPC's released `mutual_self_attention.py` for `masked`, with its threshold and its mean
        over people for the background; `union` is our own.
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
