"""Context windows: which frames are denoised together, as static arrays."""

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
    num_frames: int, length: int, overlap: int, *, is_closed: bool = False
) -> Windows:
    """Cover a clip with windows of equal length.

    A clip no longer than `length` is one window. An open clip's last window is shifted back to end
    with the clip; a closed one wraps around to the beginning, as MagicAnimate and AnimateAnyone do.

    Raises:
        ValueError: No frames, or an overlap that leaves no progress.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}")
    if not 0 <= overlap < length:
        raise ValueError(f"overlap must be in 0...{length - 1}, got {overlap}")
    length = min(length, num_frames)
    if num_frames == length:
        starts = np.array([0])
    elif is_closed:
        starts = np.arange(0, num_frames, length - overlap)
    else:
        last = num_frames - length
        starts = np.append(np.arange(0, last, length - overlap), last)
    frames = (starts[:, None] + np.arange(length)) % num_frames
    counts = np.bincount(frames.ravel(), minlength=num_frames)
    return Windows(frames.astype(np.int32), (1 / counts).astype(np.float32))
