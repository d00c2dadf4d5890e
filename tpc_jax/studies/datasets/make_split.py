"""Draw splits: aligned pairs, the paper's four cases of misalignment, and people who turn about.

| case | reference | motion |
|---|---|---|
| `aligned` | first frame | any |
| `scale` | first frame, scaled by a factor between 0.4 and 2.0, evenly in its logarithm | any |
| `rotation` | first frame, turned by up to 180 degrees either way | any |
| `bending` | the frame whose torso is turned farthest against the motion's | turns |
| `walking` | the frame whose torso differs most in size from the motion's | changes in size |
| `turning` | the frame that faces the camera most, scaled and turned as above | turns about |

Who turns on the spot is aligned already, so the reference of `turning` is moved as well.
"""

import zlib
from collections.abc import Iterator
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Float

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError
from tpc_jax.options import Case
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.matching import foremost_person, select_people
from tpc_jax.pose.skeletons import KEYPOINT_INDEX as INDEX
from tpc_jax.studies.datasets.interface import DataSet, Misalignment
from tpc_jax.studies.datasets.splits import Pair, Split

SCALES = (0.4, 2.0)
LARGEST_ANGLE = 180.0
# A motion counts as bending or walking if its torso differs by this from the reference's.
LEAST_ANGLE, LEAST_RATIO = 25.0, 1.4
# It counts as turning if it faces the camera by so much less; see `measure_facing`. Shoulders are
# about 0.7 torsos wide, half of which are left at 60 degrees.
LEAST_FACING = 0.35
_LEAST = {
    "bending": f"turns by {LEAST_ANGLE:g} degrees",
    "walking": f"changes in size by a factor of {LEAST_RATIO:g}",
    "turning": f"faces the camera by {LEAST_FACING:g} torso lengths less",
}
_SHOULDERS = [INDEX["left_shoulder"], INDEX["right_shoulder"]]
_HIPS = [INDEX["left_hip"], INDEX["right_hip"]]
# Of long clips so many frames are looked at.
_PROBED = 48


class Torso(NamedTuple):
    """Length and direction of the torso, or of the shoulder line where hips are not seen.

    Attributes:
        length: In pixels.
        angle: In degrees, without jumps.
    """

    length: Float[np.ndarray, " frames"]
    angle: Float[np.ndarray, " frames"]


def make_split(
    data: DataSet, case: Case, *, num_pairs: int = 64, num_frames: int = 8, step: int = 1,
    seed: int = 0,
) -> Split:  # fmt: skip
    """Draw the pairs of a case.

    Args:
        data: Where to draw from.
        case: Which case.
        num_pairs: Number of pairs; clips that are too few are used several times, except for
            `bending`, `walking` and `turning`.
        num_frames: Frames of each motion.
        step: Distance of its frames in the clip.
        seed: Seed of the draws; each case has draws of its own.

    Raises:
        UserError: The data set has too few clips of this length or motion, or no keypoints where
            they are needed.
        ValueError: An option is unknown or out of range.
    """
    if case not in get_args(Case):
        raise ValueError(f"case must be one of {get_args(Case)}, got {case!r}")
    if min(num_pairs, num_frames, step) < 1:
        raise ValueError("num_pairs, num_frames and step must be at least 1")
    span = (num_frames - 1) * step + 1
    rng = np.random.default_rng([seed, zlib.crc32(case.encode())])
    names = [name for name in data.candidates(case) if data.num_frames(name) > span]
    if not names:
        raise UserError(
            f"no clip has more than {span} frames; choose fewer frames or a smaller step"
        )
    draw = _moving_pairs if case in _LEAST else _moved_pairs
    offsets = np.arange(num_frames) * step
    pairs = []
    for pair in draw(data, case, names, offsets, rng):
        pairs.append(pair._replace(name=f"{len(pairs):03d}-{pair.clip}"))
        if len(pairs) == num_pairs:
            return Split(case, seed, data.identity(case), tuple(pairs))
    raise UserError(
        f"only {len(pairs)} clips show a torso that {_LEAST[case]}, {num_pairs} are wanted; "
        "ask for fewer pairs"
    )


def _moved_pairs(data: DataSet, case: Case, names, offsets, rng) -> Iterator[Pair]:
    """Yield pairs for ever whose reference is the first frame, moved."""
    while True:
        for name in rng.permutation(names):
            start = int(rng.integers(1, data.num_frames(name) - offsets[-1]))
            frames = tuple(int(frame) for frame in start + offsets)
            pair = Pair("", str(name), 0, frames, *_draw_move(case, rng))
            clip = data.read(pair.clip, [0, *frames])
            torso = measure_torso(clip.keypoints)
            yield pair if torso is None else pair._replace(found=_found(torso, pair.misalignment))


def _draw_move(case: Case, rng) -> tuple[float, float]:
    """Draw the turn in degrees and the scale of a reference."""
    scale, angle = 1.0, 0.0
    if case in ("scale", "turning"):
        scale = round(float(np.exp(rng.uniform(*np.log(SCALES)))), 4)
    if case in ("rotation", "turning"):
        angle = round(float(rng.uniform(-LARGEST_ANGLE, LARGEST_ANGLE)), 2)
    return angle, scale


