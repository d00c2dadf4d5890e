"""The output folder of a calibration: videos, transforms and a report."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from tpc_jax._types import SolveStatus, Transform2D
from tpc_jax.animate import CalibratedClip, Reference
from tpc_jax.conditioning.canvas import fit_masks
from tpc_jax.io.atomic import atomic_path, write_json
from tpc_jax.io.video import write_video
from tpc_jax.metrics.image import person_iou
from tpc_jax.pose.reading import Driving
from tpc_jax.procrustes.transform import angle_of, apply, scale_of
from tpc_jax.report.overlay import draw_calibration


def write_calibration(
    out: Path,
    reference: Reference,
    driving: Driving,
    clip: CalibratedClip,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Write videos, `transforms.json` and `report.json` into a folder, all or nothing.

    Args:
        out: The folder; made if missing.
        reference: The still.
        driving: The motion.
        clip: The calibrated references.
        settings: Options of the run, repeated in the report.

    Returns:
        The report.
    """
    summary = calibration_report(reference, clip, settings)
    with atomic_path(out, directory=True) as partial:
        for person, (images, masks) in enumerate(zip(clip.images, clip.masks, strict=True)):
            suffix = f"_person{person}" if person else ""
            write_video(partial / f"calibrated{suffix}.mp4", images, driving.fps)
            grey = np.repeat(masks[..., None], 3, axis=-1)
            write_video(partial / f"calibrated_mask{suffix}.mp4", grey, driving.fps)
        write_video(partial / "overlay.mp4", overlay_frames(reference, driving, clip), driving.fps)
        write_json(partial / "transforms.json", transforms_json(clip, driving.fps))
        write_json(partial / "report.json", summary)
    return summary


def overlay_frames(reference: Reference, driving: Driving, clip: CalibratedClip) -> np.ndarray:
    """Draw every person's calibration over the driving frames."""
    shape = clip.keypoints.xy.shape
    ref_xy = jnp.broadcast_to(jnp.asarray(reference.keypoints.xy)[:, None], shape)
    warped = np.asarray(apply(clip.calibration.drv_from_ref, ref_xy))
    drawn = (np.asarray(reference.keypoints.conf) > 0)[:, None] & (clip.keypoints.conf > 0)
    driving_xy, chosen = np.asarray(clip.keypoints.xy), np.asarray(clip.calibration.subset)
    frames = []
    for index, frame in enumerate(driving.frames):
        for person in range(len(clip.images)):
            frame = draw_calibration(
                frame,
                clip.masks[person, index],
                warped[person, index],
                driving_xy[person, index],
                drawn[person, index],
                chosen[person, index],
            )
        frames.append(frame)
    return np.stack(frames)


def transforms_json(clip: CalibratedClip, fps: Fraction) -> dict[str, Any]:
    """Return every person's transform per frame; angles in degrees, residuals in squared pixels."""
    people = [
        [_frame_json(clip, person, frame) for frame in range(clip.images.shape[1])]
        for person in range(len(clip.images))
    ]
    convention = "x_driving = linear @ x_reference + offset, pixels, y down"
    return {"convention": convention, "fps": float(fps), "people": people}


def _frame_json(clip: CalibratedClip, person: int, frame: int) -> dict[str, Any]:
    fit = clip.calibration
    transform = Transform2D(
        fit.drv_from_ref.linear[person, frame], fit.drv_from_ref.offset[person, frame]
    )
    return {
        "frame": frame,
        "linear": transform.linear.tolist(),
        "offset": transform.offset.tolist(),
        "scale": float(scale_of(transform)),
        "angle_degrees": float(np.degrees(angle_of(transform))),
        "subset": np.flatnonzero(fit.subset[person, frame]).tolist(),
        "residual_px2": float(fit.residual[person, frame]),
        "status": SolveStatus(int(fit.status[person, frame])).name.lower(),
        "is_filled": bool(fit.is_filled[person, frame]),
    }


def calibration_report(
    reference: Reference, clip: CalibratedClip, settings: dict[str, Any]
) -> dict[str, Any]:
    """Summarise how misaligned the pair is, before and after.

    Args:
        reference: The still.
        clip: The calibrated references.
        settings: Options of the run, which are repeated.

    Returns:
        Plain values; a person who is in no frame has None for intersections over union.
    """
    people = [_person_report(clip, person) for person in range(len(clip.images))]
    report = {"settings": settings, "num_frames": clip.images.shape[1], "people": people}
    for when, values in overlaps(reference, clip).items():
        for person, value in zip(people, values, strict=True):
            person[f"mean_iou_{when}"] = None if np.isnan(value) else float(value)
        known = values[np.isfinite(values)]
        report[f"mean_iou_{when}"] = float(known.mean()) if len(known) else None
    return report


def overlaps(reference: Reference, clip: CalibratedClip) -> dict[str, Float[np.ndarray, " people"]]:
    """Return how well each of the reference's people lies on the motion's.

    Returns:
        `person_iou` `before` calibration, the reference brought to the motion's size, and `after`.
    """
    lying = fit_masks(reference.masks, clip.masks.shape[-2:])[:, None]
    masks = {"before": np.broadcast_to(lying, clip.masks.shape), "after": clip.masks}
    targets = clip.target_masks
    return {when: person_iou(mask / np.float32(255), targets) for when, mask in masks.items()}


def _person_report(clip: CalibratedClip, person: int) -> dict[str, Any]:
    fit = clip.calibration
    transforms = Transform2D(*(field[person] for field in fit.drv_from_ref))
    statuses, counts = np.unique(fit.status[person], return_counts=True)
    return {
        "scale_ratio": _spread(np.asarray(scale_of(transforms))),
        "rotation_degrees": _spread(np.degrees(np.unwrap(np.asarray(angle_of(transforms))))),
        "rms_residual_px": float(np.sqrt(np.mean(fit.residual[person]))),
        "status": {
            SolveStatus(int(s)).name.lower(): int(n) for s, n in zip(statuses, counts, strict=True)
        },
        "num_filled_frames": int(fit.is_filled[person].sum()),
    }


def _spread(values: np.ndarray) -> dict[str, float]:
    return {
        "median": float(np.median(values)),
        "min": float(values.min()),
        "max": float(values.max()),
    }
