"""Training of the synthetic features: the recipe behind `assets/synthetic_features`.

Pictures: the network tells body parts, the mean colours of clothes, skin and background, and where
joints are. Clips: it tells how joints move from frame to frame, and true clips from shuffled and
flickering ones. People are drawn upright, turned and scaled, so that features know them all.
"""

import functools
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, UInt8

from tpc_jax.metrics.networks.synthetic import (
    CLIP_SIZE,
    MAKERS,
    NUM_COLORED,
    PICTURE_SIZE,
    SyntheticKind,
    synthetic_network,
)
from tpc_jax.model.checkpoint import save_checkpoint, to_storage
from tpc_jax.model.params import Params, bind, count, initialize
from tpc_jax.pose.densepose import LIMB_PARTS, SEGMENTS
from tpc_jax.studies.people import Clip, clip_rng, sample_clip
from tpc_jax.studies.training.config import StageConfig
from tpc_jax.studies.training.loop import run_stage

STAGES = {
    "pictures": StageConfig(
        steps=800, clips=24, frames=2, learning_rate=2e-3, matrix_learning_rate=1e-2,
        ema_decay=0.98, seed=71,
    ),
    "clips": StageConfig(
        steps=1000, clips=12, frames=8, learning_rate=2e-3, matrix_learning_rate=1e-2,
        ema_decay=0.98, seed=72,
    ),
}  # fmt: skip
# Drawing takes longer than learning, so every batch is used several times.
_NUM_BATCHES = 100
_MOTION_FRAMES = 24
# Background, torso, head, arms and legs by side; DensePose ids.
_GROUPS = ((0,), SEGMENTS["torso"], SEGMENTS["head"], *LIMB_PARTS.values())
_DISTURBED_SHARE = 2 / 3
_TURNED_SHARE = 0.4


class PictureBatch(NamedTuple):
    """Pictures with what is to be told of them.

    Attributes:
        pictures: RGB.
        parts: Part ids at a quarter of the size.
        colors: Mean colour of each group of parts in [0, 1].
        has_color: Which groups are in the picture.
        joints: Position in canvas sizes from the middle.
        is_seen: Which joints are visible.
    """

    pictures: UInt8[np.ndarray, "pictures 64 64 3"]
    parts: UInt8[np.ndarray, "pictures 16 16"]
    colors: Float[np.ndarray, "pictures 7 3"]
    has_color: Bool[np.ndarray, "pictures 7"]
    joints: Float[np.ndarray, "pictures 17 2"]
    is_seen: Bool[np.ndarray, "pictures 17"]


class ClipBatch(NamedTuple):
    """Clips with what is to be told of them.

    Attributes:
        clips: RGB.
        steps: Motion of each joint from frame to frame in canvas sizes.
        is_seen: Which joints are visible before and after, in a clip that is not shuffled.
        disturbance: 0 for a true clip, 1 for shuffled frames, 2 for flicker.
    """

    clips: UInt8[np.ndarray, "clips frames 32 32 3"]
    steps: Float[np.ndarray, "clips steps 17 2"]
    is_seen: Bool[np.ndarray, "clips steps 17"]
    disturbance: Int[np.ndarray, " clips"]


def train_synthetic_features(out: Path, runs: Path, stages=STAGES) -> None:
    """Train both networks and store them; a stopped training goes on where it was.

    Args:
        out: Folder to make.
        runs: Working folder.
        stages: Length, rate and seed of each training.
    """
    params = {kind: _train(kind, runs / kind, stages[kind]) for kind in MAKERS}
    settings = {kind: stages[kind].to_dict() for kind in MAKERS}
    files = {"training.json": json.dumps(settings, indent=2) + "\n", "CARD.md": _card(params)}
    save_checkpoint(out, {"feature_network": "synthetic"}, to_storage(params), files)


def _train(kind: SyntheticKind, runs: Path, stage: StageConfig) -> Params:
    network = synthetic_network(kind)
    start = initialize(MAKERS[kind], key=jax.random.key(stage.seed))
    loss = {"pictures": picture_loss, "clips": clip_loss}[kind]
    make = {"pictures": picture_batch, "clips": clip_batch}[kind]

    draw = functools.lru_cache(_NUM_BATCHES)(lambda number: make(stage, number))

    def batches(first: int) -> Iterator[NamedTuple]:
        return (draw(step % _NUM_BATCHES) for step in itertools.count(first))

    return run_stage(
        kind, runs, stage, start, lambda p, batch, key: loss(bind(network, p), batch), batches, 500
    )


