"""What is encoded once per clip, from pictures on the canvas, and what is decoded at its end."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from tpc_jax.animators.interface import Animator
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.animators.references import ClipReferences, Visible, visible_keys
from tpc_jax.conditioning.composite import paste
from tpc_jax.conditioning.masks import Routing, cell_visibility, is_restricted, pool
from tpc_jax.model.params import Params, num_bytes

_PICTURES_AT_ONCE = 16
# Fewer pictures at once where they are large: an autoencoder takes about 1 kB per pixel.
_PIXELS_AT_ONCE = 1 << 19

Latents = Float[Array, "frames h w channels"]
# Grey levels, or numbers that are pixel values already.
Pixels = (
    UInt8[np.ndarray, "*batch rows columns _colors"]
    | Float[np.ndarray, "*batch rows columns _colors"]
)


class CanvasClip(NamedTuple):
    """All pictures of a clip as the animator takes them, on the host.

    Attributes:
        reference: The still, as it is read.
        pose: The motion, as the animator wants to see it.
        background: The reference without its people; wanted by routing `composite` only.
        reference_masks: Where each person is in the reference, coverage 0...255.
        images: The calibrated pictures, as they are read.
        masks: Where the person is in them.
        target_masks: Where each person is in the driving frames.
    """

    reference: Pixels
    pose: Pixels
    background: UInt8[np.ndarray, "height width 3"] | None
    reference_masks: UInt8[np.ndarray, "people height width"]
    images: Pixels
    masks: UInt8[np.ndarray, "people frames height width"]
    target_masks: UInt8[np.ndarray, "people frames height width"]


class ClipConditions(NamedTuple):
    """What is encoded once per clip.

    Attributes:
        references: What can be read.
        pose: Pose features of every frame.
    """

    references: ClipReferences
    pose: Float[Array, "frames h w pose_channels"]


def encode_clip(
    animator: Animator, params: Params, clip: CanvasClip, options: AnimateOptions
) -> ClipConditions:
    """Encode the pictures that a run reads, a few at a time.

    With policy "first" only the first picture of each group is ever read, hence encoded.
    """
    options = options.resolve(animator)
    pose = _in_chunks(animator, functools.partial(_jit_pose(animator), params), clip.pose)
    pose = animator.pose_context(pose)

    def encode(pictures, as_features: bool):
        jitted = functools.partial(_jit_pictures(animator, as_features), params)
        return _in_chunks(animator, jitted, pictures)

    has_original = options.routing not in ("replace", "composite")
    can_keep = not animator.features_depend_on_t
    shared = encode(clip.reference[None], can_keep) if has_original else None
    nothing = (None,) * len(animator.token_grids)
    if options.routing is None:
        return ClipConditions(ClipReferences(shared, (), nothing), pose)
    stride = options.group_size if options.policy == "first" else 1
    images, masks = clip.images[:, ::stride], clip.masks[:, ::stride]
    people = 1 if options.routing == "composite" else len(images)
    keeps = keeps_features(animator, params, people * images.shape[1], options)
    if options.routing == "composite":
        composites = functools.partial(_jit_composites(animator, keeps), params, clip.background)
        layers = (np.moveaxis(images, 1, 0), np.moveaxis(masks, 1, 0))
        pasted = _in_chunks(animator, composites, layers)
        return ClipConditions(ClipReferences(shared, (pasted,), nothing), pose)
    per_frame = tuple(encode(person, keeps) for person in images)
    bits = clip_visibility(animator, clip._replace(masks=masks), options.routing)
    return ClipConditions(ClipReferences(shared, per_frame, bits), pose)


def keeps_features(
    animator: Animator, params: Params, num_pictures: int, options: AnimateOptions
) -> bool:
    """Tell whether the features of all calibrated pictures are encoded once and kept.

    Args:
        animator: The model's functions.
        params: The model's parameters, or their shapes.
        num_pictures: Calibrated pictures of all people.
        options: Denoising options, with the limit.
    """
    if animator.features_depend_on_t:
        return False
    picture = jax.ShapeDtypeStruct((1, *animator.picture_size, 3), jnp.uint8)
    features = jax.eval_shape(_jit_pictures(animator, True), params, picture)
    return num_pictures * num_bytes(features) <= options.cache_bytes


def clip_visibility(
    animator: Animator, clip: CanvasClip, routing: Routing
) -> tuple[Visible | None, ...]:
    """Return what every transformer may read; None where it reads nothing or all is visible."""
    if not is_restricted(routing):
        return (None,) * len(animator.token_grids)
    bits = {}
    for grid, reads in zip(animator.token_grids, animator.reads, strict=True):
        if reads and grid not in bits:
            masks = (clip.target_masks, clip.masks, clip.reference_masks[:, None])
            target, calibrated, reference = (_cells(m, grid) for m in masks)
            seen = cell_visibility(routing, target, calibrated, reference[:, 0])
            bits[grid] = visible_keys(seen)
    pairs = zip(animator.token_grids, animator.reads, strict=True)
    return tuple(bits[grid] if reads else None for grid, reads in pairs)


def _cells(masks: UInt8[np.ndarray, "people frames height width"], grid: tuple[int, int]):
    """Pool masks frame by frame, so that only one frame is ever held as numbers."""
    return jnp.stack([jnp.stack([_jit_pool(frame, grid) for frame in person]) for person in masks])


@functools.partial(jax.jit, static_argnums=1)
def _jit_pool(mask, grid):
    return pool(mask.astype(jnp.float32) / 255, grid)


def decode_clip(
    animator: Animator, params: Params, latents: Latents
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Return the pictures of latents, a few at a time."""
    decode = _jit_decode(animator)
    # Frames leave the device one chunk after the other.
    return _in_chunks(animator, lambda chunk: np.asarray(decode(params, chunk)), latents)


