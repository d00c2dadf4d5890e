"""Read folders of numbered pictures."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt16

from tpc_jax.errors import UserError, warn
from tpc_jax.io.images import IMAGE_SUFFIXES, read_image

# Pictures too, but not read: leaving them out would change the motion.
_UNREAD_SUFFIXES = frozenset(
    {".avif", ".exr", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".psd", ".tga"}
)


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Return a sort key that puts `frame_10` after `frame_9`."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]


def read_folder(
    path: Path, read: Callable[[Path], np.ndarray] = read_image
) -> (
    UInt8[np.ndarray, "frames height width channels"]
    | UInt16[np.ndarray, "frames height width channels"]
):
    """Read the pictures of a folder in natural order, and say where their numbers have gaps.

    Args:
        path: The folder.
        read: Reads one picture, `[height width channels]`.

    Raises:
        UserError: There are none, some cannot be read, or their sizes differ.
    """
    files = _pictures(path)
    _say_gaps(path, files)
    first = read(files[0])
    frames = np.empty((len(files), *first.shape), first.dtype)
    for index, file in enumerate(files):
        frame = read(file)
        if frame.shape != first.shape:
            raise UserError(
                f"{file}: {frame.shape[1]}x{frame.shape[0]} among frames of "
                f"{first.shape[1]}x{first.shape[0]}; bring all frames to one size"
            )
        if frame.dtype != first.dtype:
            raise UserError(f"{file}: has another depth than {files[0].name}; export all alike")
        frames[index] = frame
    return frames


def frame_names(path: Path) -> list[str]:
    """Return the names of a folder's pictures in natural order.

    Raises:
        UserError: As for `read_folder`.
    """
    return [file.name for file in _pictures(path)]


def _pictures(path: Path) -> list[Path]:
    try:
        entries = [file for file in path.iterdir() if not file.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{path}: cannot be read; check the folder's permissions") from error
    unread = [file for file in entries if file.suffix.lower() in _UNREAD_SUFFIXES]
    if unread:
        raise UserError(
            f"{path}: holds {len(unread)} pictures such as {unread[0].name}, which are not read "
            "as frames; export all frames as PNG or JPEG"
        )
    files = [file for file in entries if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise UserError(f"{path}: the folder holds no pictures; give PNG or JPEG frames")
    files.sort(key=natural_order)
    return files


def _say_gaps(path: Path, files: list[Path]) -> None:
    patterns = sorted({re.sub(r"\d+", "#", file.name.lower()) for file in files})
    if len(patterns) > 1:
        warn(
            f"{path}: files have different names ({', '.join(patterns[:3])}); all are taken as "
            f"frames, {len(files)} in the order of their names"
        )
        return
    numbers = [[int(number) for number in re.findall(r"\d+", file.name)] for file in files]
    varying = [column for column in zip(*numbers, strict=True) if len(set(column)) > 1]
    if len(varying) != 1:
        return
    steps = np.diff(varying[0])
    missing = int((steps // max(1, steps.min()) - 1).sum())
    if missing:
        warn(
            f"{path}: {missing} numbers are missing between {files[0].name} and {files[-1].name}; "
            "the frames that are there follow each other directly"
        )
