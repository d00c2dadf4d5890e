"""What the metrics share: eager checks and the weighted mean.

Pictures of a wrong scale or shape would give plausible scores, hence the checks.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def as_image_pair(pred: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
    """Return both pictures as float32; reject 8-bit values and pictures of different shapes."""
    pred, target = jnp.asarray(pred), jnp.asarray(target)
    for name, images in (("pred", pred), ("target", target)):
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(f"{name} must hold floats in [0, 1], got {images.dtype}")
    if pred.shape != target.shape or pred.ndim < 3 or pred.shape[-1] != 3:
        raise ValueError(
            "pred and target must have one shape (..., height, width, 3), "
            f"got {pred.shape} and {target.shape}"
        )
    return pred.astype(jnp.float32), target.astype(jnp.float32)


def as_pixel_weight(mask: ArrayLike, images: Array) -> Array:
    """Return the mask as float32 weights; its shape must be that of `images` without channels."""
    weight = jnp.asarray(mask)
    if weight.shape != images.shape[:-1]:
        raise ValueError(f"mask must have shape {images.shape[:-1]}, got {weight.shape}")
    if not (weight.dtype == bool or jnp.issubdtype(weight.dtype, jnp.floating)):
        raise ValueError(f"mask must hold booleans or floats in [0, 1], got {weight.dtype}")
    return weight.astype(jnp.float32)


def levels_8bit(images: Array) -> Array:
    """Round to whole 8-bit levels 0...255, kept as float32."""
    return jnp.round(jnp.clip(images.astype(jnp.float32), 0.0, 1.0) * 255.0)


def weighted_mean(values: Array, weight: Array, axes: tuple[int, ...]) -> Array:
    """Average over the axes; NaN, by 0 / 0, where nothing carries weight."""
    return jnp.sum(values * weight, axis=axes) / jnp.sum(weight, axis=axes)
