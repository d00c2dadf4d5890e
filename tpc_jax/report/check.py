"""A verdict on a reference and a motion before anything heavy is computed."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from tpc_jax._types import Keypoints, SolveStatus, Transform2D
from tpc_jax.calibrated_clip import CalibratedClip
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.skeletons import KEYPOINT_INDEX, KEYPOINT_NAMES, TORSO_POINTS
from tpc_jax.procrustes.transform import angle_of, scale_of
from tpc_jax.refinement.clip import Choice

# From here on a value is worth a warning.
_CUT_OFF, _LACKING = 0.15, 0.3
_ENLARGED, _SHRUNK = 2.0, 0.33
_FEW_FITS, _FROM_BEHIND, _ABSENT = 0.8, 0.2, 0.1
# Confidence of a point that is there but not to be relied on.
_UNSURE = 0.6
# Fewer visible points determine a transform badly.
_FEW_POINTS = 8
_OFTEN = 0.5
_PIXELS_LOOKED_AT = 2000
_LONGEST_LAG = 10
# A lag has to contain this much more of the keypoints than no lag.
_LAG_GAIN = 0.1
_SIDES = ("left", "right")
_LIMBS = {
    "arms": ("elbow", "wrist"),
    "hips": ("hip",),
    "knees": ("knee",),
    "feet": ("ankle",),
}


class Remark(NamedTuple):
    """One thing that a user should know before animating.

    Attributes:
        name: Short name, the same whatever the values.
        is_warning: The result will suffer; the text says from what and what to change.
        text: One line.
    """

    name: str
    is_warning: bool
    text: str


class Verdict(NamedTuple):
    """What was found out.

    Attributes:
        people: Numbers of every person of the reference, as plain values.
        remarks: What follows from them.
        can_go: Whether at least one person can be calibrated in some frame.
    """

    people: list[dict[str, Any]]
    remarks: list[Remark]
    can_go: bool

    @property
    def exit_code(self) -> int:
        """0 to go, 1 to go with warnings, 2 if nothing can come of it."""
        if not self.can_go:
            return 2
        return int(any(remark.is_warning for remark in self.remarks))

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        words = ("go", "go with warnings", "cannot")
        return {
            "verdict": words[self.exit_code],
            "people": self.people,
            "remarks": [remark._asdict() for remark in self.remarks],
        }


def check_clip(
    clip: CalibratedClip, masks: Bool[np.ndarray, "people frames height width"] | None = None
) -> Verdict:
    """Judge a calibrated pair.

    Args:
        clip: The pair.
        masks: Masks of the motion that came from another file than its keypoints, whose frames may
            lie at other times.
    """
    people = [_measure(clip, person) for person in range(clip.num_people)]
    without_fit = clip.people_without_fit
    remarks = []
    for person, found in enumerate(people):
        name = f"person {person}: " if clip.num_people > 1 else ""
        remarks += [
            remark._replace(text=name + remark.text)
            for remark in _remarks(found, person in without_fit)
        ]
    if masks is not None and (lag := time_offset(clip.motion.keypoints, masks)):
        remarks.append(
            _warning(
                "time_offset",
                f"masks fit the keypoints better {lag:+d} frames later; cut both from the same "
                "frame of the video",
            )
        )
    return Verdict(people, remarks, can_go=len(without_fit) < clip.num_people)


def time_offset(keypoints: Keypoints, masks: Bool[np.ndarray, "people frames height width"]) -> int:
    """Return by how many frames masks come later than the keypoints they fit best; 0 if they fit.

    Args:
        keypoints: `[people frames 17]` in pixels.
        masks: Pixels of people; who is who does not count.
    """
    everybody = np.any(masks, axis=0)
    size = np.array(everybody.shape[2:0:-1])
    xy, conf = np.asarray(keypoints.xy), np.asarray(keypoints.conf)
    seen = (conf > DEFAULT_TAU) & ((xy >= 0) & (xy <= size - 1)).all(axis=-1)
    frames = np.broadcast_to(np.arange(conf.shape[1])[:, None], conf.shape[1:])
    shares = {}
    for lag in range(-_LONGEST_LAG, _LONGEST_LAG + 1):
        at = np.broadcast_to(frames + lag, seen.shape)
        # All lags are compared on the frames that every one of them has.
        common = (frames >= _LONGEST_LAG) & (frames < conf.shape[1] - _LONGEST_LAG)
        chosen = seen & common
        if not chosen.any():
            return 0
        x, y = np.rint(xy[chosen]).astype(int).T
        shares[lag] = float(everybody[at[chosen], y, x].mean())
    best = max(shares, key=lambda lag: (shares[lag], -abs(lag)))
    return best if shares[best] > shares[0] + _LAG_GAIN else 0


def _measure(clip: CalibratedClip, person: int) -> dict[str, Any]:
    """Return the numbers of one person as plain values."""
    fit = clip.calibration
    transforms = Transform2D(*(np.asarray(field)[person] for field in fit.drv_from_ref))
    reference = clip.reference.keypoints.select(person)
    motion = clip.keypoints.select(person)
    ref_conf, drv_conf = np.asarray(reference.conf), np.asarray(motion.conf)
    is_there = np.any(drv_conf > DEFAULT_TAU, axis=-1)
    scales, angles = (np.asarray(of(transforms))[is_there] for of in (scale_of, angle_of))
    turn = np.angle(np.exp(1j * angles).mean()) if is_there.any() else 0.0
    return {
        "frames": int(clip.num_frames),
        "frames_seen": int(is_there.sum()),
        "frames_with_a_fit": int((_has_fit(clip, person) & is_there).sum()),
        "reference_points": int((ref_conf > DEFAULT_TAU).sum()),
        "reference_confidence": _confidence(ref_conf),
        "reference_unsure": [
            KEYPOINT_NAMES[i]
            for i in np.flatnonzero((ref_conf > 0) & (ref_conf < _UNSURE)).tolist()
        ],
        "motion_points": float(np.median((drv_conf > DEFAULT_TAU).sum(-1)[is_there]))
        if is_there.any()
        else 0.0,
        "motion_confidence": _confidence(drv_conf),
        "scale": _range(scales),
        "rotation_degrees": float(np.degrees(turn)),
        "shift": _shift(clip, person, is_there),
        "cut_off": _cut_off(clip, person, transforms, is_there),
        "missing": _missing(ref_conf, drv_conf[is_there]),
        "seen_from_the_other_side": _other_side(reference, motion, is_there),
    }


def _has_fit(clip: CalibratedClip, person: int) -> Bool[np.ndarray, " frames"]:
    fits = np.asarray(clip.calibration.status[person]) == SolveStatus.OK.value
    if clip.judgement is not None:
        fits |= clip.judgement.choice[person] > Choice.NEIGHBOURS
    return fits


def _confidence(conf: Float[np.ndarray, "..."]) -> float | None:
    """Return the mean confidence of visible points."""
    visible = conf[conf > DEFAULT_TAU]
    return float(visible.mean()) if visible.size else None


def _range(values: np.ndarray) -> dict[str, float] | None:
    if not len(values):
        return None
    return {
        "median": float(np.median(values)),
        "min": float(values.min()),
        "max": float(values.max()),
    }


def _shift(clip: CalibratedClip, person: int, is_there: np.ndarray) -> list[float] | None:
    """Return by what share of the picture's width and height the person's middle moves."""
    reference, motion = clip.reference.keypoints.select(person), clip.keypoints.select(person)
    if not is_there.any():
        return None
    before = _middle(reference) / np.array(clip.reference.image.shape[1::-1])
    after = [_middle(motion.select(frame)) for frame in np.flatnonzero(is_there)]
    return (np.median(after, axis=0) / np.array(clip.size[::-1]) - before).tolist()


def _middle(keypoints: Keypoints) -> Float[np.ndarray, " 2"]:
    seen = np.asarray(keypoints.conf) > DEFAULT_TAU
    return np.asarray(keypoints.xy, float)[seen].mean(axis=0) if seen.any() else np.zeros(2)


def _cut_off(
    clip: CalibratedClip, person: int, transforms: Transform2D, is_there: np.ndarray
) -> float | None:
    """Return which share of the reference person lands outside the pictures, as a median."""
    y, x = np.nonzero(clip.reference.masks[person])
    if not len(x) or not is_there.any():
        return None
    step = max(1, len(x) // _PIXELS_LOOKED_AT)
    points = np.stack([x, y], axis=-1)[::step]
    linear, offset = (np.asarray(field)[is_there] for field in transforms)
    moved = np.einsum("fij,pj->fpi", linear, points) + offset[:, None]
    height, width = clip.size
    outside = ((moved < 0) | (moved > np.array([width, height]) - 1)).any(axis=-1)
    return float(np.median(outside.mean(axis=-1)))


def _missing(
    reference: Float[np.ndarray, " 17"], motion: Float[np.ndarray, "frames 17"]
) -> list[str]:
    """Return what the motion often shows and the reference does not."""
    often = (motion > DEFAULT_TAU).mean(axis=0) > _OFTEN if len(motion) else np.zeros(17, bool)
    shown = reference > DEFAULT_TAU
    missing = []
    for limb, joints in _LIMBS.items():
        numbers = [
            KEYPOINT_INDEX[f"{side}_{joint}"] for joint in joints for side in ("left", "right")
        ]
        if often[numbers].any() and not shown[numbers].any():
            missing.append(limb)
    return missing


def _other_side(reference: Keypoints, motion: Keypoints, is_there: np.ndarray) -> float | None:
    """Return the share of the frames in which the other one of chest and back is seen."""
    still = _facing(reference)
    sides = [_facing(motion.select(frame)) for frame in np.flatnonzero(is_there)]
    known = [side for side in sides if side]
    if not still or not known:
        return None
    return float(np.mean([side != still for side in known]))


def _facing(keypoints: Keypoints) -> int:
    """Return 1 if the chest is seen, -1 if the back is, 0 if that cannot be told."""
    xy, conf = np.asarray(keypoints.xy, float), np.asarray(keypoints.conf)
    numbers = list(TORSO_POINTS)
    if (conf[numbers] <= DEFAULT_TAU).any():
        return 0
    left_shoulder, right_shoulder, left_hip, right_hip = xy[numbers]
    across = left_shoulder - right_shoulder
    down = (left_hip + right_hip - left_shoulder - right_shoulder) / 2
    turn = across[0] * down[1] - across[1] * down[0]
    # Seen from the side, shoulders say nothing.
    return int(np.sign(turn)) if abs(turn) > 0.2 * (down @ down) else 0


def _remarks(found: dict[str, Any], is_without_fit: bool) -> Iterator[Remark]:
    """Say what a person's numbers mean for the result, and what to do about it."""
    if not found["frames_seen"]:
        yield _warning(
            "alone",
            "the motion shows nobody who moves this person, who is left as they are; crop the "
            "picture to those who are to move, or give a motion of as many",
        )
        return
    if is_without_fit:
        yield _warning(
            "no_fit",
            "no frame has a fit; give keypoints that both sides show, or other pictures",
        )
        return
    yield Remark(
        "people",
        False,
        f"the reference shows {found['reference_points']} of 17 points (confidence "
        f"{found['reference_confidence']:.2f}); the motion shows {found['motion_points']:.0f} "
        f"({found['motion_confidence']:.2f}) in {found['frames_seen']} of {found['frames']} frames",
    )
    scale, turn = found["scale"]["median"], found["rotation_degrees"]
    right, down = found["shift"]
    yield Remark(
        "placement",
        False,
        f"the reference is drawn at {scale:.2f} times its size, turned by {turn:.0f} degrees, "
        f"moved by {right:+.0%} of the width and {down:+.0%} of the height",
    )
    yield from _remarks_on_points(found)
    yield from _remarks_on_size(found, scale)
    if found["missing"]:
        yield _warning(
            "missing",
            f"the motion shows {', '.join(found['missing'])}, the reference does not; they are "
            "invented: give a picture that shows them, or crop the motion",
        )
    other = found["seen_from_the_other_side"]
    if other is not None and other > _FROM_BEHIND:
        yield _warning(
            "other_side",
            f"in {other:.0%} of the frames the person is seen from the other side than in the "
            "reference (front against back); what it does not show is invented",
        )


