"""Which clips the video metrics see: how they are cut, named and, in the past, re-encoded."""

import itertools
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import UInt8

from tpc_jax.io.video import read_video, write_video

CLIP_LENGTH = 16
_DISCO_FPS = Fraction(3)
# What imageio's default quality means to x264, and the block size it scales pictures to.
_IMAGEIO_RATE_FACTOR = 25
_IMAGEIO_BLOCK = 16

# Most specific first; the groups are the video and the frame number.
_FRAME_NAMES = (
    r"(TiktokDance_\d+_\d+_1x1)_(\d+)(?!\d)",
    r"(TiktokDance_\d+)_(\d+)(?!\d)",
    r"(\d+_\d+_1x1)__(\d+)(?!\d)",
    r"(S\d{3}C\d{3}P\d{3}R\d{3}A\d{3})_(\d+)(?!\d)",
)

Container = Literal["mp4", "gif"]


class NamedFrames(NamedTuple):
    """Frame files by video.

    Attributes:
        videos: Per video its frames as (number, name), in order of their numbers.
        unknown: Names that fit no pattern, sorted. The original skips them without a word; report
            them.
    """

    videos: dict[str, list[tuple[int, str]]]
    unknown: tuple[str, ...]


def group_frame_names(names: Iterable[str]) -> NamedFrames:
    """Sort the names of frame files into videos, by the patterns of DisCo's evaluation.

    Known are `TiktokDance_<video>_<frame>`, `TiktokDance_<n>_<n>_1x1_<frame>`,
    `<n>_<n>_1x1__<frame>` and `S###C###P###R###A###_<frame>`, each with any ending.

    Args:
        names: File names without folders.

    Raises:
        ValueError: Two names stand for one frame of one video.
    """
    videos: dict[str, dict[int, str]] = {}
    unknown = []
    for name in sorted(names):
        matches = (re.match(pattern, name) for pattern in _FRAME_NAMES)
        match = next((m for m in matches if m is not None), None)
        if match is None:
            unknown.append(name)
            continue
        frames, number = videos.setdefault(match[1], {}), int(match[2])
        if number in frames:
            raise ValueError(f"{frames[number]} and {name} are both frame {number} of {match[1]}")
        frames[number] = name
    return NamedFrames({v: sorted(frames.items()) for v, frames in videos.items()}, tuple(unknown))


def clip_starts(
    numbers: Sequence[int], length: int = CLIP_LENGTH, stride: int = 1
) -> tuple[int, ...]:
    """Return the positions at which a clip of consecutive frame numbers starts.

    With stride 1 a video of n frames without gaps gives `n - length + 1` overlapping clips, as in
    DisCo's evaluation.

    Args:
        numbers: Frame numbers of one video in rising order.
        length: Frames per clip.
        stride: Smallest distance of two starts; `length` gives clips that do not overlap.

    Raises:
        ValueError: Numbers that do not rise, or a length or stride below 1.
    """
    if length < 1 or stride < 1:
        raise ValueError(f"length and stride must be at least 1, got {length} and {stride}")
    if any(b <= a for a, b in itertools.pairwise(numbers)):
        raise ValueError("numbers must rise strictly; sort the frames of one video")
    starts: list[int] = []
    for start in range(len(numbers) - length + 1):
        is_whole = numbers[start + length - 1] - numbers[start] == length - 1
        if is_whole and (not starts or start - starts[-1] >= stride):
            starts.append(start)
    return tuple(starts)


def cut_clips(
    frames: UInt8[np.ndarray, "frames height width 3"],
    length: int = CLIP_LENGTH,
    stride: int = 1,
) -> Iterator[UInt8[np.ndarray, "{length} height width 3"]]:
    """Yield the clips of a video without gaps, as views; none if it is shorter than one.

    Args:
        frames: The video.
        length: Frames per clip.
        stride: Distance of two starts.
    """
    for start in clip_starts(range(len(frames)), length, stride):
        yield frames[start : start + length]


def through_container(
    clip: UInt8[np.ndarray, "frames height width 3"], container: Container, repeats: int = 1
) -> UInt8[np.ndarray, "shown height width 3"]:
    """Write a clip to a file and read it back, as some published evaluations did.

    DisCo's temporal models were scored on MP4 files, its first release on GIFs, both at 3 frames
    per second. Encoders differ between versions: the loss is alike, not equal bit for bit. Scores
    of such clips are no scores of the frames: say so beside them.

    Args:
        clip: Pictures; for MP4 with sides that are multiples of 16, as the original's writer
            would resize others.
        container: `mp4` (H.264, constant rate factor 25) or `gif` (256 colours, dithered).
        repeats: How often the original's reader repeated each GIF frame: a published case made
            128 frames of 16. 1 repeats none.

    Returns:
        The pictures that the metric would see.

    Raises:
        ValueError: Unknown container, sides that do not fit, or frames lost on the way.
    """
    if container not in get_args(Container):
        raise ValueError(f"container must be one of {get_args(Container)}, got {container!r}")
    if container == "mp4" and any(side % _IMAGEIO_BLOCK for side in clip.shape[1:3]):
        raise ValueError(f"clip sides must be multiples of 16 for mp4, got {clip.shape[1:3]}")
    if repeats < 1 or (repeats > 1 and container != "gif"):
        raise ValueError(f"repeats must be 1, or more for gif; got {repeats} for {container}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"clip.{container}"
        write_video(path, clip, _DISCO_FPS, quality=_IMAGEIO_RATE_FACTOR)
        shown = read_video(path).frames
    if shown.shape != clip.shape:
        raise ValueError(f"{container} gave back {shown.shape} of {clip.shape}; use frames instead")
    return np.repeat(shown, repeats, axis=0)
