"""Turned squares of a picture: what a network is shown, and the way back to the picture."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Shaped, UInt8


class Region(NamedTuple):
    """A square of a picture; `x_image = centre + side * R(angle) (u - 1/2)`.

    Coordinates `u` of the square run from 0 to 1, right and down, as the network sees it.

    Attributes:
        centre: Middle in pixels (x, y).
        side: Length of a side in pixels.
        angle: Radians from +x towards +y, by which what is seen upright lies turned in the picture.
    """

    centre: Float[np.ndarray, " 2"]
    side: float
    angle: float = 0.0

    @property
    def linear(self) -> Float[np.ndarray, "2 2"]:
        """The map's matrix: rotation times side."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return self.side * np.array([[cos, -sin], [sin, cos]])

    def to_image(self, u: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 2"]:
        """Carry points of the square to the picture."""
        return self.centre + (u - 0.5) @ self.linear.T

    def from_image(self, xy: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 2"]:
        """Carry points of the picture to the square."""
        return (xy - self.centre) @ np.linalg.inv(self.linear).T + 0.5

    def image_from_crop(self, size: int) -> Float[np.ndarray, "2 3"]:
        """Return the affine matrix from pixels of a crop of `size` pixels to the picture."""
        linear = self.linear / size
        return np.column_stack([linear, self.to_image(np.full(2, 0.5 / size))])


class Picture:
    """A picture and its halves, quarters, ...: crops of any scale without aliasing.

    Attributes:
        image: The picture, RGB.
        size: (height, width).
    """

    def __init__(self, image: UInt8[np.ndarray, "height width 3"]) -> None:
        self.image = image
        self.size: tuple[int, int] = image.shape[:2]
        self._levels = [image]

    def level(self, shrink: float) -> tuple[UInt8[np.ndarray, "h w 3"], Float[np.ndarray, " 2"]]:
        """Return the smallest level that loses nothing when shrunk so, and its scale (x, y)."""
        depth = max(0, int(np.floor(np.log2(max(shrink, 1.0)))))
        while len(self._levels) <= depth:
            height, width = self._levels[-1].shape[:2]
            if min(height, width) < 2:
                break
            half = (width // 2, height // 2)
            self._levels.append(cv2.resize(self._levels[-1], half, interpolation=cv2.INTER_AREA))
        image = self._levels[min(depth, len(self._levels) - 1)]
        scale = np.array(image.shape[1::-1]) / np.array(self.image.shape[1::-1])
        return image, scale

    def crop(
        self, region: Region, size: int, *, is_mirrored: bool = False
    ) -> UInt8[np.ndarray, "{size} {size} 3"]:
        """Cut out a region as `size` pixels square, black outside the picture.

        Args:
            region: What to cut out.
            size: Pixels along a side.
            is_mirrored: Whether left and right of the crop are exchanged.
        """
        image, scale = self.level(region.side / size)
        matrix = region.image_from_crop(size)
        # Pixel areas are what is scaled, so centres move by half a pixel.
        matrix = np.column_stack([matrix[:, :2], matrix[:, 2] + 0.5]) * scale[:, None]
        matrix[:, 2] -= 0.5
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cropped = cv2.warpAffine(image, matrix, (size, size), flags=flags)
        return np.ascontiguousarray(cropped[:, ::-1]) if is_mirrored else cropped


def region_upright(
    hip: Float[np.ndarray, " 2"], top: Float[np.ndarray, " 2"], widen: float = 2.5
) -> Region:
    """Return the square around a person's hips in which the line to a point above stands upright.

    Args:
        hip: Middle of the hips in pixels.
        top: The point that gives size and rotation.
        widen: Side of the square per distance of the two.
    """
    along = np.asarray(top, float) - hip
    distance = max(float(np.hypot(*along)), 1.0)
    return Region(np.asarray(hip, float), widen * distance, float(np.arctan2(along[0], -along[1])))


def whole_picture(size: tuple[int, int], angle: float = 0.0) -> Region:
    """Return the smallest square of this angle that holds a picture of (height, width)."""
    height, width = size
    cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
    side = max(width * cos + height * sin, width * sin + height * cos)
    return Region(np.array([width - 1, height - 1]) / 2, float(side), float(angle))


def paste(
    crop: Shaped[np.ndarray, "n n"], region: Region, size: tuple[int, int], outside: float
) -> Shaped[np.ndarray, "height width"]:
    """Lay a crop back into a picture of (height, width), with `outside` around it."""
    height, width = size
    return cv2.warpAffine(
        crop,
        region.image_from_crop(len(crop)),
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=outside,
    )
