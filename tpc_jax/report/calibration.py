"""The output folder of a calibration: videos, transforms and a report."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from tpc_jax._types import SolveStatus, Transform2D
from tpc_jax.calibrated_clip import CalibratedClip
from tpc_jax.conditioning.canvas import Canvas
from tpc_jax.io.atomic import atomic_path, write_json
from tpc_jax.io.images import from_uint8
from tpc_jax.io.video import write_video
from tpc_jax.metrics.image import person_iou
from tpc_jax.pose.reading import Motion
from tpc_jax.procrustes.transform import angle_of, apply, scale_of
from tpc_jax.refinement.clip import Choice, Judgement
from tpc_jax.report.overlay import draw_calibration

_REASONS = {
    "neighbours": "frames follow their neighbours",
    "keypoints": "by keypoints",
    "mirrored": "by keypoints with left and right exchanged (turned about)",
    "middles": "by the middles of left and right (turned)",
    "place": "moved a little from where they are",
    "untouched": "left as they are (no fit is better)",
}


def write_calibration(out: Path, clip: CalibratedClip, settings: dict[str, Any]) -> dict[str, Any]:
    """Write videos, `transforms.json` and `report.json` into a folder, all or nothing.

    Args:
        out: The folder; made if missing.
        clip: The calibrated reference.
        settings: Options of the run, repeated in the report.

    Returns:
        The report.
    """
    warped, fps = [clip.warped(person) for person in range(clip.num_people)], clip.motion.fps
    all_masks = np.stack([person.masks for person in warped])
    summary = calibration_report(clip, all_masks, settings)
    with atomic_path(out, directory=True) as partial:
        for person, (images, masks) in enumerate(warped):
            suffix = f"_person{person}" if person else ""
            write_video(partial / f"calibrated{suffix}.mp4", images, fps)
            grey = np.repeat(masks[..., None], 3, axis=-1)
            write_video(partial / f"calibrated_mask{suffix}.mp4", grey, fps)
        write_video(partial / "overlay.mp4", overlay_frames(clip, all_masks), fps)
        write_json(partial / "transforms.json", transforms_json(clip))
        write_json(partial / "report.json", summary)
    return summary


def overlay_frames(
    clip: CalibratedClip,
    masks: UInt8[np.ndarray, "people frames height width"],
    frames: Int[np.ndarray, " frames"] | None = None,
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Draw every person's calibration over driving frames.

    Args:
        clip: The calibrated reference.
        masks: The warped masks of all people in these frames.
        frames: Which frames; all if left out.
    """
    frames = np.arange(clip.num_frames) if frames is None else frames
    reference, shape = clip.reference.keypoints, clip.keypoints.xy.shape
    ref_xy = jnp.broadcast_to(jnp.asarray(reference.xy)[:, None], shape)
    warped = np.asarray(apply(clip.calibration.drv_from_ref, ref_xy))
    xy, subset = np.asarray(clip.keypoints.xy), np.asarray(clip.calibration.subset)
    drawn = (np.asarray(reference.conf) > 0)[:, None] & (np.asarray(clip.keypoints.conf) > 0)
    pictures = []
    for place, index in enumerate(frames.tolist()):
        frame = clip.motion.frames[index]
        for person in range(clip.num_people):
            frame = draw_calibration(
                frame,
                masks[person, place],
                warped[person, index],
                xy[person, index],
                drawn[person, index],
                subset[person, index],
            )
        pictures.append(frame)
    return np.stack(pictures)


def transforms_json(clip: CalibratedClip) -> dict[str, Any]:
    """Return every person's transform per frame; angles in degrees, residuals in squared pixels."""
    people = [
        [_frame_json(clip, person, frame) for frame in range(clip.num_frames)]
        for person in range(clip.num_people)
    ]
    convention = "x_driving = linear @ x_reference + offset, pixels, y down"
    return {"convention": convention, "fps": float(clip.motion.fps), "people": people}


def _frame_json(clip: CalibratedClip, person: int, frame: int) -> dict[str, Any]:
    fit = clip.calibration
    transform = Transform2D(
        fit.drv_from_ref.linear[person, frame], fit.drv_from_ref.offset[person, frame]
    )
    judged = {} if clip.judgement is None else _judged(clip.judgement, person, frame)
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
        **judged,
    }


def _judged(judgement: Judgement, person: int, frame: int) -> dict[str, Any]:
    return {
        "choice": Choice(int(judgement.choice[person, frame])).name.lower(),
        "agreement": float(judgement.agreement[person, frame]),
        "agreement_of_keypoint_fit": float(judgement.own[person, frame]),
        "agreement_untouched": float(judgement.untouched[person, frame]),
    }


