"""The picture of an inspection: where points of a frame look, without and with calibration."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax.animation import canvas_clip, read_still
from tpc_jax.animators.inspect import attention_maps
from tpc_jax.animators.load import Model
from tpc_jax.animators.plan import Plan, plan_run
from tpc_jax.animators.reading import CanvasClip
from tpc_jax.calibrated_clip import CalibratedClip
from tpc_jax.conditioning.composite import paste
from tpc_jax.errors import UserError
from tpc_jax.io.images import from_uint8, to_uint8, write_image
from tpc_jax.options import Options
from tpc_jax.pose.skeletons import KEYPOINT_INDEX
from tpc_jax.procrustes.transform import apply

# Attention counts as being at a body part within this share of the canvas's short side.
_NEAR = 0.1
_MARK, _MATCH = (255, 255, 255), (0, 255, 0)
_LEAST_SIDE, _HEADER = 224, 24


class Look(NamedTuple):
    """What the points of one frame attend to in one picture that it reads.

    Attributes:
        name: Which picture it is.
        picture: The picture on the canvas.
        maps: Density of attention of each point, as `attention_maps` returns it.
        matched: Where the body part of each point is in the picture.
    """

    name: str
    picture: UInt8[np.ndarray, "height width 3"]
    maps: Float[np.ndarray, "points height width"]
    matched: Float[np.ndarray, "points 2"]


class Inspection(NamedTuple):
    """Both runs, for the points of one frame.

    Attributes:
        keypoints: Names of the points.
        target: The driving frame on the canvas.
        points: Where the points are in it.
        without_tpc: The reference, read by the run without calibration.
        with_tpc: All pictures read by the run with calibration.
    """

    keypoints: tuple[str, ...]
    target: UInt8[np.ndarray, "height width 3"]
    points: Float[np.ndarray, "points 2"]
    without_tpc: Look
    with_tpc: tuple[Look, ...]


def inspect_attention(
    model: Model,
    calibrated: CalibratedClip,
    options: Options,
    *,
    keypoints: Sequence[str],
    frame: int,
    step: int,
) -> Inspection:
    """Follow body parts of the first person of one frame into the pictures that are read.

    Args:
        model: A model that reads its reference by self-attention.
        calibrated: A reference and a motion, calibrated.
        options: Denoising options of the run with calibration; each frame reads its own calibrated
            picture.
        keypoints: COCO names of the body parts.
        frame: The frame that looks.
        step: The denoising step at which it looks, from 0.

    Raises:
        UserError: There is no such frame, step or keypoint, or a keypoint is not in sight.
    """
    options = dataclasses.replace(options, group_size=1)
    plan = plan_run(model.animator, calibrated.num_frames, options)
    if not 0 <= frame < calibrated.num_frames or not 0 <= step < plan.num_steps:
        raise UserError(
            f"frame {frame} of step {step} was asked for; there are {calibrated.num_frames} frames "
            f"and {plan.num_steps} steps, counted from 0"
        )
    points, in_reference, warped = _matched_points(model, calibrated, keypoints, frame)
    reference, motion = calibrated.reference, calibrated.motion
    reading = read_still(model, reference)

    def look(options: Options) -> tuple[Look, ...]:
        plan = plan_run(model.animator, calibrated.num_frames, options)
        clip = canvas_clip(plan, reference, motion, calibrated)
        maps = attention_maps(
            plan, model.params, reading, clip, frame=frame, step=step, points=points
        )
        rows = zip(_pictures(plan, clip, frame).items(), maps, strict=True)
        return tuple(
            Look(n, picture, m, in_reference if n == "reference" else warped)
            for (n, picture), m in rows
        )

    plain = look(dataclasses.replace(options, tpc=False))[0]
    target = model.animator.canvas.pictures(motion.frames[frame])
    return Inspection(tuple(keypoints), target, points, plain, look(options))


def _matched_points(model: Model, calibrated: CalibratedClip, names: Sequence[str], frame: int):
    """Return where body parts are on the canvas: in the frame, the reference, and it warped."""
    unknown = [name for name in names if name not in KEYPOINT_INDEX]
    if unknown:
        known = ", ".join(KEYPOINT_INDEX)
        raise UserError(f"keypoint {unknown[0]} is unknown; known: {known}")
    index, canvas = [KEYPOINT_INDEX[name] for name in names], model.animator.canvas
    reference, motion = calibrated.reference, calibrated.keypoints
    still = np.asarray(reference.keypoints.xy[0], np.float64)[index]
    points = canvas.points(np.asarray(motion.xy[0, frame], np.float64)[index], calibrated.size)
    conf = np.minimum(motion.conf[0, frame], reference.keypoints.conf[0])[index]
    is_on = (points >= 0).all(-1) & (points <= np.array(canvas.size[::-1]) - 1).all(-1)
    is_seen = (conf > 0) & is_on
    if not is_seen.all():
        name = names[int(np.argmin(is_seen))]
        raise UserError(
            f"{name} is not in sight in frame {frame} and the reference; ask for others"
        )
    drv_from_ref = jax.tree.map(lambda x: x[0, frame], calibrated.calibration.drv_from_ref)
    warped = np.asarray(apply(drv_from_ref, jnp.asarray(still)))
    in_reference = canvas.points(still, reference.image.shape[:2])
    return points, in_reference, canvas.points(warped, calibrated.size)


def _pictures(plan: Plan, clip: CanvasClip, frame: int) -> dict[str, np.ndarray]:
    """Name the pictures that one frame reads, in the order of reading."""
    read = {"reference": clip.reference} if plan.facts.reads_reference else {}
    if plan.routing is None:
        return read
    layers = [clip.calibrated(n, np.array([frame])) for n in range(len(clip.reference_masks))]
    if clip.background is not None:
        images, masks = (np.stack(column) for column in zip(*layers, strict=True))
        layers = (clip.background, images, masks)
        pasted = paste(*(jnp.asarray(from_uint8(layer)) for layer in layers))
        return {"calibrated": to_uint8(np.asarray(pasted[0]))}
    people = {
        f"calibrated {n}" if n else "calibrated": images[0] for n, (images, _) in enumerate(layers)
    }
    return {**read, **people}


def near_match(look: Look) -> Float[np.ndarray, " points"]:
    """Return the share of each point's attention that lies at its own body part in a picture."""
    height, width = look.maps.shape[1:]
    y, x = np.mgrid[:height, :width]
    offset = np.stack([x, y], axis=-1) - look.matched[:, None, None]
    is_near = (offset**2).sum(-1) <= (_NEAR * min(height, width)) ** 2
    return (look.maps * is_near).sum((1, 2))


