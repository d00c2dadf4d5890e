"""Groups of consecutive frames, as static host integers."""

import numpy as np


def num_groups(num_frames: int, group_size: int) -> int:
    """Return how many groups cover the clip; the last one may be shorter.

    Raises:
        ValueError: If either number is not positive.
    """
    if num_frames < 1 or group_size < 1:
        raise ValueError(
            f"num_frames and group_size must be positive, got {num_frames} and {group_size}"
        )
    return -(-num_frames // group_size)


def group_of_frame(num_frames: int, group_size: int) -> np.ndarray:
    """Return the group of every frame, int32 [frames]: frame // group_size."""
    num_groups(num_frames, group_size)
    return (np.arange(num_frames) // group_size).astype(np.int32)


def group_bounds(num_frames: int, group_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first frame and the number of frames of every group, both int32 [groups]."""
    first = np.arange(num_groups(num_frames, group_size)) * group_size
    size = np.minimum(group_size, num_frames - first)
    return first.astype(np.int32), size.astype(np.int32)
