"""COCO-17 keypoints from rendered OpenPose skeletons.

Joints are read from their discs. A disc counts only where a limb of that joint arrives, because
hands reuse the colours; joints whose disc is hidden (by a hand, by the face) are read from the ends
of their limbs. Discs belong to one person when the limb between them is painted.
"""

import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError, warn
from tpc_jax.pose.adapters import to_coco
from tpc_jax.pose.openpose import (
    FACE_JOINTS,
    LIMBS,
    NECK,
    NUM_JOINTS,
    is_skeleton,
)
from tpc_jax.pose.openpose_check import explained_share, is_openpose_25
from tpc_jax.pose.openpose_discs import are_strokes, find_discs, measure_limbs, measure_radius
from tpc_jax.pose.openpose_fit import fit_face
from tpc_jax.pose.openpose_hidden import (
    Face,
    find_face,
    find_partial_discs,
    infer_hidden,
)
from tpc_jax.pose.openpose_pixels import LIMB, Drawing, Person, Style, classify_frame, is_painted

# Of what is drawn as limbs at least this share must be explained, in a clip and in every frame; one
# style must explain so much more than another to be preferred, and with so much none is better.
_LEAST_EXPLAINED, _MARGIN, _SURE, _SAMPLE_FRAMES = (0.9, 0.75), 0.01, 0.97, 3
# Confidence of a joint with a disc, with a piece of one, and read from the ends of limbs alone.
_SEEN, _PARTIAL, _INFERRED = 0.9, 0.7, 0.5
_LEFT_KNEE = 12
# A limb runs between two discs if this share of the way is painted, in its own colour or hidden.
_PAINTED, _OWN_COLOUR = 0.85, 0.25


# What is said of photographs, of which others are told by their looks.
NOT_PURE = ("it is black", "it is not drawn in pure colours on black")


def decode_skeleton(
    frames: UInt8[np.ndarray, "frames height width 3"],
    name: str = "the video",
    style: Style | None = None,
) -> Keypoints:
    """Read the joints of every person in a skeleton rendering.

    Args:
        frames: RGB rendering in OpenPose colours on black.
        name: What messages call the input.
        style: How it is drawn; found out by default.

    Returns:
        NumPy COCO-17 keypoints `[people frames 17]` in pixels, people from left to right, padded
        with zero confidence. Confidence is 0.9 where the disc shows, 0.5 where the joint was
        inferred from its limbs, 0 where it is missing.

    Raises:
        UserError: If the frames are no skeleton rendering, or nothing in them can be read.

    Source:
        Own derivation from the drawing styles of the DWPose annotator and of OpenPose.
    """
    found = find_style(frames) if style is None else style
    if isinstance(found, str):
        raise UserError(
            f"{name}: is not an OpenPose skeleton drawn on black ({found}); give one, or the RGB "
            "video with a keypoint file"
        )
    if found.is_swapped:
        warn(f"{name}: red and blue of the skeletons are exchanged; put back")
    if found.is_blended and found.factor > 1:
        warn(
            f"{name}: limbs are blended over joints with strokes so thin that some joints may be "
            "several pixels off; draw the skeletons larger, or give their keypoints"
        )
    people = [_read_frame(frame, found) for frame in frames]
    unread = [index for index, found in enumerate(people) if found is None]
    if unread:
        warn(
            f"{name}: {len(unread)} of {len(frames)} frames are painted but show no skeleton that "
            f"can be read (the first is {unread[0]}); nobody is seen there"
        )
    read = {index: found for index, found in enumerate(people) if found is not None}
    most = max([1, *(len(found) for found in read.values())])
    points = np.zeros((most, len(frames), NUM_JOINTS, 3))
    for index, found in read.items():
        points[: len(found), index] = found
    return to_coco(points, "openpose-18")


def find_style(frames: UInt8[np.ndarray, "frames height width 3"]) -> Style | str:
    """Find out how skeletons are drawn: the size of their strokes, and which way explains most.

    Args:
        frames: RGB frames.

    Returns:
        The style, or why they are no skeletons.
    """
    painted = np.flatnonzero([is_painted(frame[::2, ::2]).any() for frame in frames])
    if not len(painted):
        return NOT_PURE[0]
    chosen = painted[np.linspace(0, len(painted) - 1, _SAMPLE_FRAMES).astype(int)]
    sample = frames[np.unique(chosen)]
    if not is_skeleton(sample):
        return NOT_PURE[1]
    measured = measure_radius(sample)
    if measured is not None and are_strokes(sample, measured):
        style, share = _best_style(sample, measure_limbs(sample, measured))
        if share >= _LEAST_EXPLAINED[0]:
            return style
        seen = (
            f"only {share:.0%} of its limbs run in their own colours between joints; where strokes "
            "are small or blurred, draw them larger"
        )
    else:
        seen = "it shows no discs of joints" if measured is None else "it shows areas, not strokes"
    if is_openpose_25(sample):
        return "its colours are those of OpenPose's own BODY_25; give its JSON files"
    return seen


