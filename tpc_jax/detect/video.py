"""The people of a video, frame by frame in bounded memory, and each followed through the clip."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.detect.blazepose import BlazePose
from tpc_jax.detect.following import Track, colours_of, is_somebody_else, start
from tpc_jax.detect.people import (
    LEAST_SURE,
    PRESENT,
    Look,
    Person,
    describe,
    detect_regions,
    drop_doubles,
    examine,
    search,
    settle,
)
from tpc_jax.detect.regions import Picture, Region, whole_picture
from tpc_jax.pose.matching import reorder, select_people, track_people

# The detector looks for newcomers once in so many frames: usually, and where fewer people are seen
# than before.
_INTERVAL, _FEWER_INTERVAL = 12, 4
# Somebody who is lost is looked for where they were last seen for so many frames.
_LOST_FOR = 25
# Once in so many frames an empty scene is searched for people who are turned or small.
_SEARCH_EVERY = 50
# Least score of the detector for somebody who is then examined.
_NEWCOMER = 0.25
# Parts of the region's side within which somebody who was lost is recovered where they should be,
# or is taken for found again by the detector.
_RECOVERED, _FOUND = 0.1, 0.25
# Views differ from frame to frame by this part of their range, so that they never repeat; beside
# the whole picture they show this part of its short side.
_GOLDEN, _PART = (5**0.5 - 1) / 2, 0.9
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
        self._tracks: list[Track] = []
        self._most = 0
        self._frame = 0

    def step(self, picture: Picture) -> list[Look]:
        """Return the people of the next frame."""
        self._follow(picture)
        if not self._seen and self._frame % _SEARCH_EVERY == 0:
            found = search(self._model, picture, is_turned=self._is_turned)
            self._tracks = [start(picture, look) for look in found]
        elif self._frame % self._interval() == 0:
            self._detect(picture)
        self._most = max(self._most, len(self._seen))
        self._frame += 1
        return [track.look for track in self._seen]

    @property
    def _seen(self) -> list[Track]:
        """Those who are seen now."""
        return [track for track in self._tracks if not track.missed]

    def _interval(self) -> int:
        """Return how many frames may pass without the detector."""
        if not self._seen:
            return 1
        return _FEWER_INTERVAL if len(self._seen) < self._most else _INTERVAL

    def _follow(self, picture: Picture) -> None:
        """Look where everybody should be; of two who are found in one place, the nearer stays."""
        found: list[tuple[float, Track, Track]] = []
        for track in self._tracks:
            landmarks = self._model.landmarks(picture, track.expected)
            surprise = track.surprise(landmarks.next_region)
            if landmarks.score < PRESENT or (track.missed and surprise > _RECOVERED):
                continue
            colours = colours_of(picture, landmarks)
            if not is_somebody_else(colours, track, self._tracks):
                now = track.seen(track.look._replace(landmarks=landmarks), colours)
                found.append((surprise, track, now))
        found.sort(key=lambda x: x[0])
        kept = self._without_doubles(picture, [now for _, _, now in found])
        successors = {id(track): now for _, track, now in found if any(now is x for x in kept)}
        self._tracks = [
            successors.get(id(track), track._replace(missed=track.missed + 1))
            for track in self._tracks
            if id(track) in successors or track.missed < _LOST_FOR
        ]

    def _detect(self, picture: Picture) -> None:
        """Add newcomers; where one contradicts somebody who was followed, the surer one stays."""
        seen, lost = self._seen, [track for track in self._tracks if track.missed]
        views = [whole_picture(picture.size), _other_view(picture.size, self._frame)]
        views += [track.expected for track in lost]
        found = detect_regions(self._model, picture, views, _NEWCOMER)
        known = [track.look.landmarks.next_region for track in seen]
        regions = settle(self._model, picture, found, known)
        looks = [examine(self._model, picture, region) for region in regions]
        new = [start(picture, look) for look in looks if look.sureness >= LEAST_SURE]
        tracks = self._without_doubles(picture, [*seen, *new])
        if len(tracks) < len(seen) + len(new):
            seen = [
                track._replace(look=examine(self._model, picture, track.look.landmarks.region))
                for track in seen
            ]
            surest = sorted([*seen, *new], key=lambda track: -track.look.sureness)
            tracks = self._without_doubles(picture, surest)
        for track in tracks:
            # Whoever is found again is no longer looked for.
            same = [x for x in lost if x.surprise(track.look.landmarks.region) < _FOUND]
            if same and any(track is x for x in new):
                likest = max(same, key=lambda x: float(x.colours @ track.colours))
                lost = [x for x in lost if x is not likest]
        self._tracks = [*tracks, *lost]

    def _without_doubles(self, picture: Picture, tracks: list[Track]) -> list[Track]:
        kept = [id(look) for look in drop_doubles(picture, [track.look for track in tracks])]
        return [track for track in tracks if id(track.look) in kept]


def _other_view(size: tuple[int, int], frame: int) -> Region:
    """Return a turned view of a part of the picture, another one for every frame.

    In another view the detector errs on other people.
    """
    length = np.array(size[::-1])
    side = _PART * length.min()
    corner = (length - side) * ((frame * np.array([_GOLDEN, _GOLDEN**2])) % 1)
    turn = 2 * np.pi * ((frame * _GOLDEN) % 1)
    return Region(corner + (side - 1) / 2, float(side), float(turn))


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
