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

from tpc_jax.animate import CalibratedClip, canvas_clip
from tpc_jax.animators.inspect import attention_maps
from tpc_jax.animators.interface import ReferenceReader
from tpc_jax.animators.options import AnimateOptions
from tpc_jax.conditioning.canvas import fit_images, placement_on
from tpc_jax.conditioning.composite import paste
from tpc_jax.errors import UserError
from tpc_jax.io.images import from_uint8, to_uint8, write_image
from tpc_jax.model.params import Params
from tpc_jax.pose.reading import Motion, Reference
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
    animator: ReferenceReader,
    params: Params,
    reference: Reference,
    motion: Motion,
    calibrated: CalibratedClip,
    options: AnimateOptions,
    *,
    keypoints: Sequence[str],
    frame: int,
    step: int,
) -> Inspection:
    """Follow body parts of the first person of one frame into the pictures that are read.

    Args:
        animator: The model's functions.
        params: The model's parameters.
        reference: The still.
        motion: The motion.
        calibrated: Its calibrated references.
        options: Denoising options of the run with calibration.
        keypoints: COCO names of the body parts.
        frame: The frame that looks.
        step: The denoising step at which it looks, from 0.

    Raises:
        UserError: There is no such frame, step or keypoint, or a keypoint is not in sight.
    """
    options = options.resolve(animator)
    size, num_frames = animator.image_size, len(motion.frames)
    if not 0 <= frame < num_frames or not 0 <= step < options.steps:
        raise UserError(
            f"frame {frame} of step {step} was asked for; there are {num_frames} frames and "
            f"{options.steps} steps, counted from 0"
        )
    unknown = [name for name in keypoints if name not in KEYPOINT_INDEX]
    if unknown:
        known = ", ".join(KEYPOINT_INDEX)
        raise UserError(f"keypoint {unknown[0]} is unknown; known: {known}")
    index = [KEYPOINT_INDEX[name] for name in keypoints]
    place_target = placement_on(motion.frames.shape[1:3], size, fit=animator.fit).apply
    still = np.asarray(reference.keypoints.xy[0], np.float64)[index]
    drv_from_ref = jax.tree.map(lambda x: x[0, frame], calibrated.calibration.drv_from_ref)
    points = place_target(np.asarray(calibrated.keypoints.xy[0, frame], np.float64)[index])
    conf = np.minimum(calibrated.keypoints.conf[0, frame], reference.keypoints.conf[0])[index]
    is_seen = (conf > 0) & (points >= 0).all(-1) & (points <= np.array(size[::-1]) - 1).all(-1)
    if not is_seen.all():
        name = keypoints[int(np.argmin(is_seen))]
        raise UserError(
            f"{name} is not in sight in frame {frame} and the reference; ask for others"
        )
    params = animator.with_reference(params, reference.image, reference.masks.any(0))
    in_reference = placement_on(reference.image.shape[:2], size, fit=animator.fit).apply(still)
    warped = place_target(np.asarray(apply(drv_from_ref, jnp.asarray(still))))

    def look(options: AnimateOptions) -> tuple[Look, ...]:
        clip = canvas_clip(animator, reference, motion, calibrated, options)
        maps = attention_maps(
            animator, params, clip, options, frame=frame, step=step, points=points
        )
        pictures = _pictures(clip, options, frame)
        rows = zip(pictures.items(), maps, strict=True)
        return tuple(
            Look(n, picture, m, in_reference if n == "reference" else warped)
            for (n, picture), m in rows
        )

    plain = look(dataclasses.replace(options, routing=None))[0]
    target = fit_images(motion.frames[frame], size, fit=animator.fit)
    return Inspection(tuple(keypoints), target, points, plain, look(options))


def _pictures(clip, options: AnimateOptions, frame: int) -> dict[str, np.ndarray]:
    """Name the pictures that one frame reads, in the order of reading."""
    reference = {} if options.routing in ("replace", "composite") else {"reference": clip.reference}
    if options.routing is None:
        return reference
    if options.routing == "composite":
        layers = (clip.background, clip.images[:, [frame]], clip.masks[:, [frame]])
        pasted = paste(*(jnp.asarray(from_uint8(layer)) for layer in layers))
        return {"calibrated": to_uint8(np.asarray(pasted[0]))}
    people = {
        f"calibrated {n}" if n else "calibrated": x for n, x in enumerate(clip.images[:, frame])
    }
    return {**reference, **people}


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
