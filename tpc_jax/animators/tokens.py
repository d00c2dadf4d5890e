"""Animators that read pictures as tokens of their cross-attention context.

A picture's tokens have no places on the denoiser's grid. So there is one reader in place of one per
transformer, the context, and its features are one array of tokens per picture: propagation and
windows then serve these animators as they do those with reference attention.
"""

from typing import ClassVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from tpc_jax.animators.base import CONTEXT, Animator, References
from tpc_jax.model.attention import picture_of_each
from tpc_jax.model.params import Params
from tpc_jax.options import Routing

# The stored context of the unconditional prediction.
NULL = "null"


class TokenAnimator(Animator):
    """What DreamPose and DisCo have in common.

    Attributes:
        routings: `open` appends the calibrated pictures' tokens to those of the reference;
            `replace` leaves the reference's out. Masks of places mean nothing to tokens.
    """

    routings: ClassVar[tuple[Routing, ...]] = ("open", "replace")

    @property
    def readers(self) -> tuple[tuple[int, int]]:
        """One reader, the context: a row of tokens."""
        return ((1, self.config.image_encoder.num_tokens),)


def frame_context(
    references: References, num_frames: int
) -> Float[Array, "batch frames tokens width"]:
    """Return the tokens of every frame: the reference's, then each calibrated person's.

    Args:
        references: The only reader's references.
        num_frames: Frames of a window.

    Raises:
        ValueError: There is nothing to read.
    """
    (read,) = references
    if read is None:
        raise ValueError("references must hold tokens for the only reader, got None")
    batch = len(read.tokens[0])
    parts = [
        picture_of_each(tokens, batch * num_frames, read.picture_of_frame) for tokens in read.tokens
    ]
    joined = jnp.concatenate(parts, axis=1)
    return joined.reshape(batch, num_frames, *joined.shape[1:])


def null_context(
    params: Params, like: Float[Array, "batch frames tokens width"]
) -> Float[Array, "batch frames tokens width"]:
    """Return the unconditional context, repeated to the length of another one.

    Repeated tokens change nothing in attention; all predictions then are one batch.
    """
    null = params[CONTEXT][NULL]
    repeats = like.shape[-2] // len(null)
    return jnp.broadcast_to(jnp.tile(null, (repeats, 1)), like.shape).astype(like.dtype)
