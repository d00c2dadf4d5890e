"""A folder with all that a reference and a motion were found to hold, to look at and to edit.

Commands take it with `--prepared`: whatever was changed, replaced or deleted in it counts.
"""

import json
import math
import os
import shutil
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Int, UInt8

from tpc_jax._types import Keypoints
from tpc_jax._version import __version__
from tpc_jax.conditioning.canvas import Canvas
from tpc_jax.errors import UserError
from tpc_jax.io.atomic import atomic_path, write_json
from tpc_jax.io.images import write_image
from tpc_jax.io.keypoint_files import write_keypoint_file
from tpc_jax.io.video import write_video
from tpc_jax.options import MotionKind
from tpc_jax.pose.densepose import render_densepose
from tpc_jax.pose.dwpose import WholeBody, draw_whole_body, frame_of, whole_body
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
    "driving_parts": "driving_densepose",
}
# What COCO-WholeBody calls faces, left hands and right hands.
_BESIDE = ("face_kpts", "lefthand_kpts", "righthand_kpts")
_FRAMES_SHOWN, _MOST_HIGH = 6, 384
_SKELETON, _OVERVIEW = "driving_skeleton.mp4", "overview.png"


class Prepared(NamedTuple):
    """What a prepared folder holds.

    Attributes:
        files: `reference` and `driving`, and of `reference_keypoints`, `reference_mask`,
            `reference_parts`, `driving_keypoints`, `target_masks` and `driving_parts` those that
            are there.
        kind: What the motion was said to show; "auto" where it was left open.
        fps: Frames per second that a motion without a rate of its own was given.
        is_followed: As in `Motion`, of the keypoints of the motion.
    """

    files: dict[str, Path]
    kind: MotionKind | Literal["auto"]
    fps: float | None
    is_followed: bool


def write_prepared(
    out: str | Path,
    reference: Reference,
    motion: Motion,
    sources: tuple[str | Path, str | Path],
    *,
    detector: str,
    kind: MotionKind | Literal["auto"] = "auto",
    fps: float | None = None,
) -> None:
    """Write what is known of a reference and a motion, all or nothing.

    Args:
        out: The folder; made if missing.
        reference: The still, with people.
        motion: The motion, with everybody in it.
        sources: Files of both; the folder links to that of the motion.
        detector: What found the people, for the record.
        kind: As it was given to `read_motion`.
        fps: The same.

    Raises:
        UserError: The folder cannot be written.
    """
    driving, out = Path(sources[1]).resolve(), Path(out)
    link = "driving" + ("" if driving.is_dir() else driving.suffix)
    summary = {
        "format": _FORMAT,
        "tpc_jax": __version__,
        "sources": {"reference": str(sources[0]), "driving": str(sources[1])},
        "settings": {"detector": detector, "driving_kind": kind, "fps": fps},
        "driving": link,
        "is_followed": motion.is_followed,
        "frames": len(motion.frames),
        "fps": float(motion.fps),
        "people": {
            "reference": len(reference.keypoints.conf),
            "driving": len(motion.keypoints.conf),
        },
    }
    with atomic_path(out, directory=True) as partial:
        _write_reference(partial, reference)
        if driving != out.resolve() / link:  # in place already
            _link(driving, partial / link)
        _write_found(partial, _as_stored(motion))
        write_video(partial / _SKELETON, _skeletons(motion), motion.fps)
        write_image(partial / _OVERVIEW, _overview(reference, motion))
        write_json(partial / _SUMMARY, summary)


def read_prepared(folder: str | Path) -> Prepared:
    """Find out what is in a prepared folder.

    Args:
        folder: What `write_prepared` made.

    Raises:
        UserError: It is no such folder, or lacks the picture or the motion.
    """
    folder = Path(folder)
    try:
        summary = json.loads((folder / _SUMMARY).read_text(encoding="utf-8"))
        found = summary["format"]
        names = _ROLES | {"driving": str(summary["driving"])}
        kind, fps = (summary["settings"][name] for name in ("driving_kind", "fps"))
        is_followed = bool(summary["is_followed"])
        if kind not in (*get_args(MotionKind), "auto") or not (fps is None or 0 < fps < math.inf):
            raise ValueError(f"settings are {kind!r} and {fps!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder}: is not a prepared folder; make one with `tpc-jax prepare`"
        ) from error
    if found != _FORMAT:
        raise UserError(f"{folder}: was prepared as {found!r}, not {_FORMAT!r}; prepare again")
    for role in ("reference", "driving"):
        if not (folder / names[role]).exists():
            raise UserError(
                f"{folder / names[role]}: is missing, or what it links to was moved; prepare again"
            )
    files = {role: folder / name for role, name in names.items() if (folder / name).exists()}
    return Prepared(files, kind, fps, is_followed)


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


