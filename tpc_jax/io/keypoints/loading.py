"""Open keypoint files: JSON in any encoding, JSON lines, NumPy arrays."""

import contextlib
import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from tpc_jax.errors import UserError
from tpc_jax.io.frame_folders import natural_order
from tpc_jax.io.keypoints.documents import KNOWN

JSON_SUFFIXES = (".json", ".jsonl")
ARRAY_SUFFIXES = (".npz", ".npy")


def is_keypoint_file(path: str | Path) -> bool:
    """Tell keypoints from pictures: JSON, an archive of keypoints, or a folder of JSON only."""
    path = Path(path)
    if path.is_dir():
        inside = [entry.suffix.lower() for entry in path.iterdir() if entry.name[0] != "."]
        return bool(inside) and set(inside) <= set(JSON_SUFFIXES)
    if path.suffix.lower() == ".npz":
        with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            return "keypoints.npy" in archive.namelist()
    return path.suffix.lower() in JSON_SUFFIXES


def keypoint_files(path: Path) -> list[Path]:
    """Return a file, or the files of a folder in natural order: JSON, or arrays if it has none.

    Raises:
        UserError: There are none, or the path cannot be read.
    """
    try:
        if not path.exists():
            raise UserError(f"{path}: no such file; check the path")
        if not path.is_dir():
            return [path]
        inside = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"{path}: cannot be read; check the path and its permissions") from error
    for suffixes in (JSON_SUFFIXES, ARRAY_SUFFIXES):
        if files := [entry for entry in inside if entry.suffix.lower() in suffixes]:
            return sorted(files, key=natural_order)
    raise UserError(f"{path}: the folder holds no JSON files; give one per frame")


def load_document(path: Path) -> Any:
    """Return what a file holds: JSON, a list of the lines of JSON lines, a dictionary of arrays.

    Raises:
        UserError: It is unreadable.
    """
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return _load_arrays(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read; check the file's permissions") from error
    try:
        text = raw.decode(json.detect_encoding(raw))  # by its byte order mark
        try:
            return json.loads(text)
        except ValueError:
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
            if len(lines) < 2:
                raise
            return lines
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON; give {KNOWN}") from error


def _load_arrays(path: Path) -> dict[str, Any]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"keypoints": loaded}
        with loaded as archive:
            if "keypoints" not in archive:
                arrays = ", ".join(list(archive)[:6])
                raise UserError(f"{path}: has {arrays or 'no arrays'}; 'keypoints' is needed")
            wanted = ("keypoints", "scores", "keypoint_scores", "width", "height")
            return {key: archive[key] for key in wanted if key in archive}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        raise UserError(
            f"{path}: holds no plain NumPy arrays; save numbers of one shape with np.savez"
        ) from error