def _warning(name: str, text: str) -> Remark:
    return Remark(name, True, text)


def _remarks_on_points(found: dict[str, Any]) -> Iterator[Remark]:
    absent = 1 - found["frames_seen"] / found["frames"]
    if absent > _ABSENT:
        yield _warning(
            "absent",
            f"nobody is seen in {absent:.0%} of the frames; there the neighbours' place is used",
        )
    with_fit = found["frames_with_a_fit"] / max(found["frames_seen"], 1)
    if with_fit < _FEW_FITS:
        yield _warning(
            "few_fits",
            f"only {with_fit:.0%} of the frames have a fit of their own; check the overlay",
        )
    for side in ("reference", "motion"):
        if found[f"{side}_points"] < _FEW_POINTS:
            yield _warning(
                f"{side}_points",
                f"the {side} shows {found[f'{side}_points']:.0f} of 17 points; give a picture in "
                "which more of the body is seen",
            )
    if found["reference_unsure"]:
        names = ", ".join(found["reference_unsure"])
        yield _warning(
            "unsure",
            f"unsure of these points of the reference: {names}; correct them in a keypoint file",
        )


def _remarks_on_size(found: dict[str, Any], scale: float) -> Iterator[Remark]:
    if scale > _ENLARGED:
        yield _warning(
            "enlarged",
            "the reference person is enlarged much and will be soft; give a larger picture of the "
            "person, or make the motion's person smaller",
        )
    elif scale < _SHRUNK:
        yield _warning(
            "shrunk",
            "the motion's person is much smaller than the reference's and few pixels are left; "
            "crop the motion around the person",
        )
    cut_off = found["cut_off"]
    if cut_off is not None and cut_off > _CUT_OFF:
        yield _warning(
            "cut_off",
            f"{cut_off:.0%} of the reference person lie outside the motion's pictures; that is "
            "right if the motion's person is cut off too, else move or shrink the motion",
        )