def write_inspection(out: Path, inspection: Inspection) -> None:
    """Draw one row per point: the frame, the reference without TPC, what is read with TPC.

    Crosses mark the point in the frame, rings its body part in the pictures that are read. Every
    heat map is scaled to its own maximum; the number is the share of attention within the ring.
    """
    looks = (inspection.without_tpc, *inspection.with_tpc)
    titles = ["frame", "reference, without TPC", *(f"{x.name}, with TPC" for x in looks[1:])]
    shares = [near_match(look) for look in looks]
    rows = []
    for index, name in enumerate(inspection.keypoints):
        cells = [_label(_cross(inspection.target, inspection.points[index]), name)]
        for look, share in zip(looks, shares, strict=True):
            heated = _heat(look.picture, look.maps[index], look.matched[index])
            cells.append(_label(heated, f"{100 * share[index]:.1f} %"))
        rows.append(np.concatenate(cells, axis=1))
    width = rows[0].shape[1] // len(titles)
    header = np.full((_HEADER, rows[0].shape[1], 3), 255, np.uint8)
    for column, title in enumerate(titles):
        _write(header, title, (column * width + 4, _HEADER - 8), (0, 0, 0))
    write_image(out, np.concatenate([header, *rows]))


def _factor(picture: np.ndarray) -> int:
    return max(1, -(-_LEAST_SIDE // min(picture.shape[:2])))


def _enlarged(picture: np.ndarray, xy: np.ndarray):
    """Return the picture large enough to look at, and where a point is in it."""
    factor = _factor(picture)
    large = picture.repeat(factor, axis=0).repeat(factor, axis=1)
    return large, tuple(np.round((xy + 0.5) * factor - 0.5).astype(int).tolist())


def _cross(picture: np.ndarray, xy: np.ndarray) -> np.ndarray:
    large, centre = _enlarged(picture, xy)
    for colour, thickness in (((0, 0, 0), 4), (_MARK, 2)):
        cv2.drawMarker(large, centre, colour, cv2.MARKER_CROSS, 18, thickness, cv2.LINE_AA)
    return large


def _heat(picture: np.ndarray, density: np.ndarray, matched: np.ndarray) -> np.ndarray:
    """Lay a heat map over a greyed picture and ring the matched body part."""
    factor = _factor(picture)
    large, centre = _enlarged(picture, matched)
    size = large.shape[1::-1]
    level = np.clip(density / max(density.max(), 1e-12), 0, 1).astype(np.float32)
    level = cv2.resize(level, size, interpolation=cv2.INTER_LINEAR)[..., None]
    colours = cv2.applyColorMap(np.round(255 * level).astype(np.uint8), cv2.COLORMAP_INFERNO)
    grey = cv2.cvtColor(large, cv2.COLOR_RGB2GRAY)[..., None] * np.float32(0.6)
    mixed = np.round((1 - level) * grey + level * colours[..., ::-1]).astype(np.uint8)
    radius = round(_NEAR * min(picture.shape[:2]) * factor)
    cv2.circle(mixed, centre, radius, _MATCH, 1, cv2.LINE_AA)
    return mixed


def _label(picture: np.ndarray, text: str) -> np.ndarray:
    bottom = picture.shape[0]
    picture[bottom - 20 : bottom - 3, 3 : 9 + 8 * len(text)] //= 3
    _write(picture, text, (6, bottom - 8), _MARK)
    return picture


def _write(picture: np.ndarray, text: str, at: tuple[int, int], colour) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, colour, 1, cv2.LINE_AA)