def _moving_pairs(data: DataSet, case: Case, names, offsets, rng) -> Iterator[Pair]:
    """Yield at most one pair per clip, whose reference is the frame farthest from the motion."""
    for name in rng.permutation(names):
        count = data.num_frames(name)
        probed = np.unique(np.linspace(0, count - 1, min(count, _PROBED)).round().astype(int))
        clip = data.read(str(name), probed.tolist())
        if len(clip.keypoints.conf) == 0:
            raise UserError(
                f"{name}: has no keypoints, without which {case} cannot be told; add keypoints or "
                "a DensePose rendering"
            )
        torso, facing = measure_torso(clip.keypoints), measure_facing(clip.keypoints)
        if torso is None or (facing is None and case == "turning"):
            continue
        values, least = {
            "bending": (torso.angle, LEAST_ANGLE),
            "walking": (np.log(torso.length), np.log(LEAST_RATIO)),
            "turning": (facing, LEAST_FACING),
        }[case]
        starts = np.arange(count - offsets[-1])
        windows = np.interp(starts[:, None] + offsets, probed, values)
        # [start, reference]; the reference is none of the motion's own frames.
        distance = values - np.median(windows, axis=1)[:, None]
        # Who turns about is known from the front; bending and walking have no such side.
        distance = distance if case == "turning" else np.abs(distance)
        inside = (probed >= starts[:, None]) & (probed <= starts[:, None] + offsets[-1])
        distance[inside] = -1
        # A motion that changes by itself is preferred to one that only differs.
        score = np.where(distance >= least, distance + np.ptp(windows, axis=1)[:, None], -1)
        start, reference = np.unravel_index(np.argmax(score), score.shape)
        if score[start, reference] < 0:
            continue
        frames = tuple(int(frame) for frame in start + offsets)
        pair = Pair("", str(name), int(probed[reference]), frames, *_draw_move(case, rng))
        at = [np.interp([pair.reference, *frames], probed, x) for x in (*torso, values)]
        found = _found(Torso(*at[:2]), pair.misalignment)
        if case == "turning":
            found["facing"] = _median_and_range(at[2][1:] - at[2][0])
        yield pair._replace(found=found)


def measure_torso(keypoints: Keypoints) -> Torso | None:
    """Measure the most prominent person's torso in every frame.

    Frames in which it is not seen are filled from their neighbours.

    Args:
        keypoints: `[people frames 17]`.

    Returns:
        None where neither torso nor shoulders are seen in half of the frames, or nobody is there.
    """
    if (found := _foremost(keypoints)) is None:
        return None
    xy, seen = found
    spans = {
        (*_SHOULDERS, *_HIPS): xy[:, _HIPS].mean(1) - xy[:, _SHOULDERS].mean(1),
        tuple(_SHOULDERS): xy[:, _SHOULDERS[1]] - xy[:, _SHOULDERS[0]],
    }
    for points, vector in spans.items():
        length = np.hypot(*vector.T)
        known = np.flatnonzero(seen[:, list(points)].all(1) & (length > 0))
        if 2 * len(known) >= len(seen):
            angle = np.degrees(np.unwrap(np.arctan2(vector[known, 1], vector[known, 0])))
            columns = (length[known], angle)
            return Torso(*(np.interp(np.arange(len(seen)), known, column) for column in columns))
    return None


def measure_facing(keypoints: Keypoints) -> Float[np.ndarray, " frames"] | None:
    """Measure how far the most prominent person faces the camera in every frame.

    Width from the right to the left shoulder across the torso, in torso lengths: largest from the
    front, 0 in profile, negative from behind. Frames in which shoulders or hips are not seen are
    filled from their neighbours.

    Args:
        keypoints: `[people frames 17]`.

    Returns:
        None where the torso is not seen in half of the frames, or nobody is there.
    """
    if (found := _foremost(keypoints)) is None:
        return None
    xy, seen = found
    down = xy[:, _HIPS].mean(1) - xy[:, _SHOULDERS].mean(1)
    left = xy[:, _SHOULDERS[0]] - xy[:, _SHOULDERS[1]]
    length2 = (down**2).sum(1)
    known = np.flatnonzero(seen[:, _SHOULDERS + _HIPS].all(1) & (length2 > 0))
    if 2 * len(known) < len(seen):
        return None
    width = left[known, 0] * down[known, 1] - left[known, 1] * down[known, 0]
    return np.interp(np.arange(len(seen)), known, width / length2[known])


def _foremost(keypoints: Keypoints) -> tuple[np.ndarray, np.ndarray] | None:
    """Return points [frames 17 2] of the most prominent person and which are seen, or None."""
    order = foremost_person(keypoints)
    if len(order) == 0:
        return None
    xy, conf = select_people(keypoints, order).select(0)
    return np.asarray(xy, np.float64), np.asarray(conf) > DEFAULT_TAU


def _found(torso: Torso, misalignment: Misalignment) -> dict:
    """Compare frames 1 and up with frame 0 after it is moved."""
    angle, scale, _ = misalignment
    ratio = torso.length[1:] / (torso.length[0] * scale)
    turn = torso.angle[1:] - torso.angle[0] - np.degrees(angle)
    turn = turn - 360 * np.round(np.median(turn) / 360)
    return {"scale": _median_and_range(ratio), "angle": _median_and_range(turn)}


def _median_and_range(x: np.ndarray) -> dict:
    ends = [round(float(x.min()), 3), round(float(x.max()), 3)]
    return {"median": round(float(np.median(x)), 3), "range": ends}
