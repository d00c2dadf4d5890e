"""The people of a video, frame by frame in bounded memory, and each followed through the clip."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.detect.blazepose import BlazePose, Landmarks
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
    steadiness_of,
)
from tpc_jax.detect.regions import Picture, Region, whole_picture

# The detector looks for newcomers once in so many frames: usually, and where fewer people are seen
# than before.
_INTERVAL, _FEWER_INTERVAL = 12, 4
# Somebody who is lost is looked for where they were last seen for so many frames.
_LOST_FOR = 25
# Once in so many frames an empty scene is searched for people who are turned or small.
_SEARCH_EVERY = 50
# Once in so many frames the mirror image of a person is looked at too.
_MIRROR_EVERY = 4
# Least score of the detector for somebody who is then examined.
_NEWCOMER = 0.25
# Somebody who was lost is recovered within this part of the region's side of where they should be.
_RECOVERED = 0.1
# So many people who are gone are remembered.
_REMEMBERED = 20
# Views differ from frame to frame by this part of their range, so that they never repeat; beside
# the whole picture they show this part of its short side.
_GOLDEN, _PART = (5**0.5 - 1) / 2, 0.9
# What a clip has of every person in every frame beside the mask; "points" is the keypoints' own
# confidence.
_ROWS = {
    **{"xy": (17, 2), "points": (17,), "landmarks": (33, 3), "conf": (33,)},
    **{"sureness": (), "steadiness": (17,)},
}
_NO_MASK = np.zeros((0, 0), bool)


class DetectedClip(NamedTuple):
    """The people of a video, each in one row from first to last frame.

    Attributes:
        keypoints: As in `Person`, `[people frames 17]`; zero where somebody is missing.
        masks: Pixels of each person.
        landmarks: As in `Person`.
        conf: Confidence of the landmarks.
        sureness: As in `Person`, from when somebody was found; 0 where they are missing.
        steadiness: As in `Person`, from the newest of the looks that were compared.
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
    progress: Callable[[int], object] | None = None,
) -> DetectedClip:
    """Find the people of a video and keep all of it in memory.

    Args:
        model: The networks.
        frames: RGB pictures of one size.
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
    people = stream_people(model, itertools.chain([first], rest))
    return collect(_reported(people, progress), first.shape[:2])


def stream_people(
    model: BlazePose,
    frames: Iterable[UInt8[np.ndarray, "height width 3"]],
) -> Iterator[list[Person]]:
    """Yield the people of every frame of a video, who keep their numbers.

    Nothing of a frame is kept but where people are and their colours, so memory does not grow.
    Whoever was seen is followed by landmarks alone; the detector runs where somebody is lost, and
    now and then. Somebody who was hidden is known again by place, or else by colours.

    Args:
        model: The networks.
        frames: RGB pictures of one size.
    """
    people = _Followed(model)
    for frame in frames:
        picture = Picture(frame)
        tracks = people.step(picture)
        found = describe(picture, [track.look for track in tracks])
        yield [p._replace(number=x.number) for p, x in zip(found, tracks, strict=True)]


class _Followed:
    """The people as last seen."""

    def __init__(self, model: BlazePose) -> None:
        self._model = model
        self._tracks: list[Track] = []
        self._num_known = 0
        self._frame = 0

    def step(self, picture: Picture) -> list[Track]:
        """Return the people of the next frame."""
        self._follow(picture)
        if not self._seen and self._frame % _SEARCH_EVERY == 0:
            self._greet(picture, search(self._model, picture))
        elif self._frame % self._interval() == 0:
            self._detect(picture)
        self._frame += 1
        return self._seen

    @property
    def _seen(self) -> list[Track]:
        """Those who are seen now."""
        return [track for track in self._tracks if not track.missed]

    def _interval(self) -> int:
        """Return how many frames may pass without the detector."""
        if not self._seen:
            return 1
        return _FEWER_INTERVAL if len(self._seen) < self._num_known else _INTERVAL

    def _follow(self, picture: Picture) -> None:
        """Look where everybody should be; of two who are found in one place, the nearer stays."""
        found: list[tuple[float, Track]] = []
        for track in self._tracks:
            if track.missed > _LOST_FOR:
                continue
            landmarks = self._model.landmarks(picture, track.expected)
            surprise = track.surprise(landmarks.next_region)
            if landmarks.score < PRESENT or (track.missed and surprise > _RECOVERED):
                continue
            colours = colours_of(picture, landmarks)
            if not is_somebody_else(colours, track, self._tracks):
                steadiness = self._steadiness(picture, track.look.steadiness, landmarks)
                look = track.look._replace(landmarks=landmarks, steadiness=steadiness)
                found.append((surprise, track.seen(look, colours)))
        found.sort(key=lambda x: x[0])
        kept = self._without_doubles(picture, [track for _, track in found])
        numbers = [track.number for track in kept]
        lost = [track for track in self._tracks if track.number not in numbers]
        self._tracks = kept + [track._replace(missed=track.missed + 1) for track in lost]

    def _steadiness(
        self, picture: Picture, before: Float[np.ndarray, " 17"], landmarks: Landmarks
    ) -> Float[np.ndarray, " 17"]:
        """Return how steady points are, by looking again in a mirror now and then."""
        if self._frame % _MIRROR_EVERY:
            return before
        again = self._model.landmarks(picture, landmarks.region, is_mirrored=True)
        return (before + steadiness_of([landmarks, again])) / 2

    def _detect(self, picture: Picture) -> None:
        """Look for newcomers."""
        lost = [track for track in self._tracks if 0 < track.missed <= _LOST_FOR]
        views = [whole_picture(picture.size), _other_view(picture.size, self._frame)]
        views += [track.expected for track in lost]
        found = detect_regions(self._model, picture, views, _NEWCOMER)
        known = [track.look.landmarks.next_region for track in self._seen]
        regions = settle(self._model, picture, found, known)
        looks = [examine(self._model, picture, region) for region in regions]
        self._greet(picture, [look for look in looks if look.sureness >= LEAST_SURE])

    def _greet(self, picture: Picture, new: list[Look]) -> None:
        """Add newcomers; where one contradicts somebody who was followed, the surer one stays."""
        seen = self._seen
        looks = [track.look for track in seen]
        both = drop_doubles(picture, [*looks, *new])
        if len(both) < len(looks) + len(new):
            looks = [examine(self._model, picture, look.landmarks.region) for look in looks]
            both = drop_doubles(picture, sorted([*looks, *new], key=lambda look: -look.sureness))
        kept = [id(look) for look in both]
        stay = zip(seen, looks, strict=True)
        tracks = [track._replace(look=look) for track, look in stay if id(look) in kept]
        for look in [look for look in new if id(look) in kept]:
            numbers = [track.number for track in tracks]
            lost = [track for track in self._tracks if track.number not in numbers]
            tracks.append(start(picture, look, lost, self._num_known))
            self._num_known = max(self._num_known, tracks[-1].number + 1)
        numbers = [track.number for track in tracks]
        lost = [track for track in self._tracks if track.number not in numbers]
        self._tracks = tracks + [x._replace(missed=max(1, x.missed)) for x in lost][:_REMEMBERED]

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
    """Gather the people of all frames, everybody in one row.

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
    first: dict[int, float] = {}
    for person in itertools.chain.from_iterable(seen):
        first.setdefault(person.number, float(person.box[0] + person.box[2]))
    order = sorted(first, key=first.__getitem__)
    shape = (len(order), len(seen))
    rows = {name: np.zeros((*shape, *length), np.float32) for name, length in _ROWS.items()}
    shown = np.zeros((*shape, *size), bool)
    for frame, found in enumerate(seen):
        for person, packed in zip(found, masks[frame], strict=True):
            place = order.index(person.number), frame
            rows["xy"][place], rows["points"][place] = person.keypoints
            shown[place] = np.unpackbits(packed, axis=-1, count=size[1])
            for name in ("landmarks", "conf", "sureness", "steadiness"):
                rows[name][place] = getattr(person, name)
    keypoints = Keypoints(rows.pop("xy"), rows.pop("points"))
    return DetectedClip(keypoints=keypoints, masks=shown, **rows)


def _reported(
    people: Iterable[list[Person]], progress: Callable[[int], object] | None
) -> Iterator[list[Person]]:
    for frame, found in enumerate(people):
        yield found
        if progress is not None:
            progress(frame)
