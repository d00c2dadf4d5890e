"""Context windows: which frames are denoised together, as static arrays."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int


class Windows(NamedTuple):
    """The windows of one clip.

    Attributes:
        frames: Absolute frame index of every window entry.
        weight: 1 / number of windows that hold a frame.
    """

    frames: Int[np.ndarray, "windows length"]
    weight: Float[np.ndarray, " frames"]


def context_windows(
    num_frames: int, length: int, overlap: int, *, is_closed: bool = False, stride: int = 1
) -> Windows:
    """Cover a clip with windows of equal length.

    A clip no longer than `length` is one window. An open clip's last window is shifted back to end
    with the clip; a closed one wraps around to the beginning, as MagicAnimate and AnimateAnyone do.

    Args:
        num_frames: Frames of the clip.
        length: Frames of a window.
        overlap: Frames that neighbouring windows share.
        is_closed: Whether the last window wraps around.
        stride: Levels of spacing: after the windows of neighbouring frames come those of every
            second frame, of every fourth and so on; no more levels than the clip can fill.

    Raises:
        ValueError: No frames, an overlap that leaves no progress, or several levels in an open
            clip.

    Source: closed windows as the policy `uniform` of Moore-AnimateAnyone's `context.py` at step 0.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}")
    if not 0 <= overlap < length:
        raise ValueError(f"overlap must be in 0...{length - 1}, got {overlap}")
    if stride < 1 or (stride > 1 and not is_closed):
        raise ValueError(f"stride must be 1, or at least 1 if is_closed, got {stride}")
    length = min(length, num_frames)
    if num_frames == length:
        frames = np.arange(num_frames)[None]
    elif is_closed:
        levels = min(stride, math.ceil(math.log2(num_frames / length)) + 1)
        frames = [_level(num_frames, length, overlap, 2**level) for level in range(levels)]
        frames = np.concatenate(frames)
    else:
        last = num_frames - length
        starts = np.append(np.arange(0, last, length - overlap), last)
        frames = starts[:, None] + np.arange(length)
    counts = np.bincount(frames.ravel(), minlength=num_frames)
    return Windows(frames.astype(np.int32), (1 / counts).astype(np.float32))


def _level(num_frames: int, length: int, overlap: int, spacing: int) -> Int[np.ndarray, "w length"]:
    """Return closed windows of frames at one distance; around a short clip frames may repeat."""
    starts = np.arange(0, num_frames, length * spacing - overlap)
    return (starts[:, None] + spacing * np.arange(length)) % num_frames
