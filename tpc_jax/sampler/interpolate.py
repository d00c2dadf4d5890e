"""Frames between denoised ones, as blends of latents."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Blend = Literal["linear", "spherical"]

# Directions nearer than this cosine are blended on the straight line between them.
_PARALLEL = 0.9995


def interpolate(
    latents: Float[Array, "frames h w channels"], factor: int, blend: Blend = "linear"
) -> Float[Array, "new_frames h w channels"]:
    """Insert `factor - 1` blends between neighbouring frames.

    Args:
        latents: Clean latents of a clip.
        factor: New frames per frame; n frames become (n - 1) factor + 1.
        blend: "linear", or "spherical" along the great circle between whole frames.

    Raises:
        ValueError: The factor is below 1.

    Source: `interpolate_latents` of Moore-AnimateAnyone's pipelines, whose own choice between the
        two blends is never made.
    """
    if factor < 1:
        raise ValueError(f"factor must be at least 1, got {factor}")
    if factor == 1 or len(latents) == 1:
        return latents
    mix = _linear if blend == "linear" else _spherical
    share = jnp.arange(factor, dtype=latents.dtype) / factor

    def between(start, end):
        return jax.vmap(lambda part: mix(start, end, part))(share)

    mixed = jax.vmap(between)(latents[:-1], latents[1:])
    return jnp.concatenate([mixed.reshape(-1, *latents.shape[1:]), latents[-1:]])


def _linear(start, end, share):
    return (1 - share) * start + share * end


def _spherical(start, end, share):
    cosine = jnp.vdot(start, end) / jnp.sqrt(jnp.vdot(start, start) * jnp.vdot(end, end))
    is_straight = jnp.abs(cosine) > _PARALLEL
    angle = jnp.arccos(jnp.where(is_straight, 0.0, cosine))
    weights = jnp.sin((1 - share) * angle), jnp.sin(share * angle)
    curved = (weights[0] * start + weights[1] * end) / jnp.sin(angle)
    return jnp.where(is_straight, _linear(start, end, share), curved)
