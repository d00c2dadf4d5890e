"""Read masks of people: pictures, folders, videos and NumPy archives by one rule."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8, UInt16

from tpc_jax.errors import UserError, warn
from tpc_jax.io.decoding import decode_video
from tpc_jax.io.frame_folders import read_folder
from tpc_jax.io.images import is_still, read_bytes
from tpc_jax.io.mask_levels import masks_of_numbers, masks_of_pictures
from tpc_jax.io.picture_bytes import decode_picture, is_lossy
from tpc_jax.io.video import ARCHIVE_ERRORS, DEFAULT_FPS, spread

_ARRAY_SUFFIXES = (".npz", ".npy")


def read_mask(path: str | Path) -> Bool[np.ndarray, "height width"]:
    """Read the mask of one picture, of any kind that `read_mask_clip` reads.

    Raises:
        UserError: As for `read_mask_clip`, or if there are several frames.
    """
    masks = read_mask_clip(path)
    if masks.ndim != 3 or len(masks) != 1:
        raise UserError(f"{path}: has shape {list(masks.shape)}; give the mask of one picture")
    return masks[0]


def read_mask_clip(path: str | Path) -> Bool[np.ndarray, "*people frames height width"]:
    """Read masks and say what was made of them.

    Args:
        path: A picture, a video or a folder of pictures: white people on black, labels on 0, or
            cut-out people on transparency; or an `.npz` file with `masks`, or an `.npy` file,
            of booleans, labels or soft masks.

    Returns:
        `[frames height width]`, or what the array holds: `[people frames height width]`.

    Raises:
        UserError: It is missing, damaged or no mask, or marks nobody in any frame.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file or folder; check the path")
    masks = _read(path)
    if not masks.any():
        raise UserError(f"{path}: marks nobody: every pixel is background; make the mask again")
    if masks.all():
        warn(f"{path}: marks everything as a person")
    return masks


def read_mask_pictures(files: Sequence[Path]) -> Bool[np.ndarray, "frames height width"]:
    """Read pictures that are the masks of one clip; any may be empty.

    Raises:
        UserError: One is missing, no mask or of another size.
    """
    pictures = [_picture(file) for file in files]
    for file, picture in zip(files, pictures, strict=True):
        if (picture.shape, picture.dtype) != (pictures[0].shape, pictures[0].dtype):
            raise UserError(f"{file}: differs from {files[0].name} in size or depth; make it again")
    return masks_of_pictures(np.stack(pictures), str(files[0]), is_lossy=_any_lossy(files))


def fit_masks(
    masks: Bool[np.ndarray, "*clip rows columns"],
    size: tuple[int, int],
    path: str | Path,
    what: str,
) -> Bool[np.ndarray, "*clip height width"]:
    """Bring masks to the size of their pictures if both have one aspect ratio, which is said.

    Args:
        masks: Masks of any size.
        size: (height, width) of the pictures.
        path: Where they come from.
        what: What the pictures are called in errors.

    Raises:
        UserError: The aspect ratios differ.
    """
    rows, columns = masks.shape[-2:]
    height, width = size
    if (rows, columns) == (height, width):
        return masks
    if abs(columns * height / rows - width) > max(1, height / rows):
        raise UserError(
            f"{path}: is {columns}x{rows} pixels but {what} is {width}x{height}; give masks of the "
            "same size"
        )
    warn(f"{path}: is {columns}x{rows} pixels and scaled to the {width}x{height} of {what}")
    row = ((np.arange(height) + 0.5) * rows / height).astype(int)
    column = ((np.arange(width) + 0.5) * columns / width).astype(int)
    return masks[..., row[:, None], column]


def _read(path: Path) -> Bool[np.ndarray, "*people frames height width"]:
    if path.is_dir():
        pictures = read_folder(path, _picture)
        return masks_of_pictures(pictures, str(path), is_lossy=_any_lossy(list(path.iterdir())))
    if path.suffix.lower() in _ARRAY_SUFFIXES:
        return _from_array(path)
    if is_still(path):
        return read_mask_pictures([path])
    decoded = decode_video(path, keep_alpha=True)
    timing = spread(path, decoded, decoded.fps or DEFAULT_FPS)
    masks = masks_of_pictures(decoded.frames, str(path), is_lossy=decoded.is_lossy)
    return masks if timing.sources is None else masks[timing.sources]


def _picture(
    path: Path,
) -> UInt8[np.ndarray, "height width 4"] | UInt16[np.ndarray, "height width 4"]:
    try:
        pixels = decode_picture(read_bytes(path), keep_depth=True)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if pixels.shape[2] == 4:
        return pixels
    return np.pad(pixels, ((0, 0), (0, 0), (0, 1)), constant_values=np.iinfo(pixels.dtype).max)


def _any_lossy(files: Sequence[Path]) -> bool:
    return any(is_lossy(np.fromfile(file, np.uint8, count=64)) for file in files if file.is_file())


def _from_array(path: Path) -> Bool[np.ndarray, "*people frames height width"]:
    try:
        loaded = np.load(path, allow_pickle=False)
        masks = loaded if isinstance(loaded, np.ndarray) else _from_archive(path, loaded)
    except ARCHIVE_ERRORS as error:
        raise UserError(f"{path}: is not a readable archive of masks; save it again") from error
    if masks.dtype.kind not in "biuf" or not 2 <= masks.ndim <= 4 or 0 in masks.shape:
        raise UserError(
            f"{path}: masks are {masks.dtype} {list(masks.shape)}; save booleans of shape [frames, "
            "height, width]"
        )
    return masks_of_numbers(masks[None] if masks.ndim == 2 else masks, str(path))


def _from_archive(path: Path, archive) -> np.ndarray:
    with archive:
        if "masks" not in archive:
            raise UserError(f"{path}: has no array 'masks'; save one with np.savez")
        masks = archive["masks"]
        if "shape" not in archive:
            return masks
        shape = tuple(int(length) for length in archive["shape"])
        return np.unpackbits(masks, axis=-1)[..., : shape[-1]].reshape(shape).astype(bool)
