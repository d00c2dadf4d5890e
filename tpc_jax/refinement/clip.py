"""The calibration of a clip, judged and refined by what is known of both bodies."""

import enum
from collections.abc import Iterable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from tpc_jax._types import Keypoints, SolveStatus, Transform2D
from tpc_jax.calibration import Calibration, bridge_on_host, residual_of
from tpc_jax.io.images import letterbox_placement
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.refinement.bodies import Source, segments_in
from tpc_jax.refinement.energy import DEFAULT_WEIGHTS, MASKED_WEIGHTS
from tpc_jax.refinement.hypotheses import middle_fit, mirrored_fit
from tpc_jax.refinement.refine import Refined, refine

# A body that is seen counts for something where segments do not agree at all.
_LEAST_CERTAINTY = 1e-3


class Choice(enum.IntEnum):
    """Where the transform of a frame comes from.

    NEIGHBOURS: the median motion of the frames around it. KEYPOINTS: the fit to the keypoints.
    MIRRORED: that with left and right exchanged. MIDDLES: the middles of pairs. PLACE: where the
    untouched reference lies, moved to what fits better nearby. UNTOUCHED: the reference as it is.
    """

    NEIGHBOURS = -1
    KEYPOINTS = 0
    MIRRORED = 1
    MIDDLES = 2
    PLACE = 3
    UNTOUCHED = 4


class Judgement(NamedTuple):
    """What was chosen and why: shares of both bodies on which segments agree.

    Attributes:
        choice: The `Choice` of every frame.
        agreement: Share under the transform that is used.
        own: Share under the fit to the keypoints.
        untouched: Share where the reference is only put onto the canvas.
    """

    choice: Int[np.ndarray, "people frames"]
    agreement: Float[np.ndarray, "people frames"]
    own: Float[np.ndarray, "people frames"]
    untouched: Float[np.ndarray, "people frames"]


def refine_clip(
    reference: Reference, motion: Motion, calibration: Calibration, smooth_sigma: float = 0.0
) -> tuple[Calibration, Judgement]:
    """Refine the similarities of a clip, and leave the reference untouched where that is better.

    Bodies are compared by their segments: those of both part maps where both are known, otherwise
    those drawn from the keypoints of both.

    Args:
        reference: The still.
        motion: The motion with the reference's people, in their order.
        calibration: The fits to the keypoints.
        smooth_sigma: As for `calibrate`.

    Returns:
        The calibration with the transforms to use, and how they came about. Frames that show
        nobody take their transform from their neighbours; where there are none, the reference is
        untouched.
    """
    still = _untouched(reference, motion)
    sides = (reference.keypoints, motion.keypoints)
    sizes = {
        "reference_size": reference.image.shape[1::-1],
        "driving_size": motion.frames.shape[2:0:-1],
    }
    fits = [calibration.drv_from_ref, mirrored_fit(*sides, **sizes), middle_fit(*sides, **sizes)]
    people: list[Refined] = []
    for person in range(len(reference.keypoints.conf)):
        candidates = [Transform2D(*(np.asarray(x)[person] for x in fit)) for fit in fits] + [still]
        own_is_ok = np.asarray(calibration.status)[person] == SolveStatus.OK.value
        candidates[0] = _where(own_is_ok, candidates[0], still)
        still_body, bodies = _sources(reference, motion, person)
        weights = DEFAULT_WEIGHTS if still_body.mask is None else MASKED_WEIGHTS
        found = refine(still_body, bodies, candidates, int(Choice.PLACE), weights)
        people.append(found or _unknown(candidates))
    is_known = np.stack([person.is_known for person in people])
    agreement = np.stack([person.agreement for person in people])
    every = (person.drv_from_ref for person in people)
    drv_from_ref = bridge_on_host(
        reference.keypoints,
        Transform2D(*(np.stack(x) for x in zip(*every, strict=True))),
        is_known * (agreement + _LEAST_CERTAINTY),
        smooth_sigma,
    )
    is_anywhere = np.any(is_known, axis=-1)
    drv_from_ref = _where(is_anywhere[:, None], drv_from_ref, still)
    weight = np.asarray(calibration.subset, np.float32)
    calibration = calibration._replace(
        drv_from_ref=drv_from_ref,
        residual=np.asarray(
            residual_of(
                drv_from_ref,
                *(jnp.asarray(x) for x in (reference.keypoints.xy, motion.keypoints.xy, weight)),
            )
        ),
        is_filled=~is_known,
    )
    own, untouched = (
        np.stack([person.before[choice] for person in people])
        for choice in (Choice.KEYPOINTS, Choice.PLACE)
    )
    choice = np.stack([person.choice for person in people])
    return calibration, Judgement(choice, agreement, own, untouched)


def _untouched(reference: Reference, motion: Motion) -> Transform2D:
    """Return what puts the reference onto every frame as it is."""
    count, *size = motion.frames.shape[:3]
    placement = letterbox_placement(reference.image.shape[:2], *size)
    linear = np.tile(np.diag(placement.scale).astype(np.float32), (count, 1, 1))
    offset = np.tile(placement.apply(np.zeros(2)).astype(np.float32), (count, 1))
    return Transform2D(linear, offset)


def _sources(reference: Reference, motion: Motion, person: int) -> tuple[Source, Iterable[Source]]:
    """Return what is known of a person's body on both sides."""
    ref_size, drv_size = reference.image.shape[:2], motion.frames.shape[1:3]
    sides = (reference.keypoints, motion.keypoints)
    still, moving = (Keypoints(*(np.asarray(x)[person] for x in keypoints)) for keypoints in sides)
    # Drawn bodies differ from those of part maps, so like is compared with like.
    if reference.parts is None or motion.parts is None or motion.masks is None:
        ref_mask, drv_masks = None, [None] * len(motion.frames)
        # Masks of skeletons are drawn themselves.
        if motion.masks is not None and motion.kind != "openpose":
            ref_mask, drv_masks = reference.masks[person], motion.masks[person]
        drawn = (
            Source(moving.select(frame), drv_size, mask=mask)
            for frame, mask in enumerate(drv_masks)
        )
        return Source(still, ref_size, mask=ref_mask), drawn
    # One frame at a time: a clip's segments are as large as the clip.
    mapped = (
        Source(moving.select(frame), drv_size, segments_in(parts, motion.masks[person, frame]))
        for frame, parts in enumerate(motion.parts)
    )
    segments = segments_in(reference.parts, reference.masks[person])
    return Source(still, ref_size, segments), mapped


def _unknown(candidates: list[Transform2D]) -> Refined:
    """Return the result for a person of whose body the reference shows nothing."""
    count = len(candidates[0].linear)
    return Refined(
        candidates[Choice.PLACE],
        np.zeros(count, bool),
        np.full(count, int(Choice.UNTOUCHED)),
        np.zeros(count),
        np.zeros((len(candidates), count)),
    )


def _where(mask: np.ndarray, one: Transform2D, other: Transform2D) -> Transform2D:
    return Transform2D(
        np.where(mask[..., None, None], one.linear, other.linear),
        np.where(mask[..., None], one.offset, other.offset),
    )
