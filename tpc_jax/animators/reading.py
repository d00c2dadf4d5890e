"""What a clip reads, encoded once from pictures on the canvas, and what is decoded at its end.

`read_clip` gives arrays or, under `jax.eval_shape`, the shapes that a run will hold.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree, UInt8

from tpc_jax.animators.base import Animator, Reading, jitted
from tpc_jax.animators.plan import Plan
from tpc_jax.animators.references import ClipReferences, Visible, visible_keys
from tpc_jax.conditioning.composite import paste
from tpc_jax.conditioning.masks import pool, visibility
from tpc_jax.model.params import Params, num_bytes
from tpc_jax.options import Routing

_PICTURES_AT_ONCE = 16
# Fewer pictures at once where they are large: an autoencoder takes about 1 kB per pixel.
_PIXELS_AT_ONCE = 1 << 19

Latents = Float[Array, "frames h w channels"]
# Grey levels, or numbers that are pixel values already.
Pixels = (
    UInt8[np.ndarray, "*batch rows columns _colors"]
    | Float[np.ndarray, "*batch rows columns _colors"]
)
Frames = Int[np.ndarray, " frames"]
# The calibrated pictures of one person in some frames, as they are read, and where the person is in
# them on the canvas, coverage 0...255.
Calibrated = Callable[[int, Frames], tuple[Pixels, UInt8[np.ndarray, "frames height width"]]]


class CanvasClip(NamedTuple):
    """All pictures of a clip as the animator takes them, on the host.

    Calibrated pictures are made when they are encoded, a few frames at a time.

    Attributes:
        reference: The still, as it is read.
        pose: The motion, as the animator wants to see it.
        background: The reference without its people; wanted where people are pasted only.
        reference_masks: Where each person is in the reference, coverage 0...255.
        calibrated: Returns one person's calibrated pictures.
        target_masks: Where each person is in the driving frames, coverage 0...255.
    """

    reference: Pixels
    pose: Pixels
    background: UInt8[np.ndarray, "height width 3"] | None
    reference_masks: UInt8[np.ndarray, "people height width"]
    calibrated: Calibrated
    target_masks: UInt8[np.ndarray, "people frames height width"]


class ClipConditions(NamedTuple):
    """What is encoded once per clip.

    Attributes:
        reading: What is read of the whole reference and of a prompt.
        references: The pictures that can be read.
        pose: Pose features of every frame, with those of its neighbours.
    """

    reading: Reading
    references: ClipReferences
    pose: Float[Array, "frames h w pose_channels"]


def read_clip(
    plan: Plan, params: Params, reading: Reading, clip: CanvasClip, coverage: float | None = None
) -> ClipConditions:
    """Encode what a run reads, a few pictures at a time.

    Args:
        plan: The run.
        params: The model's parameters.
        reading: What the animator's `read_reference` returned.
        clip: The pictures.
        coverage: Share of the pictures that a person covers, to make room for where routing hides
            the rest; None counts what is visible, which needs numbers.
    """
    animator = plan.animator
    pose = _in_chunks(
        animator, len(clip.pose), lambda i: jitted(animator, "pose")(params, to_unit(clip.pose[i]))
    )
    keeps_shared = not animator.encodes_every_step
    shared = None
    if plan.facts.reads_reference:
        shared = _encoder(animator, keeps_shared)(params, reading, clip.reference[None])
    per_frame, visible = (), (None,) * len(animator.readers)
    if plan.routing is not None:
        per_frame, masks = _calibrated(plan, params, reading, clip)
        if plan.facts.hides:
            visible = _visible(animator, plan.routing, clip, masks, coverage)
    references = ClipReferences(shared, per_frame, visible)
    return ClipConditions(reading, references, with_neighbours(pose, animator.pose_reach))


def _calibrated(plan: Plan, params: Params, reading: Reading, clip: CanvasClip):
    """Return each person's encoded pictures, and their masks; or those of all pasted, no masks."""
    animator, frames = plan.animator, plan.program.stored_frames
    people = range(len(clip.reference_masks))
    count = len(frames) * (1 if plan.facts.is_pasted else len(people))
    keeps = keeps_features(plan, params, reading, clip.reference, count)

    def pasted(index):
        layers = (clip.calibrated(person, frames[index]) for person in people)
        images, masks = (np.stack(column) for column in zip(*layers, strict=True))
        encode = _encoder(animator, keeps, is_pasted=True)
        return encode(params, reading, clip.background, images, masks)

    if plan.facts.is_pasted:
        return (_in_chunks(animator, len(frames), pasted),), []
    encode = _encoder(animator, keeps)
    all_masks = []

    def one(person, index):
        images, masks = clip.calibrated(person, frames[index])
        return encode(params, reading, images), masks

    encoded = []
    for person in people:
        pictures, masks = _in_chunks(animator, len(frames), functools.partial(one, person))
        encoded.append(pictures)
        all_masks.append(masks)
    return tuple(encoded), all_masks


