"""A folder with all that a reference and a motion were found to hold, to look at and to edit.

Commands take it with `--prepared`: whatever was changed, replaced or deleted in it counts.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from tpc_jax._types import Keypoints
from tpc_jax._version import __version__
from tpc_jax.errors import UserError
from tpc_jax.io.atomic import atomic_path, write_json
from tpc_jax.io.images import write_image
from tpc_jax.io.keypoint_files import write_keypoint_file
from tpc_jax.io.video import write_video
from tpc_jax.pose.densepose import render_densepose
from tpc_jax.pose.dwpose import draw_whole_body, frame_of, whole_body
from tpc_jax.pose.masks import write_masks
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.report.sheets import contact_sheet

_FORMAT = "tpc-jax prepared 1"
_SUMMARY = "prepare.json"
# What the files are as inputs of a command; others are only to look at.
_ROLES = {
    "reference": "reference.png",
    "reference_keypoints": "reference_keypoints.json",
    "reference_mask": "reference_mask.png",
    "reference_parts": "reference_densepose.png",
    "driving_keypoints": "driving_keypoints.json",
    "target_masks": "driving_masks.npz",
    "driving_parts": "driving_densepose.mp4",
}
_SKELETON, _OVERVIEW = "driving_skeleton.mp4", "overview.png"


def write_prepared(
    out: str | Path,
    reference: Reference,
    motion: Motion,
    sources: tuple[str | Path, str | Path],
    settings: dict[str, Any],
) -> None:
    """Write what is known of a reference and a motion, all or nothing.

    Args:
        out: The folder; made if missing.
        reference: The still, with people.
        motion: The motion, with everybody in it.
        sources: Files of both; the folder links to that of the motion.
        settings: How people were found, for the record; plain values.

    Raises:
        UserError: The folder cannot be written.
    """
    driving = Path(sources[1]).resolve()
    link = "driving" + ("" if driving.is_dir() else driving.suffix)
    skeletons = _skeletons(motion)
    summary = {
        "format": _FORMAT,
        "tpc_jax": __version__,
        "sources": {"reference": str(sources[0]), "driving": str(sources[1])},
        "settings": settings,
        "driving": link,
        "frames": len(motion.frames),
        "fps": float(motion.fps),
        "people": {
            "reference": len(reference.keypoints.conf),
            "driving": len(motion.keypoints.conf),
        },
    }
    with atomic_path(out, directory=True) as partial:
        _write_reference(partial, reference)
        _link(driving, partial / link)
        size = motion.frames.shape[1:3]
        write_keypoint_file(partial / _ROLES["driving_keypoints"], motion.keypoints, size)
        if motion.masks is not None:
            write_masks(partial / _ROLES["target_masks"], motion.masks)
        if motion.parts is not None:
            write_video(
                partial / _ROLES["driving_parts"], render_densepose(motion.parts), motion.fps
            )
        write_video(partial / _SKELETON, skeletons, motion.fps)
        write_image(partial / _OVERVIEW, _overview(motion, skeletons))
        write_json(partial / _SUMMARY, summary)


def prepared_files(folder: str | Path) -> dict[str, Path]:
    """Return the files of a prepared folder by what they are inputs for.

    Args:
        folder: What `write_prepared` made.

    Returns:
        `reference` and `driving`, and of `reference_keypoints`, `reference_mask`,
        `reference_parts`, `driving_keypoints`, `target_masks` and `driving_parts` those that are
        there.

    Raises:
        UserError: It is no such folder, or lacks the picture or the motion.
    """
    folder = Path(folder)
    try:
        summary = json.loads((folder / _SUMMARY).read_text(encoding="utf-8"))
        if summary["format"] != _FORMAT:
            raise UserError(
                f"{folder}: was prepared as {summary['format']!r}, not {_FORMAT!r}; prepare again"
            )
        names = _ROLES | {"driving": str(summary["driving"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder}: is not a prepared folder; make one with `tpc-jax prepare`"
        ) from error
    for role in ("reference", "driving"):
        if not (folder / names[role]).exists():
            raise UserError(
                f"{folder / names[role]}: is missing, or what it links to was moved; prepare again"
            )
    return {role: folder / name for role, name in names.items() if (folder / name).exists()}


def _write_reference(folder: Path, reference: Reference) -> None:
    write_image(folder / _ROLES["reference"], reference.image)
    size = reference.image.shape[:2]
    write_keypoint_file(folder / _ROLES["reference_keypoints"], reference.keypoints, size)
    write_image(folder / _ROLES["reference_mask"], np.any(reference.masks, axis=0))
    if reference.parts is not None:
        write_image(folder / _ROLES["reference_parts"], render_densepose(reference.parts))


def _link(source: Path, path: Path) -> None:
    """Link to a file or folder, or copy it where links cannot be made."""
    try:
        os.symlink(source, path, target_is_directory=source.is_dir())
    except (OSError, NotImplementedError):
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, path)


def _skeletons(motion: Motion) -> UInt8[np.ndarray, "frames height width 3"]:
    """Draw everybody as DWPose does."""
    people = motion.people
    if people is None:
        points = np.concatenate([np.asarray(x) for x in _columns(motion.keypoints)], axis=-1)
        people = whole_body(points, "coco-17")
    size = motion.frames.shape[1:3]
    return np.stack(
        [draw_whole_body(frame_of(people, frame), *size) for frame in range(len(motion.frames))]
    )


def _columns(keypoints: Keypoints) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(keypoints.xy), np.asarray(keypoints.conf)[..., None]


def _overview(
    motion: Motion, skeletons: UInt8[np.ndarray, "frames height width 3"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay out the motion, its people apart, their skeletons and parts."""
    rows = {"motion": motion.frames, "skeletons": skeletons}
    if motion.masks is not None:
        shown = np.any(motion.masks, axis=0)
        rows["masks"] = np.where(shown[..., None], motion.frames, motion.frames // 5)
    if motion.parts is not None:
        rows["parts"] = render_densepose(motion.parts)
    return contact_sheet(rows, num_columns=6)