def pictures_at_once(size: tuple[int, int]) -> int:
    """Return how many pictures go through an autoencoder together."""
    return max(1, min(_PICTURES_AT_ONCE, _PIXELS_AT_ONCE // (size[0] * size[1])))


def _in_chunks(animator: Animator, function: Callable, x: Any):
    """Apply a jitted function to a few pictures at a time, the last few padded by repeats."""
    count = len(jax.tree.leaves(x)[0])
    size = min(count, pictures_at_once(animator.image_size))
    chunks = []
    for at in range(0, count, size):
        index = np.minimum(np.arange(at, at + size), count - 1)
        chunks.append(function(jax.tree.map(lambda leaf, i=index: leaf[i], x)))
    is_on_host = all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(chunks))
    join = np.concatenate if is_on_host else jnp.concatenate
    return jax.tree.map(lambda *parts: join(parts)[:count], *chunks)


def to_unit(pixels):
    """Map grey levels to [0, 1]; numbers stay as they are."""
    return pixels / jnp.float32(255) if pixels.dtype == jnp.uint8 else pixels


def encode_pictures(animator: Animator, params: Params, images, as_features: bool):
    """Prepare pictures in [0, 1] or, where these serve all steps, return their features."""
    prepared = animator.prepare(params, images)
    return animator.reference_features(params, prepared, 0.0) if as_features else prepared


@functools.lru_cache
def _jit_pictures(animator: Animator, as_features: bool):
    def encode(params, pixels):
        return encode_pictures(animator, params, to_unit(pixels), as_features)

    return jax.jit(encode)


@functools.lru_cache
def _jit_composites(animator: Animator, as_features: bool):
    def encode(params, background, chunk):
        images, masks = (jnp.moveaxis(to_unit(x), 1, 0) for x in chunk)
        pasted = paste(to_unit(background), images, masks)
        return encode_pictures(animator, params, pasted, as_features)

    return jax.jit(encode)


@functools.lru_cache
def _jit_pose(animator: Animator):
    return jax.jit(lambda params, pixels: animator.pose_features(params, to_unit(pixels)))


@functools.lru_cache
def _jit_decode(animator: Animator):
    def decode(params, latents):
        frames = animator.decode(params, latents).astype(jnp.float32) / 2 + 0.5
        return jnp.round(255 * jnp.clip(frames, 0, 1)).astype(jnp.uint8)

    return jax.jit(decode)
