"""Who is who: people followed through the driving frames and paired with the reference people.

Host code in NumPy: the number of people varies from frame to frame, and assignment is a discrete
problem of a few people.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from tpc_jax._types import Keypoints
from tpc_jax.pose.filtering import DEFAULT_TAU

# Added to the cost of a pair beyond the gate, which is taken only where nothing else is left.
_BEYOND_GATE = 1e6
# Motion is extrapolated for so many frames at most; later a lost person may be anywhere near.
_MAX_EXTRAPOLATION = 4
# Share of the newest displacement in the estimate of a person's velocity.
_VELOCITY_GAIN = 0.5


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
    tau: float = DEFAULT_TAU,
    gate: float = 1.0,
    reference_size: tuple[int, int] | None = None,
    driving_size: tuple[int, int] | None = None,
) -> Int[np.ndarray, "people frames"]:
    """Find every reference person in every driving frame.

    Args:
        reference: People of the reference image, `xy` [people points 2].
        driving: Detections per frame in any order, `xy` [people frames points 2]; a person who is
            missing from a frame has zero confidence in all points.
        tau: Points with confidence above it are visible.
        gate: How far a person may be from where it is expected, in its own heights; grows with the
            root of the number of frames since it was last seen.
        reference_size: Width and height of the reference canvas, needed only to tell which of
            several reference people is meant when the motion shows fewer.
        driving_size: The same for the driving canvas.

    Returns:
        Index of the detection that is the person, -1 where it is missing; for `select_people`, and
        for masks in the order of the detections. Surplus people are left out.

    Raises:
        ValueError: If the shapes do not agree.

    Source: project; the released code pairs box corners greedily and stops on a missing person.
    """
    ref_xy, ref_visible = _as_arrays(reference, "reference", 3, tau)
    drv_xy, drv_visible = _as_arrays(driving, "driving", 4, tau)
    if ref_xy.shape[-2] != drv_xy.shape[-2]:
        raise ValueError(
            f"reference and driving must have the same points, got {ref_xy.shape[-2]} and "
            f"{drv_xy.shape[-2]}"
        )
    tracks = track_people(driving, tau=tau, gate=gate)
    wanted = np.flatnonzero(ref_visible.any(axis=-1))
    # The most persistent people are the cast; passers-by and false detections come and go.
    cast = np.sort(np.argsort(-(tracks >= 0).sum(axis=1), kind="stable")[: len(wanted)])
    people = np.full((len(ref_xy), drv_xy.shape[1]), -1)
    if len(cast):
        frame = int(np.argmax((tracks[cast] >= 0).sum(axis=0)))
        ref_place = np.stack([ref_xy[p, ref_visible[p]].mean(axis=0) for p in wanted])
        drv_place = np.stack([_place(drv_xy, drv_visible, tracks[t], frame) for t in cast])
        # Without a like group to compare with, the canvas is the better yardstick.
        if len(cast) < len(wanted) and reference_size and driving_size:
            ref_place, drv_place = ref_place / reference_size, drv_place / driving_size
        else:
            ref_place, drv_place = _standardise(ref_place), _standardise(drv_place)
        cost = np.sum((ref_place[:, None] - drv_place[None]) ** 2, axis=-1)
        rows, columns = linear_sum_assignment(cost)
        people[wanted[rows]] = tracks[cast[columns]]
    return people


def select_people(driving: Keypoints, people: Int[np.ndarray, "people frames"]) -> Keypoints:
    """Put the detections in the order that `match_people` found.

    Args:
        driving: Detections per frame, `xy` [people frames points 2].
        people: Index of the detection per person and frame, -1 for none.

    Returns:
        NumPy keypoints, `xy` [people frames points 2]; zero, with zero confidence, where missing.
    """
    xy, conf = np.asarray(driving.xy), np.asarray(driving.conf)
    # An empty person at the end is what index -1 picks.
    xy = np.pad(xy, ((0, 1), (0, 0), (0, 0), (0, 0)))
    conf = np.pad(conf, ((0, 1), (0, 0), (0, 0)))
    return Keypoints(xy, conf).select((people, np.arange(xy.shape[1])))


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
        Index of the detection that is the person, -1 where it is missing, in order of appearance.
    """
    xy, visible = _as_arrays(driving, "driving", 4, tau)
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
    return np.stack([t.people for t in tracks]) if tracks else np.zeros((0, num_frames), int)


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


def _place(
    xy: np.ndarray, visible: np.ndarray, track: np.ndarray, frame: int
) -> Float[np.ndarray, " 2"]:
    """Return the centroid of a track's visible points in its present frame nearest to `frame`."""
    frames = np.flatnonzero(track >= 0)
    nearest = frames[np.argmin(np.abs(frames - frame))]
    person = track[nearest]
    return xy[person, nearest, visible[person, nearest]].mean(axis=0)


def _standardise(places: Float[np.ndarray, "people 2"]) -> Float[np.ndarray, "people 2"]:
    """Centre a group and divide by its spread, so that camera distance and framing drop out."""
    centred = places - places.mean(axis=0)
    spread = np.sqrt(np.mean(np.sum(centred**2, axis=-1)))
    return centred / spread if spread > 0 else centred


def _as_arrays(
    keypoints: Keypoints, name: str, ndim: int, tau: float
) -> tuple[Float[np.ndarray, "*batch points 2"], Bool[np.ndarray, "*batch points"]]:
    """Return NumPy positions and visibility after a shape check."""
    xy, conf = np.asarray(keypoints.xy, float), np.asarray(keypoints.conf, float)
    if xy.ndim != ndim or xy.shape[-1] != 2 or conf.shape != xy.shape[:-1]:
        raise ValueError(
            f"{name} must have xy with {ndim} axes, the last of length 2, and conf without it, "
            f"got {xy.shape} and {conf.shape}"
        )
    return xy, (conf > tau) & np.isfinite(xy).all(axis=-1)
