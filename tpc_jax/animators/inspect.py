"""Where the denoiser looks: what points of one frame attend to in the pictures that it reads."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from tpc_jax.animators.clip import clip_table, clip_windows, sample_clip, start_clip, window_reader
from tpc_jax.animators.encoding import CanvasClip, encode_clip
from tpc_jax.animators.interface import ReferenceReader
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.animators.references import ClipReferences, Keys, most_groups
from tpc_jax.model.params import Params
from tpc_jax.sampler.loop import step_rows


def attention_maps(
    animator: ReferenceReader,
    params: Params,
    clip: CanvasClip,
    options: AnimateOptions,
    *,
    frame: int,
    step: int,
    points: Float[np.ndarray, "points 2"],
) -> Float[np.ndarray, "pictures points height width"]:
    """Return how much points of one frame attend to every pixel of the pictures that it reads.

    The pictures are in the order of reading: the reference unless its place is taken, then the
    calibrated picture of each person, or the composite. Values are densities, averaged over the
    heads and the transformers that read: those of one point sum over all pixels of all pictures to
    the share of its attention that does not stay with the frame's own tokens.

    Args:
        animator: The model's functions.
        params: The model's parameters, with what is read of the reference.
        clip: The pictures.
        options: Denoising options; the group size is taken as 1, so that each frame reads its own
            calibrated picture.
        frame: The frame that looks.
        step: The denoising step at which it looks, from 0.
        points: (x, y) of the points that look, in pixels of the canvas.

    Raises:
        ValueError: There is no such frame or step, or a point lies outside the canvas.
    """
    options = dataclasses.replace(options.resolve(animator), group_size=1)
    table = clip_table(animator, options)
    shares = (points + 0.5) / animator.image_size[::-1]
    if not 0 <= frame < len(clip.pose) or not 0 <= step < len(table.timestep):
        raise ValueError(
            f"frame must be in 0...{len(clip.pose) - 1} and step in "
            f"0...{len(table.timestep) - 1}, got {frame} and {step}"
        )
    if (shares < 0).any() or (shares >= 1).any():
        raise ValueError(f"points must lie on the canvas, got {points.tolist()}")
    conditions = encode_clip(animator, params, clip, options)
    latents = start_clip(animator, params, len(clip.pose), options)
    before = sample_clip(animator, params, conditions, options, latents)
    for _ in range(step):
        latents = next(before)
    row = jax.tree.map(lambda column: column[step], step_rows(table))
    look = _jit_look(animator, options, len(clip.pose), frame, tuple(map(tuple, shares.tolist())))
    weights = look(params, conditions, latents, row)
    return _maps(animator, weights, conditions.references, frame)


@functools.lru_cache
def _jit_look(animator, options: AnimateOptions, num_frames: int, frame: int, shares):
    """Compile the first window that holds a frame, up to the weights of a few points."""
    windows = clip_windows(animator, num_frames, options).frames
    window = windows[(windows == frame).any(axis=1).argmax()]
    slots = most_groups(np.minimum(windows, num_frames - 1), options.group_size)

    def look(params, conditions, latents, row):
        frames = jnp.asarray(window)
        read = window_reader(animator, params, conditions, row, options, slots)(frames)
        timestep = row.timestep.astype(jnp.float32)
        pose = conditions.pose[jnp.minimum(frames, num_frames - 1)]
        control = animator.control(params, latents[frames], timestep, pose)
        control = jax.tree.map(lambda x: x[None], control)
        return animator.attention_weights(
            params, latents[frames][None], timestep[None], read, control,
            image=int((window == frame).argmax()), points=np.array(shares),
        )  # fmt: skip

    return jax.jit(look)


def _maps(animator, weights, references: ClipReferences, frame: int):
    """Lay the weights of every transformer's keys out on the canvas and average them."""
    layers = []
    for parts, seen, grid in zip(weights, references.visible, animator.token_grids, strict=True):
        if parts is None:
            continue
        places: list[Keys | None] = [None] * (len(parts) - 1)
        if seen is not None:
            calibrated = zip(*seen.calibrated, strict=True)
            places = [seen.reference, *(Keys(p[frame], b[frame]) for p, b in calibrated)]
        spread = [_spread(part, keys, grid) for part, keys in zip(parts[1:], places, strict=True)]
        layers.append(_enlarge(np.stack(spread), animator.image_size))
    return np.mean(layers, axis=0)


def _spread(weights, keys: Keys | None, grid: tuple[int, int]) -> np.ndarray:
    """Put the weights of the keys that are read at their places on the token grid."""
    weights = np.asarray(weights, np.float32)
    if keys is not None:
        placed = np.zeros((len(weights), grid[0] * grid[1]), np.float32)
        placed[:, np.asarray(keys.places)] = weights
        weights = placed
    return weights.reshape(-1, *grid)


def _enlarge(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Divide the weight of each cell among its pixels."""
    height, width = maps.shape[-2:]
    rows, columns = (
        np.arange(length) * cells // length
        for length, cells in zip(size, (height, width), strict=True)
    )
    counts = np.bincount(rows)[:, None] * np.bincount(columns)
    return (maps / counts)[..., rows, :][..., columns]
