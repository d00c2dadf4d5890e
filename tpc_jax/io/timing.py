"""Frame rates: exact fractions, and clips whose frames are not evenly spaced."""

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

# A gap this many times the usual one is no jitter: a frame is missing or was held.
_LONGEST_STEP = 1.5
# How near, relatively, a measured rate must be to a usual one to be taken for it.
_NEAR = 0.02
# More frames than this for each one read would be mostly copies.
_MOST_COPIES = 20
_USUAL_RATES = (
    *map(Fraction, (5, 6, 8, 10, 12, 15, 16, 20, 24, 25, 30, 48, 50, 60, 120)),
    *(Fraction(1000 * rate, 1001) for rate in (15, 24, 30, 48, 60, 120)),
)


class Timing(NamedTuple):
    """When the frames of a clip are shown.

    Attributes:
        fps: Frames per second.
        sources: Number of the frame read that each frame of the clip shows, or None if they are
            the frames read, one for one.
    """

    fps: Fraction
    sources: Int[np.ndarray, " frames"] | None = None


def as_fps(fps: Fraction | float | int) -> Fraction:
    """Turn a frame rate into an exact fraction; 29.97002997 becomes 30000/1001.

    Raises:
        ValueError: If the rate is not positive and finite.
    """
    if not 0 < fps < float("inf"):
        raise ValueError(f"fps must be positive and finite, got {fps}")
    return fps if isinstance(fps, Fraction) else Fraction(fps).limit_denominator(1001)


def find_timing(times: Sequence[float], fps: Fraction, tick: float) -> Timing:
    """Tell even spacing from uneven, and spread uneven frames at a constant rate.

    Frames count as even while each stays within half a frame of an even spacing and no step is one
    and a half times the usual one. Otherwise the rate is that of the usual step; each frame of the
    clip shows what a player shows then, the last frame for one step.

    Args:
        times: When each frame is shown, in seconds.
        fps: What the file says its rate is; used for even spacing.
        tick: Resolution of the times in seconds.

    Raises:
        ValueError: The times don't rise, or lie so far apart that nearly all frames would be
            copies.
    """
    if len(times) < 2:
        return Timing(fps)
    at = np.asarray(times, float) - times[0]
    steps = np.diff(at)
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])
    if (steps < 0).any() or usual == 0:
        raise ValueError("its times don't rise from frame to frame")
    drift = np.abs(at * (len(at) - 1) / at[-1] - np.arange(len(at)))
    if steps.max() <= _LONGEST_STEP * usual + tick and drift.max() < 0.5:
        return Timing(fps)
    rate = _usual_rate(1 / usual, fps)
    shown = np.rint(at * float(rate)).astype(int)
    if shown[-1] > _MOST_COPIES * len(at):
        raise ValueError(f"its frames lie up to {steps.max():.3g} seconds apart")
    ticks = np.arange(shown[-1] + 1)
    return Timing(rate, np.searchsorted(shown, ticks, side="right") - 1)


def follow(
    values: Shaped[np.ndarray, "..."], sources: Int[np.ndarray, " frames"] | None, axis: int
) -> Shaped[np.ndarray, "..."]:
    """Carry what was made of stored frames, one entry each, to the frames of the clip.

    Args:
        values: Entries of the stored frames; others, which then belong to the clip, stay.
        sources: As in `Timing`.
        axis: The axis of the frames.
    """
    if sources is None or values.shape[axis] != sources[-1] + 1:
        return values
    return np.take(values, sources, axis)


def _usual_rate(rate: float, stated: Fraction) -> Fraction:
    """Return the stated or usual rate that a measured one is nearest to, or itself."""
    nearest = min((stated, *_USUAL_RATES), key=lambda usual: abs(float(usual) / rate - 1))
    return nearest if abs(float(nearest) / rate - 1) < _NEAR else as_fps(rate)
