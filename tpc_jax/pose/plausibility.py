"""Whether keypoints can be those of people in these pictures, and masks theirs.

Files that name the wrong picture, unit, order of points or order of frames are read without a
fault; what they hold then is no human body, or not in the picture.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError, warn
from tpc_jax.pose.body_model import LENGTHS
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.skeletons import FACE_POINTS, KEYPOINT_INDEX

# A point this share of the picture beyond its border is outside; detectors guess a little.
_MARGIN = 0.05
_MANY, _SOME = 0.5, 0.2
# Real clips, people who bend and turn among them, reach 0.39 and 1.7; other point orders read as
# COCO-17 begin at 0.5 and 1.5, mostly far above.
_WIDEST_FACE, _LONGEST_BONE = 0.55, 2.2
# Fewer bones do not tell a body's size.
_LEAST_BONES = 4
# Torsos from one frame to the next: about a body's length.
_JUMP = 3.0
# A torso of fewer pixels shows no body.
_LEAST_TORSO = 4.0
# Share of the points that a mask has to contain, and how far beyond it they may lie, in torsos.
_CONTAINED, _BEYOND = 0.5, 0.3
_MASKS_LOOKED_AT = 16

_Numbers = Float[np.ndarray, "..."]


class Fault(NamedTuple):
    """What is implausible.

    Attributes:
        kind: `outside`, `tiny`, `proportions`, `jumps` or `masks`.
        message: What was seen, and what is the likely cause.
        is_fatal: Nothing can come of it.
    """

    kind: str
    message: str
    is_fatal: bool = False


def find_faults(
    keypoints: Keypoints,
    size: tuple[int, int],
    masks: Bool[np.ndarray, "_people frames height width"] | None = None,
) -> list[Fault]:
    """Look for what people in pictures cannot be like.

    Args:
        keypoints: NumPy keypoints `[people frames 17]` in pixels, people in any order.
        size: Height and width of the pictures in pixels.
        masks: Where people are, if that is known from elsewhere than the keypoints.

    Returns:
        The faults; none for people as cameras see them, however bent, turned or cut off.
    """
    xy = np.asarray(keypoints.xy, float)
    seen = (np.asarray(keypoints.conf) > DEFAULT_TAU) & np.isfinite(xy).all(axis=-1)
    if not seen.any():
        return []
    xy = np.where(seen[..., None], xy, np.nan)
    bones = _bones(xy)
    is_enough = np.isfinite(bones).sum(-1) >= _LEAST_BONES
    torsos = np.where(is_enough, _median(bones), np.nan)
    found = [
        _outside(xy, seen, size),
        _tiny(torsos),
        _proportions(xy, bones, torsos),
        _jumps(xy, torsos),
        None if masks is None else _beside_masks(xy, torsos, masks),
    ]
    return [fault for fault in found if fault is not None]


def require_plausible(
    name: str,
    keypoints: Keypoints,
    size: tuple[int, int],
    masks: Bool[np.ndarray, "_people frames height width"] | None = None,
) -> None:
    """Say what is implausible about an input, as `find_faults` does.

    Args:
        name: What messages call the input.
        keypoints: As for `find_faults`.
        size: As for `find_faults`.
        masks: As for `find_faults`.

    Raises:
        UserError: Nothing can come of it.
    """
    for fault in find_faults(keypoints, size, masks):
        if fault.is_fatal:
            raise UserError(f"{name}: {fault.message}")
        warn(f"{name}: {fault.message}")


def _bones(xy: _Numbers) -> _Numbers:
    """Return estimates of the torso's length from every visible bone; NaN for others."""
    starts, ends = ([KEYPOINT_INDEX[pair[side]] for pair in LENGTHS] for side in (0, 1))
    lengths = np.linalg.norm(xy[..., starts, :] - xy[..., ends, :], axis=-1)
    return lengths / np.array(list(LENGTHS.values()))


def _median(values: _Numbers) -> _Numbers:
    """Return medians of the last axis without NaN; NaN where there is nothing else."""
    masked = np.ma.masked_invalid(values)
    return np.ma.filled(np.ma.median(masked, axis=-1), np.nan)


def _outside(xy: _Numbers, seen: np.ndarray, size: tuple[int, int]) -> Fault | None:
    height, width = size
    reach = np.array([width, height]) * (0.5 + _MARGIN)
    far = np.any(np.abs(xy - np.array([width - 1, height - 1]) / 2) > reach, axis=-1)
    share = float(far[seen].mean())
    if share <= _SOME:
        return None
    low, high = np.nanmin(xy, axis=(0, 1, 2)), np.nanmax(xy, axis=(0, 1, 2))
    message = (
        f"{share:.0%} of the keypoints lie outside the picture of {width}x{height} pixels (x from "
        f"{low[0]:.0f} to {high[0]:.0f}, y from {low[1]:.0f} to {high[1]:.0f}); they were probably "
        "made on a picture of another size: give those of this one"
    )
    return Fault("outside", message, is_fatal=share > _MANY)


