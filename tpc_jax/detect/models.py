"""The two files of the pose model: where they are kept, and all the shapes they are given in."""

import hashlib
import os
import zipfile
from pathlib import Path

from tpc_jax.detect.blazepose import BlazePose
from tpc_jax.detect.tflite import TFLiteNetwork
from tpc_jax.errors import UserError, warn

DETECTOR, LANDMARKS = "pose_detection.tflite", "pose_landmark_full.tflite"
# What the files are called in MediaPipe's wheel and in its `.task` bundles.
_NAMES = (
    (DETECTOR, "pose_detector.tflite"),
    (LANDMARKS, "pose_landmarks_detector.tflite"),
)
SHA256 = {
    DETECTOR: "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    LANDMARKS: "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
}
# A TFLite file has this at byte 4.
_MAGIC = b"TFL3"
# More than any pose network has; a bundle that claims more is not one.
_MAX_BYTES = 200_000_000


def pose_model_folder() -> Path:
    """Return where fetched files are kept: `tpc_jax` in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # Relative paths are to be ignored, says the XDG specification.
    base = Path(cache) if os.path.isabs(cache) else Path.home() / ".cache"
    return base / "tpc_jax"


def open_pose_model(path: str | Path | None = None, num_threads: int | None = None) -> BlazePose:
    """Open the pose model.

    Args:
        path: A `.task` bundle, MediaPipe's wheel, or a folder with the two files; what
            `fetch_pose_model` has fetched by default.
        num_threads: Threads of the CPU; all that the process may use by default.

    Raises:
        UserError: The files are missing, damaged or something else, or the package that runs them
            is not installed.
    """
    if path is None:
        path = pose_model_folder()
        if not all((path / name).is_file() for name in SHA256):
            raise UserError(
                "no pose model has been fetched yet; run `tpc-jax fetch-pose`, or give one with "
                "--pose-model FILE"
            )
        files = _from_folder(path)
        if not all(map(has_checksum, files, SHA256.values())):
            raise UserError(f"{path}: the pose model is damaged; run `tpc-jax fetch-pose`")
    else:
        path = Path(path)
        files = read_pose_files(path)
        if path.is_dir() and not all(map(has_checksum, files, SHA256.values())):
            warn(f"{path}: these are not the files of MediaPipe 0.10.21, and may be damaged")
    networks = (TFLiteNetwork(data, str(path), num_threads) for data in files)
    return BlazePose(*networks, name=str(path))


def read_pose_files(path: Path) -> tuple[bytes, bytes]:
    """Return the contents of the detector's and the landmark network's files.

    Args:
        path: As for `open_pose_model`.

    Raises:
        UserError: As there.
    """
    if path.is_dir():
        return _from_folder(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file or folder; check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            names = _choose(list(sizes), path)
            if any(sizes[name] > _MAX_BYTES for name in names):
                raise UserError(f"{path}: holds files too large for a pose model; give another")
            detector, landmarks = (archive.read(name) for name in names)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError) as error:
        raise UserError(
            f"{path}: is not a readable .task bundle or wheel; download it again"
        ) from error
    except (OSError, EOFError, ValueError) as error:
        raise UserError(f"{path}: cannot be read; download it again") from error
    return _checked(detector, path), _checked(landmarks, path)


def has_checksum(data: bytes, expected: str) -> bool:
    """Tell whether a file is the one that is meant, by its SHA-256."""
    return hashlib.sha256(data).hexdigest() == expected


def _from_folder(path: Path) -> tuple[bytes, bytes]:
    try:
        names = _choose([str(x.relative_to(path)) for x in path.iterdir() if x.is_file()], path)
        detector, landmarks = (_checked((path / name).read_bytes(), path / name) for name in names)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check it") from error
    return detector, landmarks


def _choose(files: list[str], path: Path) -> list[str]:
    """Return the names of the detector and of the landmark network among files."""
    found = []
    for names in _NAMES:
        ranked = [file for name in names for file in files if file.rsplit("/", 1)[-1] == name]
        if not ranked:
            raise UserError(f"{path}: holds no {' or '.join(names)}; give MediaPipe's pose model")
        found.append(ranked[0])
    return found


def _checked(data: bytes, path: Path) -> bytes:
    if data[4:8] != _MAGIC:
        raise UserError(f"{path}: holds a file that is no TFLite network; download it again")
    return data
