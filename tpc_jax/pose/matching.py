"""Who is who: people followed through the driving frames and paired with the reference people.

This is the one place that decides which people of a motion move the reference; `pose.cast` leaves
the others out of it. Host code in NumPy: the number of people varies from frame to frame, and
assignment is a discrete problem of a few people.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.optimize import linear_sum_assignment

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError
from tpc_jax.pose.filtering import DEFAULT_TAU

# Added to the cost of a pair beyond the gate, which is taken only where nothing else is left.
_BEYOND_GATE = 1e6
# Motion is extrapolated for so many frames at most; later a lost person may be anywhere near.
_MAX_EXTRAPOLATION = 4
# Share of the newest displacement in the estimate of a person's velocity.
_VELOCITY_GAIN = 0.5
# Reference people of more than this share of another's prominence are told apart by their places.
_COMPARABLE = 0.5


class Cast(NamedTuple):
    """Which person of the motion moves which person of the reference.

    People of the motion are numbered from 0, from left to right by where each is first seen.

    Attributes:
        person: Number of the motion's person, per person of the reference; -1 for nobody.
        tracks: Which detection a person of the motion is in a frame; -1 where it is missing.
        num_frames: In how many frames a person of the motion is seen.
        confidence: Mean confidence of its visible points.
        size: Mean longer side of the box around its visible points, in pixels.
    """

    person: Int[np.ndarray, " people"]
    tracks: Int[np.ndarray, "tracks frames"]
    num_frames: Int[np.ndarray, " tracks"]
    confidence: Float[np.ndarray, " tracks"]
    size: Float[np.ndarray, " tracks"]

    @property
    def order(self) -> Int[np.ndarray, "people frames"]:
        """Which detection a person of the reference is in a frame; -1 where it is missing."""
        return np.pad(self.tracks, ((0, 1), (0, 0)), constant_values=-1)[self.person]

    @property
    def left_out(self) -> Int[np.ndarray, " others"]:
        """Numbers of the motion's people who move nobody."""
        return np.setdiff1d(np.arange(len(self.tracks)), self.person)


class _Seen(NamedTuple):
    """Detections: positions, which points are visible, and their confidence, 0 for the others."""

    xy: Float[np.ndarray, "*batch points 2"]
    visible: Bool[np.ndarray, "*batch points"]
    conf: Float[np.ndarray, "*batch points"]


@dataclasses.dataclass
class _Track:
    """One person so far: which detection it is per frame, and where it was last seen."""

    people: np.ndarray  # int [frames], index of the detection or -1
    xy: np.ndarray  # float [points 2], last known positions
    seen: np.ndarray  # bool [points], which of them were ever known
    velocity: np.ndarray  # float [2], pixels per frame
    last_frame: int


def match_people(
    reference: Keypoints,
    driving: Keypoints,
    *,
    person: Sequence[int] | None = None,
    tau: float = DEFAULT_TAU,
    gate: float = 1.0,
    reference_size: tuple[int, int] | None = None,
    driving_size: tuple[int, int] | None = None,
    tracks: Int[np.ndarray, "tracks frames"] | None = None,
) -> Cast:
    """Find every reference person in every driving frame.

    Of more people than the other side has, the most prominent count: those of the largest sum over
    the frames of confidence (summed over the visible points) times size (longer side of the box
    around them). So presence, visibility and size count, and the order of the detections does not.
    Reference people whom the motion cannot all move are told apart by their place on the canvas
    where the most prominent are not twice as prominent as the others. Then as many are left on
    both sides, or nearly so, and are paired by how they stand to each other.

    Args:
        reference: People of the reference image, `xy` [people points 2].
        driving: Detections per frame in any order, `xy` [people frames points 2]; a person who is
            missing from a frame has zero confidence in all points.
        person: Numbers of the motion's people in the order of the reference's, in place of the
            rule; as many as the reference has people, or any if it has none.
        tau: Points with confidence above it are visible.
        gate: How far a person may be from where it is expected, in its own heights; grows with the
            root of the number of frames since it was last seen.
        reference_size: Width and height of the reference canvas, needed only to tell which of
            several reference people is meant when the motion shows fewer.
        driving_size: The same for the driving canvas.
        tracks: Who is who from frame to frame where that is known better than from places alone, as
            `track_people` says it.

    Raises:
        ValueError: If the shapes do not agree.
        UserError: If `person` names somebody who is not there or twice, or too few or too many.

    Source: project; the released code pairs box corners greedily and stops on a missing person.
    """
    ref = _seen(reference, "reference", 3, tau)
    drv = _seen(driving, "driving", 4, tau)
    if ref.xy.shape[-2] != drv.xy.shape[-2]:
        raise ValueError(
            f"reference and driving must have the same points, got {ref.xy.shape[-2]} and "
            f"{drv.xy.shape[-2]}"
        )
    if tracks is None:
        tracks = track_people(driving, tau=tau, gate=gate)
    sizes, sureness, num_points = _measure(drv, tracks)
    if person is None:
        prominence = (sureness * sizes).sum(axis=1)
        numbers = _pair(ref, drv, tracks, prominence, (reference_size, driving_size))
    else:
        numbers = _asked(person, len(ref.xy), len(tracks))
    num_frames = (tracks >= 0).sum(axis=1)
    confidence = sureness.sum(axis=1) / num_points.sum(axis=1)
    return Cast(numbers, tracks, num_frames, confidence, sizes.sum(axis=1) / num_frames)


