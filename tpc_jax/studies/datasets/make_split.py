"""Draw splits: aligned pairs, and the paper's four cases of misalignment.

| case | reference | motion |
|---|---|---|
| `aligned` | first frame | any |
| `scale` | first frame, scaled by a factor between 0.4 and 2.0, evenly in its logarithm | any |
| `rotation` | first frame, turned by up to 180 degrees either way | any |
| `bending` | the frame whose torso is turned farthest against the motion's | turns |
| `walking` | the frame whose torso differs most in size from the motion's | changes in size |
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
            `bending` and `walking`.
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
    is_moving = case in ("bending", "walking")
    draw = _moving_pairs if is_moving else _moved_pairs
    offsets = np.arange(num_frames) * step
    pairs = []
    for pair in draw(data, case, names, offsets, rng):
        pairs.append(pair._replace(name=f"{len(pairs):03d}-{pair.clip}"))
        if len(pairs) == num_pairs:
            return Split(case, seed, data.identity(), tuple(pairs))
    least = f"{LEAST_ANGLE:g} degrees" if case == "bending" else f"a factor of {LEAST_RATIO:g}"
    raise UserError(
        f"only {len(pairs)} clips show a torso that changes by {least}, {num_pairs} are wanted; "
        "ask for fewer pairs"
    )


def _moved_pairs(data: DataSet, case: Case, names, offsets, rng) -> Iterator[Pair]:
    """Yield pairs for ever whose reference is the first frame, moved."""
    while True:
        for name in rng.permutation(names):
            start = int(rng.integers(1, data.num_frames(name) - offsets[-1]))
            scale, angle = 1.0, 0.0
            if case == "scale":
                scale = round(float(np.exp(rng.uniform(*np.log(SCALES)))), 4)
            elif case == "rotation":
                angle = round(float(rng.uniform(-LARGEST_ANGLE, LARGEST_ANGLE)), 2)
            frames = tuple(int(frame) for frame in start + offsets)
            pair = Pair("", str(name), 0, frames, angle, scale)
            clip = data.read(pair.clip, [0, *frames])
            torso = measure_torso(clip.keypoints)
            yield pair if torso is None else pair._replace(found=_found(torso, pair.misalignment))


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
        torso = measure_torso(clip.keypoints)
        if torso is None:
            continue
        values = torso.angle if case == "bending" else np.log(torso.length)
        least = LEAST_ANGLE if case == "bending" else np.log(LEAST_RATIO)
        starts = np.arange(count - offsets[-1])
        windows = np.interp(starts[:, None] + offsets, probed, values)
        # [start, reference]; the reference is none of the motion's own frames.
        distance = np.abs(np.median(windows, axis=1)[:, None] - values)
        inside = (probed >= starts[:, None]) & (probed <= starts[:, None] + offsets[-1])
        distance[inside] = -1
        # A motion that changes by itself is preferred to one that only differs.
        score = np.where(distance >= least, distance + np.ptp(windows, axis=1)[:, None], -1)
        start, reference = np.unravel_index(np.argmax(score), score.shape)
        if score[start, reference] < 0:
            continue
        frames = tuple(int(frame) for frame in start + offsets)
        pair = Pair("", str(name), int(probed[reference]), frames)
        at = [np.interp([pair.reference, *frames], probed, x) for x in torso]
        yield pair._replace(found=_found(Torso(*at), pair.misalignment))


def measure_torso(keypoints: Keypoints) -> Torso | None:
    """Measure the most prominent person's torso in every frame.

    Frames in which it is not seen are filled from their neighbours.

    Args:
        keypoints: `[people frames 17]`.

    Returns:
        None where neither torso nor shoulders are seen in half of the frames, or nobody is there.
    """
    order = foremost_person(keypoints)
    if len(order) == 0:
        return None
    frames = np.arange(order.shape[1])
    xy, conf = select_people(keypoints, order).select(0)
    xy, seen = np.asarray(xy, np.float64), np.asarray(conf) > DEFAULT_TAU
    shoulders = [INDEX["left_shoulder"], INDEX["right_shoulder"]]
    hips = [INDEX["left_hip"], INDEX["right_hip"]]
    spans = {
        (*shoulders, *hips): xy[:, hips].mean(1) - xy[:, shoulders].mean(1),
        tuple(shoulders): xy[:, shoulders[1]] - xy[:, shoulders[0]],
    }
    for points, vector in spans.items():
        length = np.hypot(*vector.T)
        known = np.flatnonzero(seen[:, list(points)].all(1) & (length > 0))
        if 2 * len(known) >= len(frames):
            angle = np.degrees(np.unwrap(np.arctan2(vector[known, 1], vector[known, 0])))
            columns = (length[known], angle)
            return Torso(*(np.interp(frames, known, column) for column in columns))
    return None


def _found(torso: Torso, misalignment: Misalignment) -> dict:
    """Compare frames 1 and up with frame 0 after it is moved."""
    angle, scale, _ = misalignment
    ratio = torso.length[1:] / (torso.length[0] * scale)
    turn = torso.angle[1:] - torso.angle[0] - np.degrees(angle)
    turn = turn - 360 * np.round(np.median(turn) / 360)
    values = {"scale": ratio, "angle": turn}
    return {
        name: {
            "median": round(float(np.median(x)), 3),
            "range": [round(float(x.min()), 3), round(float(x.max()), 3)],
        }
        for name, x in values.items()
    }
