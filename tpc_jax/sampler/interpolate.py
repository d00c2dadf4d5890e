"""Frames between denoised ones, as blends of latents."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def interpolate(
    latents: Float[Array, "frames h w channels"], factor: int
) -> Float[Array, "new_frames h w channels"]:
    """Insert `factor - 1` blends, on straight lines, between neighbouring frames.

    Args:
        latents: Clean latents of a clip.
        factor: New frames per frame; n frames become (n - 1) factor + 1.

    Raises:
        ValueError: The factor is below 1.

    Source: `interpolate_latents` of Moore-AnimateAnyone's pipelines.
    """
    if factor < 1:
        raise ValueError(f"factor must be at least 1, got {factor}")
    share = (jnp.arange(factor, dtype=latents.dtype) / factor)[:, None, None, None]
    start, end = latents[:-1, None], latents[1:, None]
    between = ((1 - share) * start + share * end).reshape(-1, *latents.shape[1:])
    return jnp.concatenate([between, latents[-1:]])
