"""A model's fixed canvas: how pictures, masks, part maps and points come onto it and back off."""

import dataclasses
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax.io.images import Letterbox, letterbox, letterbox_placement
from tpc_jax.io.resampling import Filter, resize_8bit

# "letterbox": all of the picture, aspect kept, bars beside it. "crop": the largest central piece of
# the canvas's aspect, by Pillow's bilinear filter. "stretch": all of it, whatever the aspect, by
# Pillow's bicubic filter.
Fit = Literal["letterbox", "crop", "stretch"]
_FILTERS: dict[Fit, Filter] = {"crop": "bilinear", "stretch": "bicubic"}


@dataclasses.dataclass(frozen=True)
class Canvas:
    """The pictures that a model takes and makes.

    Attributes:
        size: Height and width in pixels.
        fit: How pictures of other sizes come onto it.
    """

    size: tuple[int, int]
    fit: Fit = "letterbox"

    def pictures(
        self,
        images: UInt8[np.ndarray, "*batch height width 3"],
        padding: tuple[int, int, int] = (0, 0, 0),
    ) -> UInt8[np.ndarray, "*batch out_height out_width 3"]:
        """Put RGB pictures onto the canvas; bars have one colour."""
        return self._placed(images, padding)

    def masks(
        self,
        masks: Bool[np.ndarray, "*batch height width"] | UInt8[np.ndarray, "*batch height width"],
    ) -> UInt8[np.ndarray, "*batch out_height out_width"]:
        """Put masks (boolean, or coverage 0...255) onto the canvas as coverage 0...255."""
        return self._placed(to_coverage(masks)[..., None], (0,))[..., 0]

    def parts(
        self, parts: UInt8[np.ndarray, "frames height width"]
    ) -> UInt8[np.ndarray, "frames out_height out_width"]:
        """Put part maps onto the canvas without mixing parts; background beside them."""
        matrix = self.placement(parts.shape[1:]).canvas_from_image
        size = self.size[::-1]
        return np.stack([cv2.warpAffine(x, matrix, size, flags=cv2.INTER_NEAREST) for x in parts])

    def points(
        self, xy: Float[np.ndarray, "*batch 2"], image_size: tuple[int, int]
    ) -> Float[np.ndarray, "*batch 2"]:
        """Carry points (x, y) from a picture of (height, width) to the canvas, both in pixels."""
        return self.placement(image_size).apply(xy)

    def placement(self, image_size: tuple[int, ...]) -> Letterbox:
        """Return where a picture of (height, width) comes to lie."""
        if self.fit == "letterbox":
            return letterbox_placement(image_size, *self.size)
        whole = (0, 0, *image_size)
        is_cropped = self.fit == "crop"
        top, left, height, width = _central(image_size, self.size) if is_cropped else whole
        scale = np.array([self.size[1] / width, self.size[0] / height])
        return Letterbox(scale, scale / 2 - 0.5 - scale * np.array([left, top]))

    def content(self, image_size: tuple[int, int]) -> tuple[slice, slice]:
        """Return the rows and columns of the canvas that a picture of (height, width) fills."""
        if self.fit != "letterbox":
            return slice(0, self.size[0]), slice(0, self.size[1])
        placement = self.placement(image_size)
        low = np.ceil(placement.apply(np.array([-0.5, -0.5]))).astype(int)
        high = np.round(placement.apply(np.array(image_size[::-1]) - 0.5) + 0.5).astype(int)
        return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))

    def beside(self, image_size: tuple[int, int]) -> Bool[np.ndarray, "out_height out_width"]:
        """Return the bars: where a picture of (height, width) leaves the canvas free."""
        is_free = np.ones(self.size, bool)
        is_free[self.content(image_size)] = False
        return is_free

    def crop(self, frames: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
        """Cut the bars off frames [frames height width ...] made on the canvas.

        Args:
            frames: Frames of the canvas's size.
            image_size: (height, width) of what was put onto the canvas.
        """
        rows, columns = self.content(image_size)
        return frames[:, rows, columns]

    def _placed(self, images, padding: tuple[int, ...]):
        flat = images.reshape(-1, *images.shape[-3:])
        placed = np.empty((len(flat), *self.size, images.shape[-1]), np.uint8)
        for image, out in zip(flat, placed, strict=True):
            if image.shape[:2] == self.size:
                out[:] = image
            elif self.fit == "letterbox":
                out[:] = letterbox(image, *self.size, padding)
            else:
                piece = crop_to_aspect(image, self.size) if self.fit == "crop" else image
                out[:] = resize_8bit(piece, self.size, _FILTERS[self.fit])
        return placed.reshape(*images.shape[:-3], *placed.shape[1:])


def crop_to_aspect(
    images: UInt8[np.ndarray, "*batch height width channels"], size: tuple[int, int]
) -> UInt8[np.ndarray, "*batch _height _width channels"]:
    """Cut out the largest central piece with the aspect of (height, width)."""
    top, left, height, width = _central(images.shape[-3:-1], size)
    return images[..., top : top + height, left : left + width, :]


def _central(image_size: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return top, left, height and width; half a pixel goes to the top and left."""
    ratio = min(image_size[0] / size[0], image_size[1] / size[1])
    height, width = (max(1, round(ratio * side)) for side in size)
    return (image_size[0] - height) // 2, (image_size[1] - width) // 2, height, width


def to_coverage(
    masks: Bool[np.ndarray, "*shape"] | UInt8[np.ndarray, "*shape"],
) -> UInt8[np.ndarray, "*shape"]:
    """Return masks as coverage 0...255."""
    return masks * np.uint8(255) if masks.dtype == np.bool_ else masks
