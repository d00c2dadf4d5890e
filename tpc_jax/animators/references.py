"""What the frames of one window read of the reference and of its calibrated copies."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from tpc_jax.conditioning.masks import Visibility
from tpc_jax.model.attention import ReferenceTokens

Features = tuple[Float[Array, "_pictures _tokens _width"] | None, ...]


class ClipReferences(NamedTuple):
    """The pictures that a clip's denoiser can read, and who may read what.

    Pictures are latents where features must be encoded at every step, and features where one
    encoding serves all steps.

    Attributes:
        shared: The one picture that all frames read, or None where there is none.
        per_frame: One entry per person: the pictures of all frames.
        visibility: Bits per transformer, or None where everything is visible.
    """

    shared: PyTree[Array] | None
    per_frame: tuple[PyTree[Array], ...]
    visibility: tuple[Visibility | None, ...]


class WindowGroups(NamedTuple):
    """The propagation groups that a window touches.

    Attributes:
        source: Frame of the clip that speaks for each group; padded by repeats.
        slot: For each entry of the window the place of its group in `source`.
    """

    source: Int[Array, " groups"]
    slot: Int[Array, " window"]


def most_groups(frames: Int[np.ndarray, "windows length"], group_size: int) -> int:
    """Return how many groups a window touches at most."""
    return max(len(set((window // group_size).tolist())) for window in frames)


def window_groups(
    frames: Int[Array, " window"],
    representative: Int[Array, " groups"],
    group_size: int,
    num_slots: int,
) -> WindowGroups:
    """Return the groups of one window.

    Args:
        frames: Absolute frame index of the window's entries; may be traced.
        representative: Frame that speaks for each group of the clip at this step.
        group_size: Frames per group.
        num_slots: `most_groups` of all windows.
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
) -> tuple[ReferenceTokens | None, ...]:
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
    features: Features = (None,) * len(references.visibility)
    if people:
        chosen = [
            jax.tree.map(lambda x: x[groups.source], pictures) for pictures in references.per_frame
        ]
        features = encode(jax.tree.map(lambda *parts: jnp.concatenate(parts), *chosen))
    layers = []
    for index, seen in enumerate(references.visibility):
        parts, bits = [], []
        if shared is not None and shared[index] is not None:
            parts.append(shared[index][None, :1])
            bits.append(None if seen is None else seen.reference[None, None])
        own = features[index]
        if own is not None:
            parts += [part[None] for part in jnp.split(own, people)]
            bits += [
                None if seen is None else seen.calibrated[person, groups.source][None]
                for person in range(people)
            ]
        queries = None if seen is None else seen.queries[frames][None]
        tokens = ReferenceTokens(tuple(parts), tuple(bits), queries, groups.slot[None])
        layers.append(tokens if parts else None)
    return tuple(layers)
