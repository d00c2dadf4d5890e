"""DensePose coordinates as files: one array per frame, or one archive."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax.errors import UserError
from tpc_jax.io.frame_folders import natural_order
from tpc_jax.io.video import ARCHIVE_ERRORS

_SUFFIX = ".npy"


def is_uv(path: str | Path) -> bool:
    """Tell whether a path is an array, or a folder that holds arrays."""
    path = Path(path)
    if path.is_dir():
        return any(entry.suffix == _SUFFIX for entry in path.iterdir())
    return path.suffix == _SUFFIX


def read_uv(path: str | Path) -> Float[np.ndarray, "frames height width 2"]:
    """Read the U and V of every pixel, 0 where nobody is.

    Args:
        path: A folder of `frame_NUMBER_densepose.npy` files of shape (2, height, width), taken in
            the order of their numbers, or one file of shape (frames, 2, height, width).

    Returns:
        Coordinates in [0, 1].

    Raises:
        UserError: A file is missing, unreadable or of another shape or range.

    Source: DreamPose `utils/densepose.py`.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(
            (entry for entry in path.iterdir() if entry.suffix == _SUFFIX), key=natural_order
        )
        if not files:
            raise UserError(f"{path}: holds no {_SUFFIX} files; give DensePose's arrays")
        arrays = [_read(file, 3) for file in files]
        for file, array in zip(files, arrays, strict=True):
            if array.shape != arrays[0].shape:
                raise UserError(
                    f"{file}: has shape {array.shape}, the first one {arrays[0].shape}; "
                    "all frames must have one size"
                )
        uv = np.stack(arrays)
    else:
        uv = _read(path, 4)
    return np.ascontiguousarray(np.moveaxis(uv, 1, -1))


def render_uv(
    uv: Float[np.ndarray, "frames height width 2"],
) -> UInt8[np.ndarray, "frames height width 3"]:
    """Show coordinates in [0, 1]: U in red, V in green."""
    shown = np.zeros((*uv.shape[:-1], 3), np.uint8)
    shown[..., :2] = np.rint(255 * np.clip(uv, 0, 1))
    return shown


def _read(path: Path, rank: int) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except ARCHIVE_ERRORS as error:
        raise UserError(f"{path}: is no readable array; save it again by np.save") from error
    if array.ndim != rank or array.shape[-3] != 2 or 0 in array.shape:
        wanted = "(2, height, width)" if rank == 3 else "(frames, 2, height, width)"
        raise UserError(f"{path}: must have shape {wanted}, got {array.shape}")
    if not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
        raise UserError(f"{path}: holds no numbers, or such as are not finite")
    if array.min() < 0 or array.max() > 1:
        raise UserError(f"{path}: coordinates must be in [0, 1]; divide 8-bit ones by 255")
    return array.astype(np.float32)