def calibration_report(
    clip: CalibratedClip,
    masks: UInt8[np.ndarray, "people frames height width"],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Summarise how misaligned the pair is, before and after.

    Args:
        clip: The calibrated reference.
        masks: The warped masks of all people.
        settings: Options of the run, which are repeated.

    Returns:
        Plain values; a person who is in no frame has None for intersections over union.
    """
    people = [_person_report(clip, person) for person in range(clip.num_people)]
    report = {
        "settings": settings,
        "num_frames": clip.num_frames,
        "people": people,
        "who_is_who": who_is_who(clip.motion),
    }
    for when, overlaps in zip(("before", "after"), person_overlaps(clip, masks), strict=True):
        name = f"mean_iou_{when}"
        for person, value in zip(people, overlaps, strict=True):
            person[name] = None if np.isnan(value) else float(value)
        known = overlaps[np.isfinite(overlaps)]
        report[name] = float(known.mean()) if len(known) else None
    return report


def who_is_who(motion: Motion) -> list[dict[str, Any]]:
    """List which person of the motion moves which of the reference, and who is left out.

    Returns:
        Rows of plain values: numbers of the people of `reference` and `motion`, None for nobody; in
        how many frames the motion's person is seen, the mean confidence of its visible points, and
        the mean size of the box around them (longer side) as a share of the picture's height, None
        for nobody. Empty for a motion nobody was chosen from.
    """
    cast = motion.cast
    if cast is None:
        return []
    pairs = [*enumerate(cast.person.tolist()), *((None, other) for other in cast.left_out.tolist())]
    return [
        {
            "reference": reference,
            "motion": person if person >= 0 else None,
            "num_frames": int(cast.num_frames[person]) if person >= 0 else 0,
            "confidence": float(cast.confidence[person]) if person >= 0 else None,
            "size": float(cast.size[person] / motion.frames.shape[1]) if person >= 0 else None,
        }
        for reference, person in pairs
    ]


def person_overlaps(
    clip: CalibratedClip, masks: UInt8[np.ndarray, "people frames height width"]
) -> tuple[Float[np.ndarray, " people"], Float[np.ndarray, " people"]]:
    """Return how well each person lies on its target before and after, as `person_iou` does.

    Args:
        clip: The calibrated reference.
        masks: The warped masks of all people.
    """
    found = []
    for person in range(clip.num_people):
        targets = clip.target_masks(person)
        still = Canvas(clip.size).masks(clip.reference.masks[person])
        layers = (np.broadcast_to(still, targets.shape), masks[person])
        found.append([person_iou(from_uint8(x)[None], targets[None])[0] for x in layers])
    before, after = np.array(found).T
    return before, after


def _person_report(clip: CalibratedClip, person: int) -> dict[str, Any]:
    fit = clip.calibration
    transforms = Transform2D(*(field[person] for field in fit.drv_from_ref))
    statuses, counts = np.unique(fit.status[person], return_counts=True)
    return {
        "scale_ratio": _spread(np.asarray(scale_of(transforms))),
        "rotation_degrees": _spread(_without_seam(np.asarray(angle_of(transforms)))),
        "rms_residual_px": float(np.sqrt(np.mean(fit.residual[person]))),
        "status": {
            SolveStatus(int(s)).name.lower(): int(n) for s, n in zip(statuses, counts, strict=True)
        },
        "num_filled_frames": int(fit.is_filled[person].sum()),
        **_judgement_report(clip, person),
    }


def _judgement_report(clip: CalibratedClip, person: int) -> dict[str, Any]:
    if clip.judgement is None:
        return {}
    judgement = clip.judgement
    known = ~clip.calibration.is_filled[person]
    choices, counts = np.unique(judgement.choice[person, known], return_counts=True)
    shares = {
        "chosen": judgement.agreement,
        "keypoint_fit": judgement.own,
        "untouched": judgement.untouched,
    }
    return {
        "choice": {
            Choice(int(c)).name.lower(): int(n) for c, n in zip(choices, counts, strict=True)
        },
        "mean_agreement": {
            name: float(share[person, known].mean()) if known.any() else None
            for name, share in shares.items()
        },
    }


def explain(clip: CalibratedClip) -> list[str]:
    """Say in one line per person what was chosen and why, and warn of people without a fit."""
    lines = []
    for person in range(clip.num_people):
        report = _person_report(clip, person)
        name = f"person {person}: " if clip.num_people > 1 else ""
        if person in clip.people_without_fit:
            lines.append(
                f"warning: {name}no frame has a fit of its own, so the reference is used as it is; "
                "check the keypoints of both sides"
            )
        elif report.get("choice"):
            chosen = ", ".join(
                f"{count} {_REASONS[choice]}" for choice, count in report["choice"].items()
            )
            shares = report["mean_agreement"]
            lines.append(
                f"{name}{chosen}; body agreement {shares['untouched']:.2f} untouched, "
                f"{shares['keypoint_fit']:.2f} by keypoints, {shares['chosen']:.2f} as chosen"
            )
        if report["num_filled_frames"] and person not in clip.people_without_fit:
            lines.append(
                f"{name}{report['num_filled_frames']} frames had no fit of their own and borrowed "
                "one; see transforms.json"
            )
    return lines


def _without_seam(angles: Float[np.ndarray, " frames"]) -> Float[np.ndarray, " frames"]:
    """Return degrees about their circular mean, so that -179 and 181 are one turn."""
    mean = np.angle(np.exp(1j * angles).mean())
    return np.degrees(mean + np.angle(np.exp(1j * (angles - mean))))


def _spread(values: np.ndarray) -> dict[str, float]:
    return {
        "median": float(np.median(values)),
        "min": float(values.min()),
        "max": float(values.max()),
    }