def foremost_person(driving: Keypoints) -> Int[np.ndarray, "people frames"]:
    """Find the most prominent person of a motion, as `match_people` does.

    Args:
        driving: Detections per frame, as there.

    Returns:
        Which detection it is per frame, -1 where it is missing; no row if nobody is ever seen.
    """
    tracks = track_people(driving)
    sizes, sureness, _ = _measure(_seen(driving, "driving", 4, DEFAULT_TAU), tracks)
    return tracks[_foremost((sureness * sizes).sum(axis=1), 1)]


def select_people(driving: Keypoints, order: Int[np.ndarray, "people frames"]) -> Keypoints:
    """Put detections in the order that `match_people` found.

    Args:
        driving: Detections per frame, `xy` [people frames ... 2].
        order: `Cast.order`.

    Returns:
        NumPy keypoints, `xy` [people frames ... 2]; zero, with zero confidence, where missing.
    """
    return Keypoints(*(reorder(np.asarray(x), order) for x in driving))


def reorder(
    values: Shaped[np.ndarray, "detections frames ..."], order: Int[np.ndarray, "people frames"]
) -> Shaped[np.ndarray, "people frames ..."]:
    """Put what belongs to detections in the order that `match_people` found; zero where missing."""
    if len(order) == len(values) and (order == np.arange(len(order))[:, None]).all():
        return values
    ordered = np.zeros((*order.shape, *values.shape[2:]), values.dtype)
    people, frames = np.nonzero(order >= 0)
    ordered[people, frames] = values[order[people, frames], frames]
    return ordered


def track_people(
    driving: Keypoints, *, tau: float = DEFAULT_TAU, gate: float = 1.0
) -> Int[np.ndarray, "tracks frames"]:
    """Follow people from frame to frame by optimal assignment.

    Args:
        driving: Detections per frame, as in `match_people`.
        tau: Points with confidence above it are visible.
        gate: As in `match_people`.

    There are as many tracks as people in the fullest frame. So somebody who returns far from where
    they were lost, or a lone dancer after a cut, keeps the track that has nobody else.

    Returns:
        Index of the detection that is the person, -1 where it is missing; people from left to right
        by the middle of their points where each is first seen.
    """
    xy, visible, _ = seen_people = _seen(driving, "driving", 4, tau)
    is_present: np.ndarray = np.any(visible, axis=-1)
    num_frames = xy.shape[1]
    capacity = int(is_present.sum(axis=0).max(initial=0))
    tracks: list[_Track] = []
    for frame in range(num_frames):
        people = np.flatnonzero(is_present[:, frame])
        poses, seen = xy[people, frame], visible[people, frame]
        pairs = _assign(tracks, poses, seen, frame, gate, capacity - len(tracks))
        for detection, person in enumerate(people.tolist()):
            pose = (poses[detection], seen[detection])
            if detection in pairs:
                _extend(tracks[pairs[detection]], frame, person, *pose)
            else:
                tracks.append(_start(num_frames, frame, person, *pose))
    found = [track.people for track in tracks]
    found.sort(key=lambda track: _place(seen_people, track, 0)[0])
    return np.stack(found) if found else np.zeros((0, num_frames), int)


