"""Find the time of the pictures of a keypoint file: by name, by number, or by their order."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from tpc_jax.errors import UserError, warn
from tpc_jax.io.frame_folders import natural_order
from tpc_jax.io.images import IMAGE_SUFFIXES
from tpc_jax.io.keypoints.documents import Document, Frame

# Beyond this, numbers with more gaps than pictures are timestamps or ids.
_LONGEST = 10_000
_MOST_GAPS = 10
_ENDINGS = ("_keypoints", "_rendered", ".predictions", ".json")


class Pictures(NamedTuple):
    """What keypoints belong to, as far as it is known.

    Attributes:
        size: (height, width) in pixels.
        num_frames: How many pictures there are.
        names: Their file names, in order.
        title: What to call them in messages.
        stored_size: (height, width) as they are stored, where their pixels are not square.
    """

    size: tuple[int, int] | None = None
    num_frames: int | None = None
    names: Sequence[str] = ()
    title: str = "the motion"
    stored_size: tuple[int, int] | None = None


def place_frames(path: Path, document: Document, pictures: Pictures) -> tuple[list[int], int]:
    """Return the place of every picture of a document, and how many places there are.

    Raises:
        UserError: There are more or fewer pictures than there should be, or which is which cannot
            be known.
    """
    frames, count = document.frames, pictures.num_frames
    places = _by_name(frames, pictures.names)
    if places is None:
        places = _by_number(path, document, pictures)
    total = max([count or 0, *(place + 1 for place in places)])
    if missing := total - len(set(places)):
        warn(f"{path}: holds {total - missing} of {total} frames; nobody is in the other {missing}")
    return places, total


def _by_name(frames: list[Frame], names: Sequence[str]) -> list[int] | None:
    index = {_stem(name): place for place, name in enumerate(names)}
    stems = [None if frame.name is None else _stem(frame.name) for frame in frames]
    if not frames or len(index) != len(names) or any(stem not in index for stem in stems):
        return None
    return [index[stem] for stem in stems if stem is not None]


def _by_number(path: Path, document: Document, pictures: Pictures) -> list[int]:
    frames, count = document.frames, pictures.num_frames
    numbers = _numbers(frames)
    is_complete = document.is_complete or numbers is None
    if numbers is None:
        order = sorted(range(len(frames)), key=lambda index: _text_order(frames[index], index))
        numbers = sorted(range(len(frames)), key=order.__getitem__)
    ranks = {number: rank for rank, number in enumerate(sorted(set(numbers)))}
    low, high = min(numbers), max(numbers)
    span = high - low + 1
    if count is None:
        is_one_after_another = is_complete and span > 2 * len(ranks)
        if not is_complete and span > max(_LONGEST, _MOST_GAPS * len(ranks)):
            warn(f"{path}: frame numbers go up to {high}; the frames are taken one after another")
            is_one_after_another = True
        return [ranks[number] if is_one_after_another else number - low for number in numbers]
    if len(ranks) == count:
        if span != count:
            warn(f"{path}: frames numbered {low} to {high} are taken one after another")
        return [ranks[number] for number in numbers]
    if span == count:
        return [number - low for number in numbers]
    if is_complete or span > count:
        raise _does_not_fit(path, len(ranks), pictures, (low, high))
    first = _first_number(frames, low, high, count)
    if low not in (0, 1) or first != low:
        warn(f"{path}: frames {low} to {high} of {count} are counted from {first}")
    return [number - first for number in numbers]


def _first_number(frames: list[Frame], low: int, high: int, count: int) -> int:
    """Return the number of the first picture of a clip whose ends may show nobody."""
    if high > count or low == 0:  # cut out of a longer one
        return low
    # AlphaPose calls the frames of a video 0.jpg, 1.jpg; other tools count from one.
    bare = all(frame.name and re.fullmatch(r"0|[1-9]\d*", _stem(frame.name)) for frame in frames)
    return 0 if bare and high < count else 1


def _does_not_fit(path: Path, found: int, pictures: Pictures, ends: tuple[int, int]) -> UserError:
    if pictures.num_frames == 1:
        return UserError(f"{path}: holds {found} frames; give the keypoints of one picture")
    numbered = f" (numbered {ends[0]} to {ends[1]})" if ends != (0, found - 1) else ""
    return UserError(
        f"{path}: holds {found} frames{numbered}, {pictures.title} has {pictures.num_frames}; "
        "give one entry per frame"
    )


def _numbers(frames: list[Frame]) -> list[int] | None:
    """Return the number of every picture, from its file name if that differs in one number only."""
    if all(frame.name is not None for frame in frames):
        parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", _stem(str(frame.name))) for frame in frames]
        if all(parts) and len({(part[1], part[3]) for part in parts if part}) == 1:
            return [int(part[2]) for part in parts if part]
    if all(frame.name is None and frame.number is not None for frame in frames):
        return [frame.number for frame in frames if frame.number is not None]
    return None


def _text_order(frame: Frame, index: int) -> tuple[list[tuple[int, int, str]], int]:
    name = frame.name if frame.name is not None else ""
    number = frame.number if not name and frame.number is not None else index
    return natural_order(Path(PurePath(name).name)), number


def _stem(name: str) -> str:
    """Return what a picture and the files about it have in common."""
    stem = re.split(r"[/\\]", name)[-1]
    for ending in (*_ENDINGS, *IMAGE_SUFFIXES, *_ENDINGS):
        if stem.lower().endswith(ending):
            stem = stem[: -len(ending)]
    return stem
