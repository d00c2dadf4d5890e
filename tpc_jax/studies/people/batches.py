"""Streams and stored sets of training clips, fully determined by a seed."""

import json
import os
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from tpc_jax.studies.people.clip import Clip, sample_clip

_SPLITS = {"train": 0, "test": 1}
_DTYPES = {
    "frames": np.uint8,
    "keypoints": np.float32,
    "conf": np.float32,
    "parts": np.uint8,
    "mask": np.bool_,
}


def clip_rng(seed: int, index: int, split: str = "train") -> np.random.Generator:
    """Return the generator of clip number `index` of a seed.

    Args:
        seed: Non-negative seed of the set.
        index: Clip number in the set.
        split: "train" or "test"; their people never coincide.

    Returns:
        A fresh generator, independent of all others.

    Raises:
        ValueError: For an unknown split.
    """
    if split not in _SPLITS:
        raise ValueError(f"split must be one of {sorted(_SPLITS)}, got {split!r}")
    return np.random.default_rng([_SPLITS[split], seed, index])


def _render_batch(
    seed: int, step: int, size: int | tuple[int, int], num_clips: int, num_frames: int, split: str
) -> Clip:
    """Render the clips of one step."""
    clips = [
        sample_clip(clip_rng(seed, step * num_clips + index, split), num_frames, size)
        for index in range(num_clips)
    ]
    return Clip(*(np.stack(field) for field in zip(*clips, strict=True)))


def training_batches(
    seed: int,
    size: int | tuple[int, int],
    num_clips: int,
    num_frames: int,
    start_step: int = 0,
    *,
    split: str = "train",
    num_workers: int = 0,
) -> Iterator[Clip]:
    """Yield batches of fresh clips for ever, determined by (seed, step) alone.

    Args:
        seed: Non-negative seed of the stream.
        size: Canvas side in pixels, or (height, width).
        num_clips: Clips per batch.
        num_frames: Frames per clip.
        start_step: Number of the first batch, to resume a stopped training.
        split: "train" or "test".
        num_workers: Rendering processes working ahead; 0 renders in the caller.

    Yields:
        `Clip` arrays with a leading clip axis.
    """
    arguments = (size, num_clips, num_frames, split)
    if num_workers == 0:
        step = start_step
        while True:
            yield _render_batch(seed, step, *arguments)
            step += 1
    # Forked children of a process that runs JAX threads may dead-lock, so they are spawned.
    context = get_context("spawn")
    # One thread per worker: the workers are the parallelism.
    with ProcessPoolExecutor(num_workers, context, cv2.setNumThreads, (1,)) as pool:
        yield from _prefetched(pool, seed, start_step, arguments, depth=2 * num_workers)


def _prefetched(
    pool: Executor, seed: int, step: int, arguments: tuple, depth: int
) -> Iterator[Clip]:
    pending = deque(
        pool.submit(_render_batch, seed, step + ahead, *arguments) for ahead in range(depth)
    )
    try:
        while True:
            yield pending.popleft().result()
            pending.append(pool.submit(_render_batch, seed, step + depth, *arguments))
            step += 1
    finally:
        for future in pending:
            future.cancel()


def make_dataset(
    path: str | os.PathLike,
    seed: int,
    num_clips: int,
    num_frames: int,
    size: int | tuple[int, int],
    *,
    split: str = "train",
) -> Path:
    """Render clips into a folder of memory-mappable arrays.

    The folder appears under its name only when complete.

    Args:
        path: Folder to create; its parent must exist.
        seed: Non-negative seed; clip i equals clip i of `training_batches` with this seed.
        num_clips: Number of clips.
        num_frames: Frames per clip.
        size: Canvas side in pixels, or (height, width).
        split: "train" or "test".

    Returns:
        The folder.

    Raises:
        FileExistsError: If the folder exists already.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists already; remove it or choose another folder")
    height, width = (size, size) if isinstance(size, int) else size
    shapes = {
        "frames": (num_frames, height, width, 3),
        "keypoints": (num_frames, 17, 2),
        "conf": (num_frames, 17),
        "parts": (num_frames, height, width),
        "mask": (num_frames, height, width),
    }
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
        target = Path(scratch) / "set"
        target.mkdir()
        arrays = {
            name: np.lib.format.open_memmap(
                target / f"{name}.npy", "w+", _DTYPES[name], (num_clips, *shape)
            )
            for name, shape in shapes.items()
        }
        for index in range(num_clips):
            clip = sample_clip(clip_rng(seed, index, split), num_frames, size)
            for name, value in clip._asdict().items():
                arrays[name][index] = value
        for array in arrays.values():
            array.flush()
        (target / "info.json").write_text(json.dumps({"seed": seed, "split": split}) + "\n")
        target.rename(path)
    return path


def load_dataset(path: str | os.PathLike) -> Clip:
    """Open a folder written by `make_dataset` without reading it into memory.

    Args:
        path: The folder.

    Returns:
        Memory-mapped `Clip` arrays with a leading clip axis.
    """
    return Clip(*(np.load(Path(path) / f"{name}.npy", mmap_mode="r") for name in Clip._fields))
