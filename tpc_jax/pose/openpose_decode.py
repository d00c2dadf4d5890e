"""COCO-17 keypoints from rendered OpenPose skeletons.

Joints are read from their discs. A disc counts only where a limb of that joint arrives, because
hands reuse the colours; joints whose disc is hidden (by a hand, by the face) are read from the ends
of their limbs. Discs belong to one person when the limb between them is painted.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError
from tpc_jax.pose.adapters import to_coco
from tpc_jax.pose.openpose import (
    LIMBS,
    NECK,
    NUM_JOINTS,
    is_skeleton,
)
from tpc_jax.pose.openpose_hidden import (
    FACE_JOINTS,
    find_face,
    find_partial_discs,
    infer_hidden,
)
from tpc_jax.pose.openpose_pixels import LIMB, Drawing, Person, classify_frame

# Confidence of a joint with a disc, with a piece of one, and read from the ends of limbs alone.
_SEEN, _PARTIAL, _INFERRED = 0.9, 0.7, 0.5
_LEFT_KNEE = 12
# A disc shows at least this share of its area, and at most so many times it.
_DISC_SHARE, _DISC_EXCESS = 0.2, 1.6
# A limb runs between two discs if this share of the way is painted, in its own colour or hidden.
_PAINTED, _OWN_COLOUR = 0.85, 0.25


def decode_skeleton(
    frames: UInt8[np.ndarray, "frames height width 3"], name: str = "the video"
) -> Keypoints:
    """Read the joints of every person in a skeleton rendering.

    Args:
        frames: RGB rendering in OpenPose colours on black.
        name: What the error message calls the input.

    Returns:
        NumPy COCO-17 keypoints `[people frames 17]` in pixels, people from left to right, padded
        with zero confidence. Confidence is 0.9 where the disc shows, 0.5 where the joint was
        inferred from its limbs, 0 where it is missing.

    Raises:
        UserError: If the frames are no skeleton rendering.

    Source:
        Own derivation from the drawing style of the DWPose annotator.
    """
    if not is_skeleton(frames[:: max(1, len(frames) // 8)]):
        raise UserError(
            f"{name}: is not an OpenPose skeleton drawn on black; give one, or the RGB video "
            "with a keypoint file"
        )
    people = [_decode_frame(frame) for frame in frames]
    points = np.zeros((max(1, *map(len, people)), len(frames), NUM_JOINTS, 3))
    for index, found in enumerate(people):
        points[: len(found), index] = found
    return to_coco(points, "openpose-18")


def _decode_frame(
    frame: UInt8[np.ndarray, "height width 3"],
) -> Float[np.ndarray, "people joints 3"]:
    drawing = classify_frame(frame)
    if drawing is None:
        return np.zeros((0, NUM_JOINTS, 3))
    people = _assemble(drawing, _find_discs(drawing))
    faces = [find_face(drawing, people, index) for index in range(len(people))]
    partial = [
        find_partial_discs(drawing, person, face)
        for person, face in zip(people, faces, strict=True)
    ]
    known = [person | found for person, found in zip(people, partial, strict=True)]
    points = np.zeros((len(people), NUM_JOINTS, 3))
    for index, person in enumerate(people):
        inferred = infer_hidden(drawing, known, index, faces[index])
        for conf, joints in ((_INFERRED, inferred), (_PARTIAL, partial[index]), (_SEEN, person)):
            for joint, xy in joints.items():
                points[index, joint] = (*drawing.to_frame(xy), conf)
    return points


def _find_discs(drawing: Drawing) -> list[tuple[int, Float[np.ndarray, " 2"]]]:
    """Return (joint, position) of every disc."""
    # Cores of different classes do not touch, so they can be told apart in one go.
    mask = (drawing.cores < NUM_JOINTS).astype(np.uint8)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(mask, connectivity=4)
    joint_of_label = np.zeros(count, np.uint8)
    joint_of_label[np.asarray(labels, np.int32)[mask > 0]] = drawing.cores[mask > 0]
    whole = np.pi * max(drawing.radius - 0.5, 1) ** 2
    discs = []
    for label in range(1, count):
        joint, area = int(joint_of_label[label]), stats[label, cv2.CC_STAT_AREA]
        if not _DISC_SHARE * whole <= area <= _DISC_EXCESS * whole:
            continue
        # Every point of a hand is a disc of this colour.
        if joint != _LEFT_KNEE or _limb_arrives(drawing, centres[label], joint):
            discs.append((joint, np.asarray(centres[label])))
    return discs


def _limb_arrives(drawing: Drawing, disc: Float[np.ndarray, " 2"], joint: int) -> bool:
    reach = drawing.radius + 3
    x, y = np.rint(disc).astype(int)
    near = drawing.classes[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1]
    limbs = [LIMB + limb for limb, ends in enumerate(LIMBS) if joint in ends]
    return bool(np.isin(near, limbs).sum() >= drawing.radius)


def _assemble(drawing: Drawing, discs: list[tuple[int, Float[np.ndarray, " 2"]]]) -> list[Person]:
    """Group discs into people, from left to right."""
    groups: list[Person] = [{joint: xy} for joint, xy in discs]
    for limb, (start, end) in enumerate(LIMBS):
        pairs = [
            (_limb_score(drawing, limb, one[start], other[end]), i, j)
            for i, one in enumerate(groups)
            for j, other in enumerate(groups)
            if start in one and end in other and i != j
        ]
        merged: set[int] = set()
        for score, i, j in sorted(pairs, reverse=True):
            if score > 0 and not {i, j} & merged and not groups[i].keys() & groups[j].keys():
                groups[i] |= groups[j]
                merged |= {i, j}
                groups[j] = {}
        groups = [group for group in groups if group]
    # Hands are full of face colours, and of the left knee's; what is left of a face that is not
    # in one piece is looked at later.
    doubtful = {*FACE_JOINTS, _LEFT_KNEE}
    groups = [group for group in groups if len(group) > 3 or not group.keys() <= doubtful]
    # What hidden joints cut off goes to the nearest body that lacks it.
    bodies: list[Person] = []
    for group in sorted(groups, key=lambda group: (NECK in group, len(group)), reverse=True):
        takers = [body for body in bodies if not body.keys() & group.keys()]
        if NECK in group or not takers:
            bodies.append(group)
        else:
            min(takers, key=lambda body: _gap(body, group)).update(group)
    bodies = [body for body in bodies if len(body) > 2]
    return sorted(bodies, key=lambda body: np.mean([xy[0] for xy in body.values()]))


def _gap(one: Person, other: Person) -> float:
    return min(float(np.linalg.norm(a - b)) for a in one.values() for b in other.values())


def _limb_score(
    drawing: Drawing, limb: int, start: Float[np.ndarray, " 2"], end: Float[np.ndarray, " 2"]
) -> float:
    """Score the limb between two discs: its length times its squared share of own colour.

    So a hand's disc in the middle of a limb loses against the joint at its end, and a disc beyond
    the joint loses against the joint. 0 if the discs are not joined.
    """
    length = float(np.linalg.norm(end - start))
    # Between the discs, or, where they overlap, through their middles.
    margin = drawing.radius / length if length > 4 * drawing.radius else 0.0
    share = np.linspace(margin, 1 - margin, max(int(length), 2))[:, None]
    x, y = np.rint(start + share * (end - start)).astype(int).T
    if drawing.painted[y, x].mean() < _PAINTED:
        return 0.0
    own = float((drawing.classes[y, x] == LIMB + limb).mean())
    least = _OWN_COLOUR
    if length <= 4 * drawing.radius:  # mostly under the discs; in a face, all of it
        least = 0.0 if set(LIMBS[limb]) <= set(FACE_JOINTS) else _OWN_COLOUR / 2
    return max(own, 0.1) ** 2 * length if own >= least else 0.0
