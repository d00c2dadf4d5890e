"""How samplers treat a clip beside their steps."""

from typing import NamedTuple


class Habits(NamedTuple):
    """How a sampler treats a clip beside its steps; the defaults are this project's.

    Attributes:
        closed_windows: Whether the last window wraps around to the first frames, in place of being
            shifted back.
        window_stride: Levels of closed windows: of neighbouring frames, of every second one, of
            every fourth one and so on.
        tiled_noise: Whether the start noise of one window repeats over the clip.
        pad_to_window: Whether the last frame is repeated up to a multiple of the window's length;
            the repeats are cut off again.
        stretch_levels: Whether every finished frame is stretched from black to white.
    """

    closed_windows: bool = False
    window_stride: int = 1
    tiled_noise: bool = False
    pad_to_window: bool = False
    stretch_levels: bool = False