def keeps_features(
    plan: Plan, params: Params, reading: Reading, picture: Pixels, num_pictures: int
) -> bool:
    """Tell whether the features of all calibrated pictures are encoded once and kept.

    Args:
        plan: The run, with the limit.
        params: The model's parameters, or their shapes.
        reading: What is read of the reference, or its shapes.
        picture: One picture as it is read.
        num_pictures: Calibrated pictures of all people.
    """
    if plan.animator.encodes_every_step:
        return False
    encode = _encoder(plan.animator, True)
    features = jax.eval_shape(encode, params, reading, picture[None])
    return num_pictures * num_bytes(features) <= plan.cache_bytes


def _visible(
    animator: Animator,
    routing: Routing,
    clip: CanvasClip,
    calibrated: list,
    coverage: float | None,
) -> tuple[Visible | None, ...]:
    """Return what every reader may read; None where it reads nothing."""
    readers, bits, shares = animator.readers, {}, None
    if coverage is not None:
        # Of the reference `masked` shows the background alone.
        shares = (1 - coverage if routing == "masked" else 1.0), coverage
    for grid in readers:
        if grid is not None and grid not in bits:
            masks = (clip.target_masks, calibrated, clip.reference_masks[:, None])
            target, warped, reference = (_cells(animator, m, grid) for m in masks)
            seen = visibility(routing, target, warped, reference[:, 0])
            bits[grid] = visible_keys(seen, shares)
    return tuple(None if grid is None else bits[grid] for grid in readers)


def _cells(animator: Animator, masks, grid: tuple[int, int]):
    """Pool masks a few at a time, so that only these are ever held as numbers."""

    def person(frames):
        return _in_chunks(animator, len(frames), lambda i: _jit_pool(frames[i], grid))

    return jnp.stack([person(frames) for frames in masks])


@functools.partial(jax.jit, static_argnums=1)
def _jit_pool(masks, grid):
    return pool(masks.astype(jnp.float32) / 255, grid)


def with_neighbours(
    pose: Float[Array, "frames h w channels"], reach: int
) -> Float[Array, "frames h w _channels"]:
    """Return each frame's pose features with those about it, the oldest first.

    Args:
        pose: Features of every frame.
        reach: How many before and after; a frame's own stand for those that lack.
    """
    count = len(pose)
    places = np.arange(count)[:, None] + np.arange(-reach, reach + 1)
    exists = (places >= 0) & (places < count)
    windows = pose[np.where(exists, places, np.arange(count)[:, None])]
    return jnp.moveaxis(windows, 1, -2).reshape(*pose.shape[:-1], -1)


def decode_clip(
    animator: Animator, params: Params, latents: Latents
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Return the pictures of latents, a few at a time."""
    decode = _jit_decode(animator)
    # Frames leave the device one chunk after the other.
    return _in_chunks(animator, len(latents), lambda i: np.asarray(decode(params, latents[i])))


def pictures_at_once(size: tuple[int, int]) -> int:
    """Return how many pictures go through an autoencoder together."""
    return max(1, min(_PICTURES_AT_ONCE, _PIXELS_AT_ONCE // (size[0] * size[1])))


def _in_chunks(animator: Animator, count: int, function: Callable[[Frames], Any]) -> PyTree:
    """Call a function with a few indices at a time, the last few padded by repeats, and join."""
    size = min(count, pictures_at_once(animator.canvas.size))
    starts = range(0, count, size)
    chunks = [function(np.minimum(np.arange(at, at + size), count - 1)) for at in starts]

    def join(*parts):
        is_on_host = all(isinstance(part, np.ndarray) for part in parts)
        return (np.concatenate if is_on_host else jnp.concatenate)(parts)[:count]

    return jax.tree.map(join, *chunks)


def to_unit(pixels):
    """Map grey levels to [0, 1]; numbers stay as they are."""
    return pixels / jnp.float32(255) if pixels.dtype == jnp.uint8 else pixels


@functools.lru_cache(maxsize=64)
def _encoder(animator: Animator, as_features: bool, *, is_pasted: bool = False):
    """Compile pictures -> what is encoded once per clip, or features where these serve all steps.

    Pasted pictures are given as background, images and masks of all people.
    """

    def encode(params, reading, *layers):
        background, *others = (to_unit(x) for x in layers)
        pictures = paste(background, *others) if is_pasted else background
        encoded = animator.encode_pictures(params, pictures)
        return animator.features(params, reading, encoded, 0.0) if as_features else encoded

    return jax.jit(encode)


@functools.lru_cache(maxsize=64)
def _jit_decode(animator: Animator):
    def decode(params, latents):
        frames = animator.decode(params, latents).astype(jnp.float32) / 2 + 0.5
        return jnp.round(255 * jnp.clip(frames, 0, 1)).astype(jnp.uint8)

    return jax.jit(decode)
