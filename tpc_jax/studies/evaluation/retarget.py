"""Move a motion onto the reference's person, in place of moving the reference: what others do.

After either, generated frames show the person where the reference has it, not where the motion
had it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import jax
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax._types import Keypoints
from tpc_jax.pose.densepose import BONE_PARTS, SEGMENTS
from tpc_jax.pose.filtering import DEFAULT_TAU
from tpc_jax.pose.reading import Motion
from tpc_jax.pose.skeletons import BONES, FACE_POINTS, MIRRORED, NUM_KEYPOINTS, TORSO_POINTS
from tpc_jax.pose.skeletons import KEYPOINT_INDEX as INDEX
from tpc_jax.procrustes.solve import solve_similarity

_SCALES = (0.1, 10.0)
# Longest lengths over the clip show limbs that point neither to nor from the camera.
_LONGEST = 0.9
# How far a limb's ratio may lie from the torso's before foreshortening is to blame.
_LIMB_RATIOS = (0.6, 1.6)
_NECK, _PELVIS = NUM_KEYPOINTS, NUM_KEYPOINTS + 1


class _Bone(NamedTuple):
    """A limb: its ends, and the DensePose parts that move with it."""

    parent: int
    child: int
    parts: tuple[int, ...] = ()


def _limbs(kind: str) -> tuple[_Bone, ...]:
    """Return the bones of both arms or both legs, those at the trunk first."""
    return tuple(
        _Bone(*ends, BONE_PARTS[name]) for name, ends in BONES.items() if name.endswith(kind)
    )


_LEGS, _ARMS = _limbs("leg"), _limbs("arm")
_NOSE, *_ = FACE_POINTS
# Parents before children.
_BONES = (
    _Bone(_PELVIS, _NECK),
    *(_Bone(_PELVIS, bone.parent) for bone in _LEGS[:2]),
    *(_Bone(_NECK, bone.parent) for bone in _ARMS[:2]),
    *_LEGS,
    _Bone(_NECK, _NOSE),
    *(_Bone(_NOSE, INDEX[f"{side}_eye"]) for side in ("left", "right")),
    *(_Bone(INDEX[f"{side}_eye"], INDEX[f"{side}_ear"]) for side in ("left", "right")),
    *_ARMS,
)
# What is painted over what: the parts, and the joints that they move with.
_LAYERS = (
    (SEGMENTS["torso"], TORSO_POINTS),
    *((bone.parts, (bone.parent, bone.child)) for bone in _LEGS),
    (SEGMENTS["head"], FACE_POINTS),
    *((bone.parts, (bone.parent, bone.child)) for bone in _ARMS),
)


def shift_and_scale(motion: Motion, reference: Keypoints) -> Motion:
    """Move the whole motion by one scale and shift for the clip, found from all frames.

    The scale is the slope of the reference's heights against the motion's, the shift joins the
    means; where people are turned so far that heights say nothing, the scale is the ratio of
    spreads.

    Args:
        motion: The motion of one person.
        reference: The reference's person `[1 17]`.

    Source:
        Own definition after MimicMotion's alignment of poses.
    """
    ref, drv, both = _common(motion.keypoints, reference)
    if both.sum() < 2:
        return motion
    pairs = np.broadcast_to(ref, drv.shape)[both], drv[both]
    centred = [points - points.mean(0) for points in pairs]
    heights = [points[:, 1] for points in centred]
    scale = (heights[0] @ heights[1]) / max(heights[1] @ heights[1], 1e-9)
    if not _SCALES[0] < scale < _SCALES[1]:
        scale = np.sqrt((centred[0] ** 2).sum() / max((centred[1] ** 2).sum(), 1e-9))
    offset = pairs[0].mean(0) - scale * pairs[1].mean(0)
    matrix = np.column_stack([scale * np.eye(2), offset])
    return _moved(motion, np.tile(matrix, (len(drv), 1, 1)))


def retarget_limbs(motion: Motion, reference: Keypoints) -> Motion:
    """Give the motion's person the reference's limb lengths, size and place.

    Every limb keeps its direction in every frame and takes the reference's length, relative to the
    motion's longest; lengths of left and right limbs are shared. The pelvis starts where the
    reference has it and moves as in the motion, at the scale of the torso.

    Args:
        motion: The motion of one person.
        reference: The reference's person `[1 17]`.

    Returns:
        The motion with new keypoints and, where it has part maps, with every limb's parts moved
        along.

    Source:
        Own definition after Wan-Animate's description of retargeting.
    """
    ref, drv, _ = _common(motion.keypoints, reference)
    seen = np.asarray(motion.keypoints.conf)[0] > DEFAULT_TAU
    known = np.asarray(reference.conf)[0] > DEFAULT_TAU
    ref, known = _with_middles(ref, known)
    drv, seen = _with_middles(drv, seen)
    if not (known[_PELVIS] and known[_NECK] and seen[:, [_PELVIS, _NECK]].all(1).any()):
        return shift_and_scale(motion, reference)
    ratios = _ratios(ref, known, drv, seen)
    new, is_placed = np.zeros_like(drv), np.zeros_like(seen)
    first = drv[np.argmax(seen[:, _PELVIS]), _PELVIS]
    new[:, _PELVIS] = ref[_PELVIS] + ratios[_PELVIS, _NECK] * (drv[:, _PELVIS] - first)
    is_placed[:, _PELVIS] = seen[:, _PELVIS]
    for bone in _BONES:
        step = drv[:, bone.child] - drv[:, bone.parent]
        new[:, bone.child] = new[:, bone.parent] + ratios[bone.parent, bone.child] * step
        is_placed[:, bone.child] = is_placed[:, bone.parent] & seen[:, bone.child]
    whole, *layers = _similarities(drv, new, is_placed)
    moved = _moved(motion, whole)
    conf = np.where(is_placed[:, :17], np.asarray(motion.keypoints.conf)[0], 0)
    keypoints = Keypoints(new[None, :, :17].astype(np.float32), conf[None].astype(np.float32))
    if motion.parts is None:
        return moved._replace(keypoints=keypoints, uv=None)
    columns = zip(motion.parts, *layers, strict=True)
    parts = np.stack([_move_parts(part_map, matrices) for part_map, *matrices in columns])
    masks = None if moved.masks is None else moved.masks | (parts > 0)
    return moved._replace(keypoints=keypoints, parts=parts, masks=masks, uv=None)


def _common(driving: Keypoints, reference: Keypoints):
    """Return both people's points, and which both show; the first person of each."""
    ref, drv = np.asarray(reference.xy, float)[0], np.asarray(driving.xy, float)[0]
    seen = np.asarray(driving.conf)[0] > DEFAULT_TAU
    return ref, drv, seen & (np.asarray(reference.conf)[0] > DEFAULT_TAU)


