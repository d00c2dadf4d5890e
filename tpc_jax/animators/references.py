"""What the frames of one window read of the reference and of its calibrated copies."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree, UInt32

from tpc_jax.animators.base import Features, References
from tpc_jax.conditioning.masks import Visibility
from tpc_jax.model.attention import ReferenceTokens


class Keys(NamedTuple):
    """The tokens of pictures that somebody may read, padded to one number by hidden ones.

    Attributes:
        places: Their indices.
        bits: Their visibility bits; 0 for padding.
    """

    places: Int[Array, "*pictures keys"]
    bits: UInt32[Array, "*pictures keys"]


class Visible(NamedTuple):
    """Who may read what on one token grid, without the keys that nobody may read.

    Attributes:
        queries: Bits of the tokens of every frame.
        reference: Keys of the shared picture.
        calibrated: Keys of each person's pictures, `[people pictures keys]`.
    """

    queries: UInt32[Array, "frames tokens"]
    reference: Keys
    calibrated: Keys


def visible_keys(seen: Visibility, shares: tuple[float, float] | None = None) -> Visible:
    """Leave out the keys that nobody may read: in a masked routing more than half of them.

    Args:
        seen: Who may read what.
        shares: Shares of the tokens of the reference and of the calibrated pictures to make room
            for; None counts them.
    """
    reference, calibrated = shares or (None, None)
    return Visible(
        seen.queries, _visible(seen.reference, reference), _visible(seen.calibrated, calibrated)
    )


def _visible(bits: UInt32[Array, "*pictures tokens"], share: float | None) -> Keys:
    tokens = bits.shape[-1]
    if share is None:
        most = int((np.asarray(bits) != 0).sum(-1).max(initial=0))
    else:
        most = math.ceil(share * tokens)
    places = jnp.argsort(bits == 0, axis=-1, stable=True)[..., : num_keys(most, tokens)]
    return Keys(places.astype(jnp.int32), jnp.take_along_axis(bits, places, axis=-1))


def num_keys(count: int, tokens: int) -> int:
    """Round a number of keys up to a sixteenth of the tokens, so that few programs are compiled."""
    unit = max(1, tokens // 16)
    return min(tokens, max(1, -(-count // unit)) * unit)


class ClipReferences(NamedTuple):
    """The pictures that a clip's denoiser can read, and who may read what.

    Pictures are features where one encoding serves all steps and fits into memory, and latents
    where features must be encoded at every step.

    Attributes:
        shared: The one picture that all frames read, or None where there is none.
        per_frame: One entry per person: the pictures of all frames.
        visible: What may be read per transformer, or None where everything is visible.
    """

    shared: PyTree[Array] | None
    per_frame: tuple[PyTree[Array], ...]
    visible: tuple[Visible | None, ...]


class WindowGroups(NamedTuple):
    """The propagation groups that a window touches.

    Attributes:
        source: Place among the stored pictures of the one that speaks for each group; padded by
            repeats.
        slot: For each entry of the window the place of its group in `source`.
    """

    source: Int[Array, " groups"]
    slot: Int[Array, " window"]


def window_groups(
    frames: Int[Array, " window"],
    representative: Int[Array, " groups"],
    group_size: int,
    num_slots: int,
) -> WindowGroups:
    """Return the groups of one window.

    Args:
        frames: Absolute frame index of the window's entries; may be traced.
        representative: Stored picture that speaks for each group of the clip at this step.
        group_size: Frames per group.
        num_slots: How many groups a window touches at most.
    """
    groups, slot = jnp.unique(
        jnp.asarray(frames) // group_size, size=num_slots, return_inverse=True
    )
    return WindowGroups(representative[groups], slot.reshape(-1))


def window_references(
    references: ClipReferences,
    shared: Features | None,
    frames: Int[Array, " window"],
    groups: WindowGroups,
    encode: Callable[[PyTree[Array]], Features],
) -> References:
    """Return what each transformer reads in one window, with a batch axis of 1.

    Only the pictures of the window's representatives are taken, and encoded if they must be.

    Args:
        references: Pictures of the whole clip.
        shared: Features of the shared picture at this step.
        frames: Frame of the clip of each of the window's entries.
        groups: The window's groups.
        encode: From pictures with one leading axis to features.
    """
    people = len(references.per_frame)
    features: Features = (None,) * len(references.visible)
    if people:
        chosen = [
            jax.tree.map(lambda x: x[groups.source], pictures) for pictures in references.per_frame
        ]
        features = encode(jax.tree.map(lambda *parts: jnp.concatenate(parts), *chosen))
    layers = []
    for index, seen in enumerate(references.visible):
        parts = []
        still = None if shared is None else shared[index]
        if still is not None:
            parts.append(_part(still[:1], seen and _expand(seen.reference)))
        own = features[index]
        if own is not None:
            for person, tokens in enumerate(jnp.split(own, people)):
                row = (person, groups.source)
                keys = seen and Keys(*(x[row] for x in seen.calibrated))
                parts.append(_part(tokens, keys))
        layers.append(_layer(parts, seen, frames, groups))
    return tuple(layers)


def _layer(parts, seen: Visible | None, frames, groups: WindowGroups) -> ReferenceTokens | None:
    if not parts:
        return None
    tokens, bits = zip(*parts, strict=True)
    queries = None if seen is None else seen.queries[frames][None]
    return ReferenceTokens(tokens, bits, queries, groups.slot[None])


def _expand(keys: Keys) -> Keys:
    return Keys(*(x[None] for x in keys))


def _part(tokens: Float[Array, "pictures tokens width"], keys: Keys | None):
    """Return the tokens that may be read and their bits, with a batch axis of 1."""
    if keys is None:
        return tokens[None], None
    return jnp.take_along_axis(tokens, keys.places[..., None], axis=1)[None], keys.bits[None]