def _measure(people: _Seen, tracks: Int[np.ndarray, "tracks frames"]) -> tuple[np.ndarray, ...]:
    """Return size, summed confidence and number of visible points [tracks frames]; 0 if missing."""
    frames = np.arange(tracks.shape[1])
    measures = (_sizes(people), people.conf.sum(axis=-1), people.visible.sum(axis=-1))
    return tuple(np.where(tracks >= 0, x[tracks, frames], 0) for x in measures)


def _pair(
    ref: _Seen,
    drv: _Seen,
    tracks: Int[np.ndarray, "tracks frames"],
    prominence: Float[np.ndarray, " tracks"],
    canvases: tuple[tuple[int, int] | None, tuple[int, int] | None],
) -> Int[np.ndarray, " people"]:
    """Choose on both sides, and pair by place at least total cost; return numbers of tracks."""
    numbers = np.full(len(ref.xy), -1)
    wanted = np.flatnonzero(ref.visible.any(axis=-1))
    cast = _foremost(prominence, len(wanted))
    if len(cast) == 0:
        return numbers
    if len(cast) < len(wanted):
        ranks = (ref.conf.sum(axis=-1) * _sizes(ref))[wanted]
        foremost = _foremost(ranks, len(cast))
        if None not in canvases:
            foremost = np.flatnonzero(ranks >= _COMPARABLE * ranks[foremost].min())
        wanted = wanted[foremost]
    frame = int(np.argmax((tracks[cast] >= 0).sum(axis=0)))
    ref_place = np.stack([ref.xy[p, ref.visible[p]].mean(axis=0) for p in wanted])
    drv_place = np.stack([_place(drv, tracks[t], frame) for t in cast])
    # Without a like group to compare with, the canvas is the better yardstick.
    if len(cast) < len(wanted):
        ref_place, drv_place = ref_place / canvases[0], drv_place / canvases[1]
    else:
        ref_place, drv_place = _standardise(ref_place), _standardise(drv_place)
    cost = np.sum((ref_place[:, None] - drv_place[None]) ** 2, axis=-1)
    rows, columns = linear_sum_assignment(cost)
    numbers[wanted[rows]] = cast[columns]
    return numbers


def _foremost(prominence: Float[np.ndarray, " people"], count: int) -> Int[np.ndarray, " chosen"]:
    """Return the most prominent people in the order given."""
    return np.sort(np.argsort(-prominence, kind="stable")[:count])


def _asked(person: Sequence[int], num_people: int, num_tracks: int) -> Int[np.ndarray, " people"]:
    """Check the numbers that were asked for."""
    if num_people and len(person) != num_people:
        raise UserError(
            f"--person names {len(person)} people of the motion, the reference has {num_people}; "
            "give one number for each of them"
        )
    for number in person:
        if not 0 <= number < num_tracks:
            raise UserError(
                f"--person {number}: the motion has {num_tracks} people; they are numbered from 0, "
                "from left to right by where each is first seen"
            )
    if len(set(person)) < len(person):
        names = " ".join(map(str, person))
        raise UserError(f"--person {names}: names somebody twice; give everybody once")
    return np.array(person, int)


def _assign(
    tracks: list[_Track],
    poses: np.ndarray,
    seen: np.ndarray,
    frame: int,
    gate: float,
    num_vacant: int,
) -> dict[int, int]:
    """Pair detections with tracks at least total cost; return {detection: track}.

    Pairs beyond the gate are given up, the farthest first, while there is room for new tracks.
    """
    cost = np.zeros((len(poses), len(tracks)))
    for j, track in enumerate(tracks):
        gap = frame - track.last_frame
        expected = track.xy + track.velocity * min(gap, _MAX_EXTRAPOLATION)
        for i in range(len(poses)):
            distance = _pose_distance(expected, track.seen, poses[i], seen[i])
            cost[i, j] = distance if distance <= gate * np.sqrt(gap) else _BEYOND_GATE + distance
    rows, columns = linear_sum_assignment(cost)
    by_cost = sorted(zip(cost[rows, columns], rows.tolist(), columns.tolist(), strict=True))
    num_vacant -= len(poses) - len(by_cost)
    while by_cost and num_vacant > 0 and by_cost[-1][0] > _BEYOND_GATE:
        by_cost.pop()
        num_vacant -= 1
    return {i: j for _, i, j in by_cost}


