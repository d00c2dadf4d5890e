"""How well calibrations put body parts where they belong, on DensePose renderings of real people.

One frame of a clip is the reference, turned and scaled as told, and the clip itself is the motion:
every frame's part map is the truth.
"""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax._types import Transform2D
from tpc_jax.calibrated_clip import calibrate_clip
from tpc_jax.options import Calibrating
from tpc_jax.pose.densepose import TORSO_BACK, TORSO_FRONT
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.refinement.bodies import segments_in
from tpc_jax.studies.datasets.interface import move_reference

# By so much a frame may be worse than the better of none and the fit to the keypoints.
ALLOWED_LOSS = 0.03
# Of a person seen from behind most of the torso's pixels show its back.
_MOSTLY = 2
_FIRST_STEP = np.array([0.2, np.radians(12.0), 0.1, 0.1])
_NUM_HALVINGS, _MOVES_PER_STEP = 6, 3


class Agreement(NamedTuple):
    """Share of the union of both persons on which the same segment is shown, per frame.

    Attributes:
        none: The reference is put onto the canvas as it is.
        face: TPC's released fit to the face.
        keypoints: The fit to the best half of the keypoints, unrefined.
        refined: The calibration as it is by default.
    """

    none: Float[np.ndarray, " frames"]
    face: Float[np.ndarray, " frames"]
    keypoints: Float[np.ndarray, " frames"]
    refined: Float[np.ndarray, " frames"]

    @property
    def share_worse(self) -> float:
        """Share of the frames that lose more than allowed."""
        return float((self.refined < np.maximum(self.none, self.keypoints) - ALLOWED_LOSS).mean())


def moved_reference(motion: Motion, frame: int, angle: float = 0.0, scale: float = 1.0):
    """Make a reference of one frame of a motion.

    Args:
        motion: A DensePose rendering with its part maps.
        frame: Number of the frame.
        angle: Turn about the canvas's middle in degrees.
        scale: Size relative to the frame.

    Raises:
        ValueError: The motion has no part maps.
    """
    parts, masks = _maps(motion)
    people = motion.keypoints.select(np.s_[:, frame])
    still = Reference(motion.frames[frame], people, masks[:, frame], parts[frame])
    return move_reference(still, (np.radians(angle), scale, (0.0, 0.0)))


def measure(reference: Reference, motion: Motion, *, keypoints_alone: bool = False) -> Agreement:
    """Calibrate in several ways and compare body segments of the first person.

    Args:
        reference: What `moved_reference` returned.
        motion: The motion it is of.
        keypoints_alone: Whether calibrations see neither part maps nor masks.

    Raises:
        ValueError: A part map is missing, or the pictures differ in size.
    """
    calibrations = {
        "face": Calibrating("face"),
        "keypoints": Calibrating(refine="none"),
        "refined": Calibrating(),
    }
    judge = _judge(reference, motion)
    height, width = motion.frames.shape[1:3]
    if reference.image.shape[:2] != (height, width):
        raise ValueError("reference and motion must have one size")
    found = {"none": _all_frames(judge, _still(len(motion.frames)))}
    seen = (reference, motion)
    if keypoints_alone:
        seen = reference._replace(parts=None), motion._replace(parts=None, masks=None)
    for name, calibrating in calibrations.items():
        clip = calibrate_clip(*seen, calibrating)
        transforms = Transform2D(*(np.asarray(x)[0] for x in clip.calibration.drv_from_ref))
        found[name] = _all_frames(judge, transforms)
    return Agreement(**found)