def _as_stored(motion: Motion) -> Motion:
    """Give every stored frame what was found in the first one that shows it.

    Files about a video have one entry for each stored frame; `read_motion` spreads them again.
    """
    if motion.sources is None:
        return motion
    return _take(motion, np.searchsorted(motion.sources, np.arange(motion.sources[-1] + 1)))


def _take(motion: Motion, frames: Int[np.ndarray, " frames"]) -> Motion:
    """Take some frames out of a motion."""
    people = motion.people
    return motion._replace(
        frames=motion.frames[frames],
        keypoints=motion.keypoints.select(np.s_[:, frames]),
        masks=None if motion.masks is None else motion.masks[:, frames],
        parts=None if motion.parts is None else motion.parts[frames],
        people=people and WholeBody(*(part.select(np.s_[:, frames]) for part in people)),
    )


def _write_found(folder: Path, motion: Motion) -> None:
    size, people = motion.frames.shape[1:3], motion.people
    beside: dict[str, Keypoints] = {}
    if people is not None and any(part.conf.any() for part in (people.hands, people.face)):
        hands = (people.hands.select(np.s_[:, :, side]) for side in range(2))
        beside |= zip(_BESIDE, (people.face, *hands), strict=True)
    path = folder / _ROLES["driving_keypoints"]
    write_keypoint_file(path, motion.keypoints, size, beside)
    if motion.masks is not None:
        write_masks(folder / _ROLES["target_masks"], motion.masks)
    if motion.parts is not None:
        # Pictures, because a video halves the size of colours.
        parts = folder / _ROLES["driving_parts"]
        parts.mkdir()
        for frame, rendering in enumerate(render_densepose(motion.parts)):
            write_image(parts / f"{frame:05}.png", rendering)


def _skeletons(motion: Motion) -> UInt8[np.ndarray, "frames height width 3"]:
    """Draw everybody as DWPose does."""
    people = _whole(motion.keypoints) if motion.people is None else motion.people
    size = motion.frames.shape[1:3]
    return np.stack(
        [draw_whole_body(frame_of(people, frame), *size) for frame in range(len(motion.frames))]
    )


def _whole(keypoints: Keypoints) -> WholeBody:
    xy, conf = np.asarray(keypoints.xy), np.asarray(keypoints.conf)
    return whole_body(np.concatenate([xy, conf[..., None]], axis=-1), "coco-17")


def _overview(reference: Reference, motion: Motion) -> UInt8[np.ndarray, "height width 3"]:
    """Lay out pictures, people apart, skeletons and parts: of the reference, then of the motion."""
    last = len(motion.frames) - 1
    shown = np.unique(np.linspace(0, last, _FRAMES_SHOWN).round().astype(int))
    still = motion._replace(
        frames=reference.image[None],
        keypoints=reference.keypoints.select(np.s_[:, None]),
        masks=reference.masks[:, None],
        parts=None if reference.parts is None else reference.parts[None],
        people=None,
    )
    height, width = motion.frames.shape[1:3]
    scale = min(1.0, _MOST_HIGH / height)
    canvas = Canvas((round(scale * height), max(1, round(scale * width))))
    first, others = (
        {name: canvas.pictures(pictures) for name, pictures in _rows(side).items()}
        for side in (still, _take(motion, shown))
    )
    black = np.zeros_like(first["pictures"])
    rows = {name: np.concatenate([first.get(name, black), others[name]]) for name in others}
    return contact_sheet(rows, num_columns=_FRAMES_SHOWN + 1)


def _rows(motion: Motion) -> dict[str, UInt8[np.ndarray, "frames height width 3"]]:
    rows = {"pictures": motion.frames, "skeletons": _skeletons(motion)}
    if motion.masks is not None:
        shown = np.any(motion.masks, axis=0)
        rows["masks"] = np.where(shown[..., None], motion.frames, motion.frames // 5)
    if motion.parts is not None:
        rows["parts"] = render_densepose(motion.parts)
    return rows
