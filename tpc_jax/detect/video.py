"""The people of a video, frame by frame in bounded memory, and each followed through the clip."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.detect.blazepose import BlazePose
from tpc_jax.detect.people import (
    PRESENT,
    Look,
    Person,
    are_alike,
    describe,
    detect_regions,
    drop_doubles,
    examine_all,
    search,
)
from tpc_jax.detect.regions import Picture, Region, whole_picture
from tpc_jax.pose.matching import reorder, select_people, track_people

# The detector looks for newcomers once in so many frames, more often while somebody is lost.
_DETECT_EVERY, _DETECT_LOST_EVERY = 12, 4
# Somebody who is lost is looked for where they were last seen for so many frames.
_MISSED_FOR = 25
# Once in so many frames an empty scene is searched for people who are turned or small.
_SEARCH_EVERY = 50
# What a clip has of every person of a frame beside keypoints and mask.
_ROWS = ("landmarks", "conf", "sureness", "steadiness")
_NO_MASK = np.zeros((0, 0), bool)


class DetectedClip(NamedTuple):
    """The people of a video, each in one row from first to last frame.

    Attributes:
        keypoints: As in `Person`, `[people frames 17]`; zero where somebody is missing.
        masks: Pixels of each person.
        landmarks: As in `Person`.
        conf: Confidence of the landmarks.
        sureness: As in `Person`; 0 where somebody is missing.
        steadiness: As in `Person`, from when somebody was last examined.
    """

    keypoints: Keypoints
    masks: Bool[np.ndarray, "people frames height width"]
    landmarks: Float[np.ndarray, "people frames 33 3"]
    conf: Float[np.ndarray, "people frames 33"]
    sureness: Float[np.ndarray, "people frames"]
    steadiness: Float[np.ndarray, "people frames 17"]


def detect_clip(
    model: BlazePose,
    frames: Iterable[UInt8[np.ndarray, "height width 3"]],
    *,
    is_turned: bool = True,
    progress: Callable[[int], object] | None = None,
) -> DetectedClip:
    """Find the people of a video and keep all of it in memory.

    Args:
        model: The networks.
        frames: RGB pictures of one size.
        is_turned: As in `stream_people`.
        progress: Called after every frame with its number.

    Returns:
        People from left to right by where each is first seen; no rows if nobody is ever seen.

    Raises:
        ValueError: There are no frames.
    """
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise ValueError("frames must hold at least one picture, got none")
    people = stream_people(model, itertools.chain([first], rest), is_turned=is_turned)
    return collect(_reported(people, progress), first.shape[:2])


def stream_people(
    model: BlazePose,
    frames: Iterable[UInt8[np.ndarray, "height width 3"]],
    *,
    is_turned: bool = True,
) -> Iterator[list[Person]]:
    """Yield the people of every frame of a video; who is who is for `collect` to say.

    Nothing of a frame is kept but where people are, so that memory does not grow. Whoever was seen
    is followed by landmarks alone; the detector runs where somebody is lost, and now and then.

    Args:
        model: The networks.
        frames: RGB pictures of one size.
        is_turned: Whether people who lie or stand on their heads are looked for too; whoever is
            followed may turn in any case.
    """
    people = _Followed(model, is_turned)
    for frame in frames:
        picture = Picture(frame)
        yield describe(picture, people.step(picture))


class _Followed:
    """The people as last seen."""

    def __init__(self, model: BlazePose, is_turned: bool) -> None:
        self._model = model
        self._is_turned = is_turned
        self._looks: list[Look] = []
        self._missed: list[tuple[Region, int]] = []
        self._frame = 0

    def step(self, picture: Picture) -> list[Look]:
        """Return the people of the next frame."""
        before = self._looks
        looks = [self._follow(picture, look) for look in before]
        lost = [b.landmarks.region for b, now in zip(before, looks, strict=True) if now is None]
        looks = drop_doubles(picture, [look for look in looks if look is not None])
        self._missed += [(region, self._frame) for region in lost]
        self._missed = [x for x in self._missed if self._frame - x[1] < _MISSED_FOR]
        every = _DETECT_LOST_EVERY if self._missed else _DETECT_EVERY
        if not looks and self._frame % _SEARCH_EVERY == 0:
            looks = search(self._model, picture, is_turned=self._is_turned)
        elif not looks or self._frame % every == 0:
            looks = self._detect(picture, looks)
        self._missed = [x for x in self._missed if not any(_covers(look, x[0]) for look in looks)]
        self._looks = looks
        self._frame += 1
        return looks

    def _follow(self, picture: Picture, look: Look) -> Look | None:
        """Look at somebody again; None if they are not where they were going."""
        landmarks = self._model.landmarks(picture, look.landmarks.next_region)
        if landmarks.score < PRESENT:
            return None
        return look._replace(landmarks=landmarks)

    def _detect(self, picture: Picture, looks: list[Look]) -> list[Look]:
        """Add those whom the detector finds; where it contradicts, everybody is examined anew."""
        views = [whole_picture(picture.size), *(region for region, _ in self._missed)]
        found = detect_regions(self._model, picture, views)
        known = [look.landmarks.next_region for look in looks]
        if all(any(are_alike(region, other) for other in known) for region in found):
            return looks
        examined = examine_all(self._model, picture, [*known, *found])
        # Whoever was followed is not given up for looking unsure in one frame.
        return drop_doubles(picture, [*examined, *looks])


def _covers(look: Look, region: Region) -> bool:
    """Tell whether somebody is about where somebody was lost."""
    distance = look.landmarks.region.centre - region.centre
    return bool(np.hypot(*distance) < region.side / 4)


def collect(people: Iterable[list[Person]], size: tuple[int, int]) -> DetectedClip:
    """Gather the people of all frames, and find out who is who by `pose.matching`.

    Args:
        people: The people of every frame.
        size: (height, width) of the frames.

    Returns:
        As `detect_clip`.
    """
    seen: list[list[Person]] = []
    masks: list[list[np.ndarray]] = []
    for found in people:
        masks.append([np.packbits(person.mask, axis=-1) for person in found])
        seen.append([person._replace(mask=_NO_MASK) for person in found])
    rows = _rows(seen)
    order = track_people(rows.keypoints)
    shown = np.zeros((*order.shape, *size), bool)
    for person, frame in np.argwhere(order >= 0).tolist():
        packed = masks[frame][order[person, frame]]
        shown[person, frame] = np.unpackbits(packed, axis=-1, count=size[1])
    keypoints = select_people(rows.keypoints, order)
    others = (reorder(getattr(rows, name), order) for name in _ROWS)
    return DetectedClip(keypoints, shown, *others)


def _rows(people: list[list[Person]]) -> DetectedClip:
    """Lay out the people of every frame as they come, without masks; zero where there is nobody."""
    shape = (max(map(len, people), default=0), len(people))
    rows = DetectedClip(
        Keypoints(_zeros(*shape, 17, 2), _zeros(*shape, 17)),
        np.zeros((*shape, 0, 0), bool),
        _zeros(*shape, 33, 3),
        _zeros(*shape, 33),
        _zeros(*shape),
        _zeros(*shape, 17),
    )
    for frame, found in enumerate(people):
        for row, person in enumerate(found):
            rows.keypoints.xy[row, frame], rows.keypoints.conf[row, frame] = person.keypoints
            for name in _ROWS:
                getattr(rows, name)[row, frame] = getattr(person, name)
    return rows


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def _reported(
    people: Iterable[list[Person]], progress: Callable[[int], object] | None
) -> Iterator[list[Person]]:
    for frame, found in enumerate(people):
        yield found
        if progress is not None:
            progress(frame)
