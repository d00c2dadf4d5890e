"""RTMPose and DWPose: the points of one person within a box.

A network says along x and along y how likely a point is in each fraction of a pixel (SimCC).

Source: `dw-ll_ucoco_384.onnx` of DWPose and its `onnxpose.py`; colours as RTMPose was trained, red
first.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from tpc_jax.detect.onnx_network import OnnxNetwork
from tpc_jax.detect.regions import Picture, Region

_USUAL_SIZE = (384, 288)
_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_STD = np.array([58.395, 57.12, 57.375], np.float32)
_PADDING = 1.25
# How many points a network may have, and what they are.
NUM_POINTS = {"coco-17": 17, "wholebody-133": 133}


class PointFinder:
    """An RTMPose network.

    Attributes:
        layout: Its points: `wholebody-133`, or `coco-17` without hands and face.
    """

    def __init__(self, path: str | Path, num_threads: int | None = None) -> None:
        """Open a network.

        Args:
            path: `.onnx` file that gives `[1, points, bins]` along x and along y.
            num_threads: As for `OnnxNetwork`.

        Raises:
            UserError: It is none.
        """
        self._network = OnnxNetwork(path, _USUAL_SIZE, num_threads)
        height, width = self._network.size
        self._size = np.array([width, height])
        order = _order(self._network.output_shapes, (width, height))
        if order is None:
            raise self._network.unlike(
                f"for {width}x{height} RTMPose gives [1, 133, {2 * width}] and "
                f"[1, 133, {2 * height}], or 17 points; give DWPose's dw-ll_ucoco_384.onnx"
            )
        self._order = order
        _, points, bins = self._network.output_shapes[order[0]]
        self._bins_per_pixel = bins // width
        self.layout = next(name for name, count in NUM_POINTS.items() if count == points)

    def __call__(
        self, picture: Picture, box: Float[np.ndarray, " 4"]
    ) -> Float[np.ndarray, "points 3"]:
        """Find the points of the person in a box.

        Args:
            picture: The picture.
            box: As `PersonFinder` gives it.

        Returns:
            (x, y, confidence); the confidence is the lesser of those along x and y, and 0 outside
            the picture.
        """
        region, start = self._region(box)
        crop = picture.crop(region, int(self._size.max()))
        columns, rows = (slice(a, a + n) for a, n in zip(start, self._size, strict=True))
        x = (crop[rows, columns].astype(np.float32) - _MEAN) / _STD
        outputs = self._network(x.transpose(2, 0, 1)[None])
        along = [outputs[index][0] for index in self._order]
        place = np.stack([y.argmax(axis=-1) for y in along], axis=-1) / self._bins_per_pixel
        xy = region.to_image((start + place + 0.5) / self._size.max())
        conf = np.minimum(*(y.max(axis=-1) for y in along)).clip(0, 1)
        is_inside = ((xy >= 0) & (xy <= np.array(picture.size[::-1]) - 1)).all(axis=-1)
        return np.column_stack([xy, np.where(is_inside, conf, 0)]).astype(np.float32)

    def _region(self, box: Float[np.ndarray, " 4"]) -> tuple[Region, np.ndarray]:
        """Return a square around a box, and where in its crop the network's view (x, y) starts."""
        pixel = _PADDING * float(((box[2:] - box[:2]) / self._size).max())
        # Boxes have their origin at the corner of a pixel, regions at its middle.
        centre = (box[:2] + box[2:]) / 2 - 0.5
        side = int(self._size.max())
        return Region(centre, pixel * side), (side - self._size) // 2


def _order(shapes: list[tuple[int, ...]], size: tuple[int, int]) -> tuple[int, int] | None:
    """Return which output is along x and which along y; None if they are no such pair.

    Where both sides of the input are alike, so are the shapes, and x comes first.
    """
    for order in ((0, 1), (1, 0)) if len(shapes) == 2 else ():
        along_x, along_y = (shapes[index] for index in order)
        points = along_x[1] if len(along_x) == 3 else 0
        bins_per_pixel = along_x[-1] // size[0]
        expected = [(1, points, bins_per_pixel * length) for length in size]
        if points in NUM_POINTS.values() and bins_per_pixel and [along_x, along_y] == expected:
            return order
    return None
