"""Training batches of `tiny`, each fully determined by (seed, step)."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax.conditioning.pose_maps import draw_skeleton_lines, part_pictures
from tpc_jax.studies.people import Clip, clip_rng, sample_clip
from tpc_jax.studies.training.config import StageConfig, TrainConfig

T = TypeVar("T")


class Batch(NamedTuple):
    """People with a reference picture and target frames each.

    Attributes:
        reference: A frame of the same clip, hence aligned in scale and rotation.
        frames: Target frames.
        pose: Pose pictures of the target frames in [0, 1].
        mask: The person in the target frames.
        is_conditional: False hides the reference.
    """

    reference: UInt8[np.ndarray, "clips height width 3"]
    frames: UInt8[np.ndarray, "clips frames height width 3"]
    pose: Float[np.ndarray, "clips frames height width 3"]
    mask: Bool[np.ndarray, "clips frames height width"]
    is_conditional: Bool[np.ndarray, " clips"]


def pose_pictures(clip: Clip, *, use_parts: bool) -> Float[np.ndarray, "frames height width 3"]:
    """Draw the pose pictures of a clip as part maps or as skeletons."""
    if use_parts:
        return part_pictures(clip.parts)
    canvas = np.zeros_like(clip.frames)
    for picture, xy, conf in zip(canvas, clip.keypoints, clip.conf, strict=True):
        draw_skeleton_lines(picture, xy, conf > 0)
    return canvas.astype(np.float32) / 255


def make_batch(
    config: TrainConfig, stage: StageConfig, step: int, *, consecutive: bool, split: str = "train"
) -> Batch:
    """Render the batch of one step.

    Args:
        config: Picture size, motion length and shares.
        stage: Batch size and seed.
        step: Step number.
        consecutive: Whether target frames are a run of consecutive frames.
        split: "train" or "test"; their people never coincide.
    """
    rows = []
    for index in range(stage.clips):
        rng = clip_rng(stage.seed, step * stage.clips + index, split)
        chosen = _choose_frames(rng, config.motion_frames, stage.frames, consecutive)
        use_parts = rng.random() < config.part_map_share
        is_conditional = rng.random() >= config.unconditional_share
        clip = sample_clip(rng, config.motion_frames, config.model.image_size[0], frames=chosen)
        pose = pose_pictures(clip, use_parts=use_parts)
        rows.append((clip.frames[0], clip.frames[1:], pose[1:], clip.mask[1:], is_conditional))
    return Batch(*(np.stack(column) for column in zip(*rows, strict=True)))


def _choose_frames(rng: np.random.Generator, total: int, count: int, consecutive: bool):
    """Return the reference's index followed by those of the targets."""
    if not consecutive:
        return rng.choice(total, count + 1, replace=False)
    start = rng.integers(0, total - count + 1)
    return np.append(rng.integers(0, total), start + np.arange(count))


def prefetch(make: Callable[[int], T], start_step: int, depth: int = 3) -> Iterator[T]:
    """Yield make(start_step), make(start_step + 1), ... computed ahead in a thread."""
    with ThreadPoolExecutor(1) as pool:
        pending = deque(pool.submit(make, start_step + ahead) for ahead in range(depth))
        step = start_step + depth
        try:
            while True:
                yield pending.popleft().result()
                pending.append(pool.submit(make, step))
                step += 1
        finally:
            for future in pending:
                future.cancel()