def picture_batch(stage: StageConfig, step: int, split: str = "train") -> PictureBatch:
    """Draw the pictures of one step."""
    rows = []
    for index in range(stage.clips):
        rng = clip_rng(stage.seed, step * stage.clips + index, split)
        clip = _draw(rng, PICTURE_SIZE, rng.choice(_MOTION_FRAMES, stage.frames, replace=False))
        colors, has_color = _mean_colors(clip)
        joints = (clip.keypoints + 0.5) / PICTURE_SIZE - 0.5
        parts = clip.parts[:, 2::4, 2::4]
        rows.append((clip.frames, parts, colors, has_color, joints, clip.conf > 0))
    return PictureBatch(*map(np.concatenate, zip(*rows, strict=True)))


def _draw(rng: np.random.Generator, size: int, frames: np.ndarray) -> Clip:
    transform = None
    if rng.random() < _TURNED_SHARE:
        scale = float(np.exp(rng.uniform(np.log(0.45), np.log(1.6))))
        transform = (float(rng.uniform(-np.pi, np.pi)), scale, (0.0, 0.0))
    return sample_clip(rng, _MOTION_FRAMES, size, person_transform=transform, frames=frames)


def _mean_colors(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    colors = np.zeros((len(clip.frames), NUM_COLORED, 3), np.float32)
    has_color = np.zeros(colors.shape[:2], bool)
    for frame, (picture, parts) in enumerate(zip(clip.frames, clip.parts, strict=True)):
        for group, ids in enumerate(_GROUPS):
            pixels = picture[np.isin(parts, ids)]
            if len(pixels):
                colors[frame, group] = pixels.mean(0) / 255
                has_color[frame, group] = True
    return colors, has_color


def clip_batch(stage: StageConfig, step: int, split: str = "train") -> ClipBatch:
    """Draw the clips of one step, two thirds of them disturbed."""
    rows = []
    for index in range(stage.clips):
        rng = clip_rng(stage.seed, step * stage.clips + index, split)
        first = int(rng.integers(_MOTION_FRAMES - stage.frames + 1))
        clip = _draw(rng, CLIP_SIZE, np.arange(first, first + stage.frames))
        steps = np.diff(clip.keypoints, axis=0) / CLIP_SIZE
        is_seen = (clip.conf[1:] > 0) & (clip.conf[:-1] > 0)
        kind = int(rng.integers(1, 3)) if rng.random() < _DISTURBED_SHARE else 0
        frames = clip.frames
        if kind == 1:
            frames, is_seen = frames[rng.permutation(stage.frames)], np.zeros_like(is_seen)
        elif kind == 2:
            frames = _flickering(frames, rng)
        rows.append((frames, steps, is_seen, kind))
    return ClipBatch(*map(np.stack, zip(*rows, strict=True)))


def _flickering(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give every frame a smooth brightness of its own."""
    coarse = rng.normal(0, rng.uniform(6, 24), (len(frames), 4, 4, 3))
    smooth = jax.image.resize(coarse, frames.shape, "linear")
    return np.clip(frames + np.asarray(smooth), 0, 255).astype(np.uint8)


def picture_loss(network, batch: PictureBatch) -> Float[Array, ""]:
    """Add the cross entropy of parts and the mean errors of colours and joints."""
    logits, colors, joints = network(jnp.asarray(batch.pictures, jnp.float32) / 255)
    entropy = optax.softmax_cross_entropy_with_integer_labels(logits, batch.parts.astype(int))
    color = _mean_error(colors, batch.colors, batch.has_color)
    return entropy.mean() + 4 * color + 4 * _mean_error(joints, batch.joints, batch.is_seen)


def clip_loss(network, batch: ClipBatch) -> Float[Array, ""]:
    """Add the cross entropy of the disturbance and the mean error of motion."""
    steps, logits = network(jnp.asarray(batch.clips, jnp.float32) / 255)
    entropy = optax.softmax_cross_entropy_with_integer_labels(logits, batch.disturbance)
    return entropy.mean() + 40 * _mean_error(steps, batch.steps, batch.is_seen)


def _mean_error(
    pred: Array, target: Array | np.ndarray, counts: Array | np.ndarray
) -> Float[Array, ""]:
    error = jnp.mean(jnp.abs(pred - target), axis=-1)
    return jnp.sum(error * counts) / jnp.maximum(jnp.sum(counts), 1)


def _card(params: dict[str, Params]) -> str:
    sizes = ", ".join(f"{kind} {count(part):,}" for kind, part in params.items())
    return f"""# Synthetic features

Two small networks that `tpc_jax.studies.training.synthetic_features` trains on people drawn by
`tpc_jax.studies.people` ({sizes} parameters, stored in bfloat16). Frechet distances of
their features are labelled "synthetic features": they are neither FID nor FVD and mean nothing for
photographs.

- pictures (64 x 64): body parts, mean colours, joints; 64 features.
- clips (32 x 32): joint motion, and true against shuffled and flickering clips; 64 features.

Settings: `training.json`. Remake: `python scripts/train_synthetic_features.py --out DIR`.
Licence: Apache-2.0, like the code. No third-party data or weights were used.
"""