def _pose_distance(
    xy: Float[np.ndarray, "points 2"],
    seen: Bool[np.ndarray, " points"],
    other_xy: Float[np.ndarray, "points 2"],
    other_seen: Bool[np.ndarray, " points"],
) -> float:
    """Return the mean distance of common points (else of centroids) in heights of the person."""
    common = seen & other_seen
    height = max(_height(xy[seen]), _height(other_xy[other_seen]))
    if common.any():
        distance = np.linalg.norm(xy[common] - other_xy[common], axis=-1).mean()
    else:
        distance = np.linalg.norm(xy[seen].mean(axis=0) - other_xy[other_seen].mean(axis=0))
    return float(distance / height)


def _height(xy: Float[np.ndarray, "seen 2"]) -> float:
    """Return the longer side of the bounding box, at least one pixel."""
    return max(float(np.ptp(xy, axis=0).max()), 1.0)


def _start(num_frames: int, frame: int, person: int, xy: np.ndarray, seen: np.ndarray) -> _Track:
    people = np.full(num_frames, -1)
    people[frame] = person
    return _Track(people, np.where(seen[:, None], xy, 0), seen.copy(), np.zeros(2), frame)


def _extend(track: _Track, frame: int, person: int, xy: np.ndarray, seen: np.ndarray) -> None:
    """Add a detection to a track and update its position and velocity."""
    common = track.seen & seen
    if common.any():
        gap = frame - track.last_frame
        velocity = (xy[common] - track.xy[common]).mean(axis=0) / gap
        track.velocity = track.velocity + _VELOCITY_GAIN * (velocity - track.velocity)
        # Points out of sight move along with the others, or they would be left behind.
        track.xy = track.xy + velocity * gap
    track.xy = np.where(seen[:, None], xy, track.xy)
    # Without a common point the remembered ones are of no use any more.
    track.seen = track.seen | seen if common.any() else seen.copy()
    track.people[frame] = person
    track.last_frame = frame


def _place(people: _Seen, track: Int[np.ndarray, " frames"], frame: int) -> Float[np.ndarray, " 2"]:
    """Return the centroid of a track's visible points in its present frame nearest to `frame`."""
    frames = np.flatnonzero(track >= 0)
    nearest = frames[np.argmin(np.abs(frames - frame))]
    person = track[nearest]
    return people.xy[person, nearest, people.visible[person, nearest]].mean(axis=0)


def _sizes(people: _Seen) -> Float[np.ndarray, "*batch"]:
    """Return the longer sides of the boxes around visible points, at least one pixel."""
    shown = people.visible[..., None]
    low = np.where(shown, people.xy, np.inf).min(axis=-2)
    high = np.where(shown, people.xy, -np.inf).max(axis=-2)
    return np.maximum((high - low).max(axis=-1), 1.0)


def _standardise(places: Float[np.ndarray, "people 2"]) -> Float[np.ndarray, "people 2"]:
    """Centre a group and divide by its spread, so that camera distance and framing drop out."""
    centred = places - places.mean(axis=0)
    spread = np.sqrt(np.mean(np.sum(centred**2, axis=-1)))
    return centred / spread if spread > 0 else centred


def _seen(keypoints: Keypoints, name: str, ndim: int, tau: float) -> _Seen:
    """Return NumPy positions and what is visible after a shape check."""
    xy, conf = np.asarray(keypoints.xy, float), np.asarray(keypoints.conf, float)
    if xy.ndim != ndim or xy.shape[-1] != 2 or conf.shape != xy.shape[:-1]:
        raise ValueError(
            f"{name} must have xy with {ndim} axes, the last of length 2, and conf without it, "
            f"got {xy.shape} and {conf.shape}"
        )
    visible = (conf > tau) & np.isfinite(xy).all(axis=-1)
    return _Seen(xy, visible, np.where(visible, conf, 0))
