"""The range of grey levels of finished frames."""

import numpy as np
from jaxtyping import UInt8


def stretch_levels(
    frames: UInt8[np.ndarray, "frames height width 3"],
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Stretch each frame from black to white, over all channels together.

    A frame of one level stays as it is. Frames of one clip are stretched differently, so brightness
    flickers a little.

    Source: DreamPose `test.py`, which undoes that training pictures fill half the range only.
    """
    stretched = frames.copy()
    for frame, out in zip(frames, stretched, strict=True):
        low, high = int(frame.min()), int(frame.max())
        if high > low:
            out[:] = (frame.astype(np.float64) - low) / (high - low) * 255
    return stretched
