"""Where the denoiser looks: what points of one frame attend to in the pictures that it reads."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from tpc_jax.animators.base import Reading, ReferenceAttentionAnimator
from tpc_jax.animators.plan import Plan, Program
from tpc_jax.animators.reading import CanvasClip, read_clip
from tpc_jax.animators.references import ClipReferences, Keys
from tpc_jax.animators.run import pose_of, sample, start_latents, window_reader
from tpc_jax.model.params import Params
from tpc_jax.sampler.table import row_of


def attention_maps(
    plan: Plan,
    params: Params,
    reading: Reading,
    clip: CanvasClip,
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
        plan: The run, of a `ReferenceAttentionAnimator`, with groups of one frame, so that each
            frame reads its own calibrated picture.
        params: The model's parameters.
        reading: What is read of the reference.
        clip: The pictures.
        frame: The frame that looks.
        step: The denoising step at which it looks, from 0.
        points: (x, y) of the points that look, in pixels of the canvas.

    Raises:
        ValueError: There is no such frame or step, or a point lies outside the canvas; or frames
            share calibrated pictures, or the animator is of another kind.
    """
    program, size = plan.program, plan.animator.canvas.size
    shares = (points + 0.5) / size[::-1]
    if not 0 <= frame < program.num_frames or not 0 <= step < plan.num_steps:
        raise ValueError(
            f"frame must be in 0...{program.num_frames - 1} and step in "
            f"0...{plan.num_steps - 1}, got {frame} and {step}"
        )
    if (shares < 0).any() or (shares >= 1).any():
        raise ValueError(f"points must lie on the canvas, got {points.tolist()}")
    if program.group_size != 1:
        raise ValueError(f"plan must have groups of 1 frame, got {program.group_size}")
    conditions = read_clip(plan, params, reading, clip)
    latents = start_latents(plan, conditions)
    before = sample(plan, params, conditions, latents)
    for _ in range(step):
        latents = next(before)
    look = _jit_look(program, frame, tuple(map(tuple, shares.tolist())))
    key, row = jax.random.key(plan.seed), row_of(plan.table, step)
    weights = look(params, conditions, key, latents, row)
    return _maps(plan.animator, weights, conditions.references, frame)


@functools.lru_cache
def _jit_look(program: Program, frame: int, shares):
    """Compile the first window that holds a frame, up to the weights of a few points."""
    animator = program.animator
    if not isinstance(animator, ReferenceAttentionAnimator):
        raise ValueError(f"animator must read by self-attention, got {type(animator).__name__}")
    windows = program.windows.frames
    window = windows[(windows == frame).any(axis=1).argmax()]

    def look(params, conditions, key, latents, row):
        frames = jnp.asarray(window)
        read = window_reader(program, params, conditions, key, row)
        timesteps = jnp.asarray(row.timestep, jnp.float32)[None]
        return animator.attention_weights(
            params, conditions.reading, latents[frames][None], timesteps, read(frames),
            pose_of(conditions, frames)[None],
            image=int((window == frame).argmax()), points=np.array(shares),
        )  # fmt: skip

    return jax.jit(look)


def _maps(animator, weights, references: ClipReferences, frame: int):
    """Lay the weights of every transformer's keys out on the canvas and average them."""
    layers = []
    for parts, seen, grid in zip(weights, references.visible, animator.readers, strict=True):
        if parts is None:
            continue
        places: list[Keys | None] = [None] * (len(parts) - 1)
        if seen is not None:
            calibrated = zip(*seen.calibrated, strict=True)
            places = [seen.reference, *(Keys(p[frame], b[frame]) for p, b in calibrated)]
        spread = [_spread(part, keys, grid) for part, keys in zip(parts[1:], places, strict=True)]
        layers.append(_enlarge(np.stack(spread), animator.canvas.size))
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
