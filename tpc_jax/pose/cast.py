"""The people of a motion who move the reference, alone in it."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.pose.densepose import PALETTE, is_densepose
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.matching import Cast, match_people, reorder, select_people
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.pose.skeletons import LIMBS


def choose_people(
    reference: Reference, motion: Motion, person: Sequence[int] | None = None
) -> Motion:
    """Leave in a motion the people who move the reference's, in the order of the reference.

    `pose.matching.match_people` decides once, here; calibration, pose pictures and reports all see
    the motion that is left. Whoever is not chosen is erased from part maps, coordinates and
    renderings, with all that lies nearer to them than to the chosen; ordinary pictures stay.

    Args:
        reference: The still.
        motion: The motion.
        person: Numbers of the motion's people, one per person of the reference in its order,
            counted from 0, from left to right by where each is first seen; chosen by prominence if
            left out.

    Returns:
        The motion with `cast`. As it was where that is there already; and without a cast, and with
        everybody, where a side has no visible keypoints. To name people takes those of the motion.

    Raises:
        UserError: Somebody is named who is not there or twice, or too few or too many.
        ValueError: People are named for a motion that has its cast already, or it has the cast of
            another reference.
    """
    num_people = len(reference.keypoints.conf)
    if motion.cast is not None:
        if person is None and num_people in (0, len(motion.cast.person)):
            return motion
        raise ValueError(
            f"people were chosen before, for a reference of {len(motion.cast.person)}; choose from "
            "what read_motion returned"
        )
    if person is None and 0 in (num_people, len(motion.keypoints.conf)):
        return motion
    cast = match_people(
        reference.keypoints,
        motion.keypoints,
        person=person,
        reference_size=reference.image.shape[1::-1],
        driving_size=motion.frames.shape[2:0:-1],
        tracks=_rows(motion.keypoints) if motion.is_followed else None,
    )
    if (cast.person < 0).all():
        return motion
    if len(cast.left_out):
        motion = _without(motion, cast)
    people = motion.people
    if people is not None:
        people = people._replace(
            **{name: select_people(part, cast.order) for name, part in people._asdict().items()}
        )
    masks = None if motion.masks is None else reorder(motion.masks, cast.order)
    keypoints = select_people(motion.keypoints, cast.order)
    return motion._replace(keypoints=keypoints, masks=masks, people=people, cast=cast)


def _rows(keypoints: Keypoints) -> Int[np.ndarray, "tracks frames"]:
    """Return the tracks of people who keep their rows."""
    conf = np.asarray(keypoints.conf)
    tracks = np.where(np.any(conf > DEFAULT_TAU, axis=-1), np.arange(len(conf))[:, None], -1)
    return tracks[np.any(tracks >= 0, axis=1)]


def _without(motion: Motion, cast: Cast) -> Motion:
    """Erase those who are left out from everything that is drawn from people."""
    some = motion.frames[:: max(1, len(motion.frames) // 8)]
    backgrounds = {"parts": 0, "uv": 0}
    if motion.kind == "openpose":
        backgrounds["frames"] = 0
    elif motion.parts is not None and is_densepose(some):
        backgrounds["frames"] = PALETTE[0]
    pictures = {
        name: (getattr(motion, name).copy(), background)
        for name, background in backgrounds.items()
        if getattr(motion, name) is not None
    }
    left_out = cast.tracks[cast.left_out]
    seen = np.flatnonzero((left_out >= 0).any(axis=0)) if pictures else np.zeros(0, int)
    for frame in seen.tolist():
        others, chosen = (_distance(motion, who[:, frame], frame) for who in (left_out, cast.order))
        for values, background in pictures.values():
            values[frame][others < chosen] = background
    return motion._replace(**{name: values for name, (values, _) in pictures.items()})


def _distance(
    motion: Motion, people: Int[np.ndarray, " people"], frame: int
) -> Float[np.ndarray, "height width"]:
    """Return every pixel's distance from the nearest of some people of a frame."""
    outside = np.ones(motion.frames.shape[1:3], np.uint8)
    for person in people[people >= 0]:
        # Masks of skeletons are fatter than what is drawn, and more often overlap.
        if motion.masks is None or motion.kind == "openpose":
            _draw_limbs(outside, motion.keypoints.select((person, frame)))
        else:
            outside[motion.masks[person, frame]] = 0
    if outside.all():
        return np.full(outside.shape, np.inf)
    return cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _draw_limbs(outside: UInt8[np.ndarray, "height width"], keypoints: Keypoints) -> None:
    xy = np.asarray(keypoints.xy)
    is_seen = (np.asarray(keypoints.conf) > 0) & np.isfinite(xy).all(axis=-1)
    pixels = np.rint(np.where(is_seen[:, None], xy, 0)).astype(int)
    for start, end in (*LIMBS, *((joint, joint) for joint in np.flatnonzero(is_seen))):
        if is_seen[start] and is_seen[end]:
            cv2.line(outside, pixels[start].tolist(), pixels[end].tolist(), 0)
