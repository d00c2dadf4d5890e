"""People with hands and faces, by the two networks of DWPose that a user has.

YOLOX finds the people of a picture and RTMPose the points of each, in every frame anew, as the
annotator does that AnimateAnyone was trained on. People who lie or stand on their heads are found
less well than by `detect.people`, which looks for them. There are no masks: `pose.masks` draws them
from keypoints.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.detect.regions import Picture
from tpc_jax.detect.simcc import NUM_POINTS, PointFinder
from tpc_jax.detect.yolox import PersonFinder
from tpc_jax.pose.adapters import to_coco
from tpc_jax.pose.dwpose import WholeBody, whole_body
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.matching import reorder, track_people
from tpc_jax.pose.skeletons import NUM_KEYPOINTS

# People whose joints are on average nearer than this part of the smaller one's size are one.
_SAME = 0.1


class WholePerson(NamedTuple):
    """A person in a picture.

    Attributes:
        points: (x, y, confidence) in pixels of the points of `WholeBodyDetector.layout`; outside
            the picture the confidence is 0.
        box: Left, top, right and bottom in pixels.
        sureness: That there is a person, in [0, 1].
    """

    points: Float[np.ndarray, "points 3"]
    box: Float[np.ndarray, " 4"]
    sureness: float

    @property
    def keypoints(self) -> Keypoints:
        """COCO-17 keypoints."""
        body = self.points[:NUM_KEYPOINTS]  # the first points of every layout
        return Keypoints(body[:, :2], body[:, 2])


class WholeBodyClip(NamedTuple):
    """The people of a video, each in one row from first to last frame; zero where missing.

    `layout`, `points` and `size` are as a `KeypointFile` has them.

    Attributes:
        layout: `wholebody-133`, or `coco-17` where the network knows neither hands nor faces.
        points: As in `WholePerson`.
        boxes: As there.
        sureness: As there.
        size: (height, width) of the frames.
    """

    layout: str
    points: Float[np.ndarray, "people frames points 3"]
    boxes: Float[np.ndarray, "people frames 4"]
    sureness: Float[np.ndarray, "people frames"]
    size: tuple[int, int]

    @property
    def keypoints(self) -> Keypoints:
        """COCO-17 keypoints `[people frames 17]`."""
        return to_coco(self.points, self.layout)

    @property
    def people(self) -> WholeBody:
        """The people as they are drawn, `[people frames ...]`."""
        return whole_body(self.points, self.layout)


class WholeBodyDetector:
    """Finds people, and the points of each.

    Attributes:
        layout: As in `WholeBodyClip`.
    """

    def __init__(self, people: PersonFinder, points: PointFinder) -> None:
        """Take two networks."""
        self._people = people
        self._points = points
        self.layout = points.layout

    def detect(self, image: UInt8[np.ndarray, "height width 3"]) -> list[WholePerson]:
        """Find the people of an RGB picture.

        Returns:
            People from left to right by the middles of their boxes; empty if there is nobody.
        """
        picture = Picture(image)
        boxes, scores = self._people(picture)
        people = [
            WholePerson(self._points(picture, box), box, score)
            for box, score in zip(boxes, scores.tolist(), strict=True)
        ]
        return sorted(_distinct(people), key=lambda person: float(person.box[0] + person.box[2]))


def open_wholebody(
    person_model: str | Path, pose_model: str | Path, num_threads: int | None = None
) -> WholeBodyDetector:
    """Open the networks.

    Args:
        person_model: YOLOX as an `.onnx` file, such as DWPose's `yolox_l.onnx`.
        pose_model: RTMPose as an `.onnx` file, such as DWPose's `dw-ll_ucoco_384.onnx`; one of 17
            points knows neither hands nor faces.
        num_threads: Threads of the CPU; all that the process may use by default.

    Raises:
        UserError: A file is missing, damaged or something else, or the package that runs them is
            not installed.
    """
    return WholeBodyDetector(
        PersonFinder(person_model, num_threads), PointFinder(pose_model, num_threads)
    )


def stream_people(
    detector: WholeBodyDetector, frames: Iterable[UInt8[np.ndarray, "height width 3"]]
) -> Iterator[list[WholePerson]]:
    """Yield the people of every frame and keep nothing; who is who is for `collect` to say."""
    return map(detector.detect, frames)


def detect_clip(
    detector: WholeBodyDetector,
    frames: Iterable[UInt8[np.ndarray, "height width 3"]],
    *,
    progress: Callable[[int], object] | None = None,
) -> WholeBodyClip:
    """Find the people of a video and follow each through it; no frame is kept.

    Args:
        detector: The networks.
        frames: RGB pictures of one size.
        progress: Called after every frame with its number.

    Returns:
        People from left to right by where each is first seen; no rows if nobody is ever seen.

    Raises:
        ValueError: There are no frames.
    """
    people, size = [], None
    for index, frame in enumerate(frames):
        size = frame.shape[:2]
        people.append(detector.detect(frame))
        if progress is not None:
            progress(index)
    if size is None:
        raise ValueError("frames must hold at least one picture, got none")
    return collect(people, detector.layout, size)


def collect(
    people: Iterable[list[WholePerson]], layout: str, size: tuple[int, int]
) -> WholeBodyClip:
    """Gather the people of all frames, and find out who is who by `pose.matching`.

    Args:
        people: The people of every frame.
        layout: Of their points.
        size: (height, width) of the frames.

    Returns:
        As `detect_clip`.
    """
    seen = list(people)
    shape = (max(map(len, seen), default=0), len(seen))
    points = np.zeros((*shape, NUM_POINTS[layout], 3), np.float32)
    boxes, sureness = np.zeros((*shape, 4), np.float32), np.zeros(shape, np.float32)
    for frame, found in enumerate(seen):
        for row, person in enumerate(found):
            points[row, frame], boxes[row, frame], sureness[row, frame] = person
    order = track_people(to_coco(points, layout))
    points, boxes, sureness = (reorder(values, order) for values in (points, boxes, sureness))
    return WholeBodyClip(layout, points, boxes, sureness, size)


def _distinct(people: Iterable[WholePerson]) -> list[WholePerson]:
    """Leave out boxes in which nobody shows, and those that show somebody who came before."""
    kept: list[WholePerson] = []
    for person in people:
        shows = (person.keypoints.conf > DEFAULT_TAU).any()
        if shows and not any(_are_one(person.keypoints, other.keypoints) for other in kept):
            kept.append(person)
    return kept


def _are_one(one: Keypoints, other: Keypoints) -> bool:
    """Tell whether two poses are of one person, of whom one box may hold a half."""
    seen = np.stack([one.conf, other.conf]) > DEFAULT_TAU
    both = seen.all(axis=0)
    if 2 * both.sum() < seen.sum(axis=1).min():
        return False
    sizes = [
        np.ptp(pose.xy[shown], axis=0).max() for pose, shown in zip((one, other), seen, strict=True)
    ]
    distance = np.linalg.norm(one.xy[both] - other.xy[both], axis=-1).mean()
    return bool(distance <= _SAME * min(sizes))
