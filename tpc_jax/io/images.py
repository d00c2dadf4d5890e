"""Pictures: read, write, convert, and fit onto a canvas."""

import os
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax.errors import UserError, warn
from tpc_jax.io.atomic import atomic_path, require_writable
from tpc_jax.io.picture_bytes import decode_picture, is_animated, may_hold_several

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})


class Letterbox(NamedTuple):
    """How a picture lies on a canvas: `x_canvas = scale * x_image + offset`, per axis (x, y).

    Attributes:
        scale: Canvas pixels per picture pixel. The two differ by less than a pixel over the
            picture, because the fitted size is whole.
        offset: Canvas position of the centre of the picture's top-left pixel.
    """

    scale: Float[np.ndarray, " 2"]
    offset: Float[np.ndarray, " 2"]

    @property
    def canvas_from_image(self) -> Float[np.ndarray, "2 3"]:
        """The placement as a 2x3 matrix."""
        return np.column_stack([np.diag(self.scale), self.offset])

    def apply(self, xy: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 2"]:
        """Carry points from the picture to the canvas."""
        return xy * self.scale + self.offset


def read_image(
    path: str | Path, background: tuple[int, int, int] = (0, 0, 0)
) -> UInt8[np.ndarray, "height width 3"]:
    """Read a picture as RGB.

    Args:
        path: Any format OpenCV reads; grey, colour, 16-bit and transparent ones alike.
        background: What shows through transparent pixels. Black is also what lies outside a
            warped reference, so a cut-out person is treated the same inside and out.

    Returns:
        The picture.

    Raises:
        UserError: If the file is missing or is not a picture.
    """
    encoded = read_bytes(path)
    try:
        pixels = decode_picture(encoded)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    if may_hold_several(encoded.tobytes()) and (count := cv2.imcount(str(path))) > 1:
        warn(f"{path}: holds {count} pictures; only the first is read")
    return over(pixels, background)


def is_still(path: Path) -> bool:
    """Tell a single picture from a video, by its suffix and its content."""
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return False
    return not is_animated(read_bytes(path).tobytes())


def over(
    pixels: UInt8[np.ndarray, "height width channels"],
    background: tuple[int, int, int] = (0, 0, 0),
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay a picture with transparency, RGBA, over a colour; RGB stays as it is."""
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[..., 3:].astype(np.float32) / 255
    mixed = pixels[..., :3] * alpha + np.asarray(background, np.float32) * (1 - alpha)
    return np.rint(mixed).astype(np.uint8)


def write_image(
    path: str | Path,
    image: UInt8[np.ndarray, "height width 3"]
    | UInt8[np.ndarray, "height width"]
    | Bool[np.ndarray, "height width"],
) -> None:
    """Write an RGB picture, a grey picture or a mask (white is true), atomically.

    Raises:
        UserError: If the file cannot be written or the suffix is unknown.
    """
    path = Path(path)
    _require_suffix(path)
    if image.dtype == np.bool_:
        image = image.astype(np.uint8) * 255
    done, encoded = cv2.imencode(path.suffix, image[..., ::-1] if image.ndim == 3 else image)
    if not done:
        raise ValueError(f"image of shape {image.shape} cannot be encoded as {path.suffix}")
    with atomic_path(path) as partial:
        partial.write_bytes(encoded.tobytes())


def require_image_output(path: str | Path) -> None:
    """Find out before long work whether `write_image` will do.

    Raises:
        UserError: If nothing can be written there or the suffix is unknown.
    """
    _require_suffix(Path(path))
    require_writable(path)


def _require_suffix(path: Path) -> None:
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        raise UserError(f"{path}: unknown picture suffix; use one of {known}")


def from_uint8(pixels: UInt8[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Map uint8 grey levels to float32 in [0, 1]."""
    return pixels.astype(np.float32) / np.float32(255)


def to_uint8(pixels: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Map [0, 1] to the nearest uint8 grey level; values outside (bicubic overshoot) clip."""
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def resize_opencv(
    image: UInt8[np.ndarray, "height width 3"], height: int, width: int
) -> UInt8[np.ndarray, "{height} {width} 3"]:
    """Resize a picture by OpenCV's default, bilinear without anti-aliasing.

    Only to repeat what other tools do: shrinking so leaves jagged edges.
    """
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)


def letterbox(
    image: UInt8[np.ndarray, "rows columns channels"],
    height: int,
    width: int,
    padding: tuple[int, ...] = (0, 0, 0),
) -> UInt8[np.ndarray, "{height} {width} channels"]:
    """Fit a picture onto a canvas, aspect kept, centred, the rest filled with one colour.

    Args:
        image: RGB picture, or a mask with one channel.
        height: Canvas height in pixels.
        width: Canvas width in pixels.
        padding: Colour beside the picture.
    """
    size, corner = _fit(image.shape[:2], height, width)
    canvas = np.empty((height, width, image.shape[2]), np.uint8)
    canvas[:] = padding
    top, left = corner
    canvas[top : top + size[0], left : left + size[1]] = _resize(image, size)
    return canvas


def letterbox_placement(image_size: tuple[int, ...], height: int, width: int) -> Letterbox:
    """Return where `letterbox` puts a picture of (height, width), to carry points along.

    Pixel areas are what is scaled, so centres map by `x' = s (x + 1/2) - 1/2 + pad`.
    """
    size, corner = _fit(image_size, height, width)
    scale = np.array([size[1] / image_size[1], size[0] / image_size[0]])
    return Letterbox(scale, scale / 2 - 0.5 + np.array(corner[::-1]))


def decode_image(data: bytes) -> UInt8[np.ndarray, "height width 3"]:
    """Decode a picture that is held in memory, as RGB; transparency is left out.

    Raises:
        ValueError: The bytes are no picture.
    """
    return np.ascontiguousarray(decode_picture(np.frombuffer(data, np.uint8))[..., :3])


def read_bytes(path: str | Path) -> UInt8[np.ndarray, " bytes"]:
    """Read a file whole.

    Raises:
        UserError: It is missing or may not be read.
    """
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file; check the path")
    try:
        return np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read; check the file's permissions") from error


def _fit(
    shape: tuple[int, ...], height: int, width: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the fitted (height, width) and its top-left corner."""
    ratio = min(height / shape[0], width / shape[1])
    size = (max(1, round(shape[0] * ratio)), max(1, round(shape[1] * ratio)))
    return size, ((height - size[0]) // 2, (width - size[1]) // 2)


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if size == image.shape[:2]:
        return image
    enlarge = size[0] > image.shape[0]
    method = cv2.INTER_CUBIC if enlarge else cv2.INTER_AREA
    # OpenCV leaves out the last axis of pictures with one channel.
    return cv2.resize(image, size[::-1], interpolation=method).reshape(*size, image.shape[2])
