"""Parts of a picture that are scored apart: person, background, face."""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Bool, Float

# From the middle of eyes, ears and nose, the farthest of them lies about half a head away.
_HEAD_RADIUS = 1.6


def face_mask(
    xy: Float[ArrayLike, "*batch points 2"],
    valid: Bool[ArrayLike, "*batch points"],
    size: tuple[int, int],
) -> Bool[Array, "*batch height width"]:
    """Return the disc about the visible face points.

    Its centre is their mean, its radius 1.6 times the distance of the farthest of them.

    Args:
        xy: Points of the face (eyes, ears, nose) in pixels; the origin is the centre of the
            top-left pixel.
        valid: Which of them are visible.
        size: Height and width of the picture.

    Returns:
        True inside. Empty where fewer than two points are visible, so that metrics give NaN.

    Raises:
        ValueError: Shapes that do not fit.

    Source:
        Own definition.
    """
    xy, valid = jnp.asarray(xy, jnp.float32), jnp.asarray(valid)
    if xy.shape[-1] != 2 or xy.shape[:-1] != valid.shape:
        raise ValueError(
            f"xy must have shape (..., points, 2) and valid the same without 2, got {xy.shape} "
            f"and {valid.shape}"
        )
    count = jnp.sum(valid, axis=-1)
    # Where nothing is visible any divisor will do: the disc is emptied below.
    xy = jnp.where(valid[..., None], xy, 0.0)
    center = jnp.sum(xy, axis=-2) / jnp.maximum(count, 1)[..., None]
    away = jnp.sum(jnp.square(xy - center[..., None, :]), axis=-1)
    radius2 = _HEAD_RADIUS**2 * jnp.max(jnp.where(valid, away, 0.0), axis=-1)
    rows, columns = jnp.arange(size[0])[:, None], jnp.arange(size[1])[None, :]
    offset_y = rows - center[..., 1, None, None]
    offset_x = columns - center[..., 0, None, None]
    inside = offset_y**2 + offset_x**2 <= radius2[..., None, None]
    return inside & (count >= 2)[..., None, None]


def region_masks(
    person: Bool[ArrayLike, "*batch height width"],
    face: Bool[ArrayLike, "*batch height width"] | None = None,
) -> dict[str, Bool[Array, "*batch height width"]]:
    """Name the regions that are scored apart.

    Args:
        person: The ground truth's person masks.
        face: Its face masks, cut to the person; left out if not known.

    Returns:
        `foreground`, `background` and, if given, `face`.

    Raises:
        ValueError: Masks that are not boolean or of different shapes.
    """
    person = jnp.asarray(person)
    masks = {"foreground": person, "background": ~person if person.dtype == bool else person}
    if face is not None:
        masks["face"] = jnp.asarray(face)
    for name, mask in masks.items():
        if mask.dtype != bool or mask.shape != person.shape:
            raise ValueError(
                f"{name} must be a boolean mask of shape {person.shape}, got {mask.dtype} "
                f"{mask.shape}; cut soft masks at one half"
            )
    if face is not None:
        masks["face"] = masks["face"] & person
    return masks