def search(reference: Reference, motion: Motion) -> Float[np.ndarray, " frames"]:
    """Search per frame, at full resolution, for the similarity under which most segments agree.

    It starts at every calibration of `measure`, and knows the truth: what is left to gain.
    """
    starts = [_still(len(motion.frames))]
    for calibrating in (Calibrating(refine="none"), Calibrating()):
        clip = calibrate_clip(reference, motion, calibrating)
        starts.append(Transform2D(*(np.asarray(x)[0] for x in clip.calibration.drv_from_ref)))
    judge, size = _judge(reference, motion), np.hypot(*motion.frames.shape[1:3])
    centre = np.argwhere(reference.masks[0])[:, ::-1].mean(axis=0)
    best = np.zeros(len(motion.frames))
    for frame in range(len(best)):
        for start in starts:
            transform = Transform2D(start.linear[frame], start.offset[frame])
            best[frame] = max(best[frame], _climb(judge, frame, transform, centre, size))
    return best


def from_behind(motion: Motion) -> Bool[np.ndarray, " frames"]:
    """Tell in which frames the first person is seen from behind."""
    parts, masks = _maps(motion)
    back, front = (
        ((parts == part) & masks[0]).sum(axis=(1, 2)) for part in (TORSO_BACK, TORSO_FRONT)
    )
    return back > _MOSTLY * front


def _maps(motion: Motion):
    if motion.parts is None or motion.masks is None:
        raise ValueError("motion has no part maps; give a DensePose rendering")
    return motion.parts, motion.masks


def _judge(reference: Reference, motion: Motion) -> Callable[[int, Transform2D], float]:
    """Return what scores a transform in a frame."""
    if reference.parts is None:
        raise ValueError("reference has no part map")
    parts, masks = _maps(motion)
    still = segments_in(reference.parts, reference.masks[0])
    moving = [segments_in(part_map, mask) for part_map, mask in zip(parts, masks[0], strict=True)]

    def score(frame: int, transform: Transform2D) -> float:
        return part_agreement(still, moving[frame], transform)

    return score


def part_agreement(
    still: UInt8[np.ndarray, "height width"],
    target: UInt8[np.ndarray, "out_height out_width"],
    drv_from_ref: Transform2D,
) -> float:
    """Return the share of the union of both bodies on which segments agree.

    Args:
        still: The reference's segments, 0 beside the person.
        target: The motion's in one frame.
        drv_from_ref: From reference to driving pixels.
    """
    matrix = np.column_stack([drv_from_ref.linear, drv_from_ref.offset]).astype(np.float64)
    warped = cv2.warpAffine(still, matrix, target.shape[::-1], flags=cv2.INTER_NEAREST)
    union = int(((warped > 0) | (target > 0)).sum())
    return float(((warped == target) & (target > 0)).sum()) / max(union, 1)


def _all_frames(judge, transforms: Transform2D) -> Float[np.ndarray, " frames"]:
    frames = range(len(transforms.linear))
    return np.array([judge(f, Transform2D(*(x[f] for x in transforms))) for f in frames])


def _still(num_frames: int) -> Transform2D:
    return Transform2D(np.tile(np.eye(2), (num_frames, 1, 1)), np.zeros((num_frames, 2)))


def _climb(judge, frame: int, start: Transform2D, centre: np.ndarray, size: float) -> float:
    """Climb by steps along log scale, angle and shift that halve."""
    linear = np.asarray(start.linear, float)
    image = linear @ centre + np.asarray(start.offset, float)

    def score(change: Float[np.ndarray, " 4"]) -> float:
        growth, turn, x, y = change
        cosine, sine = np.exp(growth) * np.cos(turn), np.exp(growth) * np.sin(turn)
        changed = np.array([[cosine, -sine], [sine, cosine]]) @ linear
        moved = image + size * np.array([x, y])
        return judge(frame, Transform2D(changed, moved - changed @ centre))

    best = np.zeros(4)
    value = score(best)
    moves = np.concatenate([np.eye(4), -np.eye(4)])
    for index in range(_NUM_HALVINGS * _MOVES_PER_STEP):
        step = _FIRST_STEP * 0.5 ** (index // _MOVES_PER_STEP)
        candidates = [best + move * step for move in moves]
        values = [score(candidate) for candidate in candidates]
        if max(values) > value:
            value, best = max(values), candidates[int(np.argmax(values))]
    return value