def _best_style(
    sample: UInt8[np.ndarray, "frames height width 3"], measured: Style
) -> tuple[Style, float]:
    """Return the style that explains most of what is drawn by most joints, and how much that is."""
    best, share, score = measured, 0.0, 0.0
    for is_blended in (False, True):
        orders = (best.is_swapped,) if is_blended else (False, True)
        for is_swapped in orders:
            style = measured._replace(is_swapped=is_swapped, is_blended=is_blended)
            tried = [_try(frame, style) for frame in sample]
            explained = float(np.median([found for found, _ in tried]))
            found = explained * sum(seen for _, seen in tried)
            if found > (1 + _MARGIN) * score:
                best, share, score = style, explained, found
            if share >= _SURE:
                return best, share
    return best, share


def _try(frame: UInt8[np.ndarray, "height width 3"], style: Style) -> tuple[float, float]:
    """Return the explained share of a frame, and the summed confidence of its joints."""
    drawing = classify_frame(frame, style)
    if drawing is None:
        return 0.0, 0.0
    points = _decode(drawing)
    return explained_share(drawing, points), float(points[..., 2].sum())


def _read_frame(
    frame: UInt8[np.ndarray, "height width 3"], style: Style
) -> Float[np.ndarray, "people joints 3"] | None:
    """Return the people of a frame, or nothing where something else is drawn."""
    drawing = classify_frame(frame, style)
    if drawing is None:
        return np.zeros((0, NUM_JOINTS, 3))
    points = _decode(drawing)
    return points if explained_share(drawing, points) >= _LEAST_EXPLAINED[1] else None


def _decode(drawing: Drawing) -> Float[np.ndarray, "people joints 3"]:
    people = _assemble(drawing, find_discs(drawing))
    necks = _blended_necks(drawing, people)
    whole = [person | neck for person, neck in zip(people, necks, strict=True)]
    faces = [find_face(drawing, whole, index) for index in range(len(people))]
    partial = [
        find_partial_discs(drawing, person, face)
        for person, face in zip(people, faces, strict=True)
    ]
    partial = [found | neck for found, neck in zip(partial, necks, strict=True)]
    known = [person | found for person, found in zip(people, partial, strict=True)]
    points = np.zeros((len(people), NUM_JOINTS, 3))
    for index, person in enumerate(people):
        inferred = infer_hidden(drawing, known, index, faces[index])
        everything = known[index] | inferred
        for conf, joints in ((_INFERRED, inferred), (_PARTIAL, partial[index]), (_SEEN, person)):
            for joint, xy in joints.items():
                if conf == _SEEN or _is_supported(drawing, everything, joint, faces[index]):
                    points[index, joint] = (*xy, conf)
        if drawing.style.is_blended:
            points[index] = fit_face(drawing, points[index])
    points[..., :2] = drawing.to_frame(points[..., :2])
    return points * (points[..., 2:] > 0)


def _blended_necks(drawing: Drawing, people: list[Person]) -> list[Person]:
    """Infer the necks that five limbs cover where limbs are blended over joints."""
    if not drawing.style.is_blended:
        return [{} for _ in people]
    inferred = [infer_hidden(drawing, people, index, None) for index in range(len(people))]
    return [{NECK: found[NECK]} if NECK in found else {} for found in inferred]


def _is_supported(drawing: Drawing, person: Person, joint: int, face: Face | None) -> bool:
    """Tell whether a limb arrives at a joint whose disc is not seen; faces hide theirs."""
    if joint in FACE_JOINTS and face is not None and face.white is not None:
        return True
    return any(
        _limb_score(drawing, limb, person[start], person[end]) > 0
        for limb, (start, end) in enumerate(LIMBS)
        if joint in (start, end) and start in person and end in person
    )


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
    bodies = [body for body in _without_ghosts(drawing, bodies) if len(body) > 2]
    return sorted(bodies, key=lambda body: np.mean([xy[0] for xy in body.values()]))


def _without_ghosts(drawing: Drawing, bodies: list[Person]) -> list[Person]:
    """Drop bodies most of whose joints lie on joints of larger ones: mixtures of their colours."""
    kept: list[Person] = []
    for body in sorted(bodies, key=len, reverse=True):
        joints = np.array([xy for one in kept for xy in one.values()]).reshape(-1, 2)
        near = [
            (np.linalg.norm(joints - xy, axis=1) <= 2 * drawing.radius).any()
            for xy in body.values()
        ]
        if 2 * sum(near) < len(body):
            kept.append(body)
    return kept


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
    height, width = drawing.classes.shape
    x, y = np.rint(start + share * (end - start)).astype(int).T
    x, y = x.clip(0, width - 1), y.clip(0, height - 1)
    if drawing.painted[y, x].mean() < _PAINTED:
        return 0.0
    own = float((drawing.classes[y, x] == LIMB + limb).mean())
    least = _OWN_COLOUR
    if length <= 4 * drawing.radius:  # mostly under the discs; in a face, all of it
        least = 0.0 if set(LIMBS[limb]) <= set(FACE_JOINTS) else _OWN_COLOUR / 2
    return max(own, 0.1) ** 2 * length if own >= least else 0.0
