"""DensePose pictures of I, U and V: the part of a pixel in one channel, its coordinates in two.

OpenCV saves the channels in the order (blue, green, red), so I is blue in files of DensePose's own
scripts and red in others. Part numbers are exact or lost: compression moves them to other parts.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax.pose.densepose_palettes import NUM_PARTS

# The channels of I, of U and V, and what I looks like.
_ORDERS = ((2, (1, 0), "blue"), (0, (1, 2), "red"))
# U and V span much of their range; people show at least so many parts.
_LEAST_SPAN, _LEAST_PARTS = 100, 3


class IUV(NamedTuple):
    """What pictures of I, U and V say.

    Attributes:
        parts: Part numbers, 0 background, 1 to 24.
        uv: Coordinates in [0, 1], 0 in the background.
        note: What was read, to be said.
    """

    parts: UInt8[np.ndarray, "frames height width"]
    uv: Float[np.ndarray, "frames height width 2"]
    note: str


def find_iuv(frames: UInt8[np.ndarray, "frames height width 3"]) -> IUV | None:
    """Read frames as pictures of I, U and V; nothing is returned for other pictures.

    Source: `IUV` pictures of DensePose's `infer_simple.py`.
    """
    for channel, others, colour in _ORDERS:
        index, first, second = (frames[..., c] for c in (channel, *others))
        if index[:, ::4, ::4].max() > NUM_PARTS or index.max() > NUM_PARTS:
            continue
        counts = np.bincount(index.ravel(), minlength=NUM_PARTS + 1)
        num_people = counts[1:].sum()
        strays = ((first > 0) | (second > 0)) & (index == 0)
        if not counts[0] or (counts[1:] > 0.01 * num_people).sum() < _LEAST_PARTS:
            continue
        if min(first.max(), second.max()) < _LEAST_SPAN or strays.any():
            continue
        note = f"holds DensePose's part numbers in {colour}, U and V beside them; read as such"
        uv = np.stack([first, second], axis=-1).astype(np.float32) / 255
        return IUV(np.ascontiguousarray(index), uv, note)
    return None


def looks_like_iuv(frames: UInt8[np.ndarray, "frames height width 3"]) -> bool:
    """Tell whether pictures look like I, U and V whose part numbers were lost in compression."""
    sample = frames[:: max(1, len(frames) // 8), ::2, ::2]
    for channel, others, _ in _ORDERS:
        index, uv = sample[..., channel], sample[..., list(others)].max(axis=-1)
        shown, hidden = uv > 4 * NUM_PARTS, uv < 8
        if hidden.mean() < 0.2 or shown.mean() < 0.002:
            continue
        spans = [np.ptp(np.quantile(sample[..., c][shown], (0.05, 0.95))) for c in others]
        middle, most = np.quantile(index[shown], (0.5, 0.9))
        if min(spans) > _LEAST_SPAN and 0 < middle <= NUM_PARTS and most <= 3 * NUM_PARTS:
            return True
    return False