def _tiny(torsos: _Numbers) -> Fault | None:
    if np.isnan(torsos).all():
        return None
    torso = float(np.nanmedian(torsos))
    if torso >= _LEAST_TORSO:
        return None
    message = (
        f"a person's torso is {torso:.1f} pixels long; the keypoints are probably not in pixels: "
        "give pixels, or a larger picture"
    )
    return Fault("tiny", message, is_fatal=torso < _LEAST_TORSO / 4)


def _proportions(xy: _Numbers, bones: _Numbers, torsos: _Numbers) -> Fault | None:
    with np.errstate(divide="ignore", invalid="ignore"):
        face = xy[..., list(FACE_POINTS), :]
        gaps = np.linalg.norm(face[..., :, None, :] - face[..., None, :, :], axis=-1)
        widest = _largest(gaps.reshape(*gaps.shape[:-2], -1)) / torsos
        longest = _largest(bones) / torsos
    # Single frames may be wrong, and a limb towards the camera looks longer than the rest.
    face_is_wide = _middle(widest) > _WIDEST_FACE
    if not face_is_wide and not _middle(longest) > _LONGEST_BONE:
        return None
    what = "the face is as wide as half a torso" if face_is_wide else "bones differ too much"
    message = (
        f"the people have no human proportions ({what}); the points are probably in another order "
        "than the file's kind has: export COCO-17, or name the points"
    )
    return Fault("proportions", message)


def _largest(values: _Numbers) -> _Numbers:
    return np.ma.filled(np.ma.max(np.ma.masked_invalid(values), axis=-1), np.nan)


def _middle(values: _Numbers) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else 0.0


def _jumps(xy: _Numbers, torsos: _Numbers) -> Fault | None:
    """Look for people who are far from anybody of the frame before."""
    centres = np.ma.filled(np.ma.median(np.ma.masked_invalid(xy), axis=2), np.nan)
    before, after = centres[:, :-1], centres[:, 1:]
    steps = np.linalg.norm(after[:, None] - before[None], axis=-1)
    nearest = np.ma.filled(np.ma.min(np.ma.masked_invalid(steps), axis=1), np.nan)
    jumped = (nearest > _JUMP * torsos[:, 1:]).any(axis=0)
    if not jumped.any():
        return None
    frames = np.flatnonzero(jumped) + 1
    listed = ", ".join(map(str, frames[:5])) + (", ..." if len(frames) > 5 else "")
    message = (
        f"somebody moves by a body's length or more between two frames, {len(frames)} times (to "
        f"frame {listed}); frames are in the wrong order or missing, or the video has cuts"
    )
    return Fault("jumps", message)


def _beside_masks(
    xy: _Numbers, torsos: _Numbers, masks: Bool[np.ndarray, "_people frames height width"]
) -> Fault | None:
    """Look whether masks contain the points, or the rest of the picture does."""
    inside, total, beside = 0, 0, 0
    for frame in np.unique(
        np.linspace(0, masks.shape[1] - 1, _MASKS_LOOKED_AT).round().astype(int)
    ):
        mask = np.asarray(masks[:, frame].any(axis=0), np.uint8)
        points = xy[:, frame].reshape(-1, 2)
        torso = torsos[:, frame]
        reach = int(_BEYOND * np.nanmax(torso)) if np.isfinite(torso).any() else 0
        window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
        x, y = np.rint(points[np.isfinite(points).all(axis=1)]).astype(int).T
        shown = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
        x, y = x[shown], y[shown]
        total += len(x)
        inside += int(np.asarray(cv2.dilate(mask, window))[y, x].sum())
        beside += int((mask[y, x] == 0).sum())
    covered = float(np.asarray(masks).any(axis=0).mean())
    # Points are rarer in inverted masks than anywhere, however near to the person these come.
    is_inverted = covered > _MANY and beside > _CONTAINED * total
    if total == 0 or (inside >= _CONTAINED * total and not is_inverted):
        return None
    what = "the masks are probably those of other pictures, or in another order"
    if is_inverted:
        what = "the masks are probably inverted: people have to be white"
    message = f"masks contain {1 - beside / total:.0%} of the keypoints; {what}"
    return Fault("masks", message, is_fatal=inside == 0)
