"""Reference features of a clip, and what the frames of one window read of them."""

from typing import NamedTuple

from jaxtyping import Array, Float, Int

from tpc_jax.conditioning.masks import Visibility
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.propagation.propagate import propagate

Features = tuple[Float[Array, "*pictures tokens width"] | None, ...]


class ClipReferences(NamedTuple):
    """Everything a clip's denoiser can read beside its own tokens, per transformer.

    Attributes:
        shared: Features of the picture that all frames read, or None where there is none.
        per_frame: One entry per person: features of the pictures of all frames.
        visibility: Bits per transformer, or None where everything is visible.
    """

    shared: Features | None
    per_frame: tuple[Features, ...]
    visibility: tuple[Visibility | None, ...]


def window_references(
    references: ClipReferences,
    frames: Int[Array, " window"],
    source_of_frame: Int[Array, " frames"],
) -> tuple[ReferenceTokens | None, ...]:
    """Return what each transformer reads in one window, with a batch axis of 1.

    Args:
        references: Features of the whole clip.
        frames: Absolute frame index of the window's entries.
        source_of_frame: The frame whose calibrated picture each frame of the clip uses.
    """
    source = source_of_frame[frames]
    return tuple(
        _layer(references, index, frames, source) for index in range(len(references.visibility))
    )


def _layer(references, index: int, frames, source) -> ReferenceTokens | None:
    tokens, key_bits = [], []
    seen = references.visibility[index]
    if references.shared is not None and references.shared[index] is not None:
        tokens.append(references.shared[index][None, :1])
        key_bits.append(None if seen is None else seen.reference[None, None])
    for person, features in enumerate(references.per_frame):
        if features[index] is not None:
            tokens.append(propagate(features[index], source)[None])
            key_bits.append(None if seen is None else seen.calibrated[person][source][None])
    if not tokens:
        return None
    query_bits = None if seen is None else seen.queries[frames][None]
    return ReferenceTokens(tuple(tokens), tuple(key_bits), query_bits)