def _with_middles(
    xy: Float[np.ndarray, "*batch 17 2"], seen: Bool[np.ndarray, "*batch 17"]
) -> tuple[np.ndarray, np.ndarray]:
    """Append the neck and the pelvis."""
    pairs = [[INDEX[f"{side}_{joint}"] for side in ("left", "right")] for joint in
             ("shoulder", "hip")]  # fmt: skip
    middles = np.stack([xy[..., pair, :].mean(-2) for pair in pairs], -2)
    are_seen = np.stack([seen[..., pair].all(-1) for pair in pairs], -1)
    return np.concatenate([xy, middles], -2), np.concatenate([seen, are_seen], -1)


def _ratios(ref, known, drv, seen) -> dict[tuple[int, int], float]:
    """Return every bone's length in the reference relative to the motion."""
    own = {(b.parent, b.child): _ratio(b, ref, known, drv, seen) for b in _BONES}
    torso = own[_PELVIS, _NECK] or 1.0
    ratios = {}
    for bone in _BONES:
        ends = bone.parent, bone.child
        # The longer of two arms in the reference is the less foreshortened one.
        other = (MIRRORED[bone.parent], MIRRORED[bone.child]) if bone.parts else ends
        both = [v for v in (own[ends], own[other]) if v is not None]
        ratio = max(both) if both else torso
        ratios[ends] = float(np.clip(ratio, _LIMB_RATIOS[0] * torso, _LIMB_RATIOS[1] * torso))
    return ratios


def _ratio(bone: _Bone, ref, known, drv, seen) -> float | None:
    ends = [bone.parent, bone.child]
    frames = seen[:, ends].all(1)
    if not (known[ends].all() and frames.any()):
        return None
    lengths = np.linalg.norm(drv[frames, bone.child] - drv[frames, bone.parent], axis=1)
    longest = np.quantile(lengths, _LONGEST)
    return float(np.linalg.norm(ref[bone.child] - ref[bone.parent]) / max(longest, 1e-6))


def _similarities(
    old: Float[np.ndarray, "frames points 2"],
    new: Float[np.ndarray, "frames points 2"],
    is_placed: Bool[np.ndarray, "frames points"],
) -> Float[np.ndarray, "layers frames 2 3"]:
    """Fit scale, turn and shift to all points, then to those of each layer.

    Layers with fewer than two points move as the whole does.
    """
    members = np.ones((len(_LAYERS) + 1, is_placed.shape[1]), bool)
    for row, (_, points) in zip(members[1:], _LAYERS, strict=True):
        row[:] = np.isin(np.arange(len(row)), points)
    use = members[:, None] & is_placed
    fit = _jit_solve(old, new, use.astype(float)).drv_from_ref
    matrices = np.concatenate([fit.linear, fit.offset[..., None]], axis=-1)
    return np.where((use.sum(-1) < 2)[..., None, None], matrices[:1], matrices)


_by_frame = jax.vmap(solve_similarity)
_jit_solve = jax.jit(jax.vmap(_by_frame, in_axes=(None, None, 0)))


def _moved(motion: Motion, matrices: Float[np.ndarray, "frames 2 3"]) -> Motion:
    """Apply one transform per frame to everything but the video itself."""
    linear, offset = matrices[:, None, :, :2], matrices[:, None, :, 2]
    xy = (linear @ np.asarray(motion.keypoints.xy, float)[..., None])[..., 0] + offset
    keypoints = Keypoints(xy.astype(np.float32), np.asarray(motion.keypoints.conf))
    parts, masks = motion.parts, motion.masks
    if parts is not None:
        parts = np.stack([_nearest(p, m) for p, m in zip(parts, matrices, strict=True)])
    if masks is not None:
        masks = np.stack(
            [
                [
                    _nearest(mask.astype(np.uint8), m) > 0
                    for mask, m in zip(own, matrices, strict=True)
                ]
                for own in masks
            ]
        )
    # Coordinates stay on the body, but where they would come to lie is not worked out.
    return motion._replace(keypoints=keypoints, parts=parts, masks=masks, uv=None)


def _nearest(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_NEAREST)


def _move_parts(
    parts: UInt8[np.ndarray, "height width"], matrices: Sequence[Float[np.ndarray, "2 3"]]
) -> UInt8[np.ndarray, "height width"]:
    """Paint torso, legs, head and arms, each moved with its own joints."""
    out = np.zeros_like(parts)
    for (ids, _), matrix in zip(_LAYERS, matrices, strict=True):
        layer = _nearest(np.where(np.isin(parts, ids), parts, 0).astype(np.uint8), matrix)
        out = np.where(layer > 0, layer, out)
    return out
