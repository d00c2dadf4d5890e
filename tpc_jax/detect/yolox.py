"""YOLOX: boxes around the people of a picture.

Source: `yolox_l.onnx` of DWPose and its `onnxdet.py`; MMDeploy's files, which hold a suppression of
their own, as rtmlib takes them.
"""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from tpc_jax.detect.onnx_network import OnnxNetwork
from tpc_jax.detect.regions import Picture
from tpc_jax.errors import warn

_USUAL_SIZE = (640, 640)
_STRIDES = (8, 16, 32)
_PERSON = 0
# Least score, and intersection over union from which two boxes are one person's.
_LEAST, _OVERLAP = 0.3, 0.45
# Level around the picture.
_GREY = 114


class PersonFinder:
    """A YOLOX network, of either kind."""

    def __init__(self, path: str | Path, num_threads: int | None = None) -> None:
        """Open a network; which kind it is, is told by the shapes of what it gives.

        Args:
            path: `.onnx` file: grids `[1, cells, 5 + classes]` as they come, or boxes and labels
                after suppression `[1, n, 5]` and `[1, n]`, both with or without the leading 1.
            num_threads: As for `OnnxNetwork`.

        Raises:
            UserError: It is none.
        """
        self._network = OnnxNetwork(path, _USUAL_SIZE, num_threads)
        self._grid, self._stride = _cells(self._network.size)
        shapes = self._network.output_shapes
        is_grid = (
            len(shapes) == 1
            and shapes[0][:-1] in ((1, len(self._grid)), (len(self._grid),))
            and shapes[0][-1] > 5
        )
        self._boxes_index = None if is_grid else _boxes_index(shapes)
        if not is_grid and self._boxes_index is None:
            height, width = self._network.size
            raise self._network.unlike(
                f"for {width}x{height} YOLOX gives [1, {len(self._grid)}, 85], or boxes [1, n, 5] "
                "and labels [1, n]; give DWPose's yolox_l.onnx"
            )
        if not is_grid and "yolox" not in Path(path).name.lower():
            warn(
                f"{path}: is taken for YOLOX, which sees colours from 0 to 255; other detectors "
                "that give boxes and labels, such as RTMDet, see others and would find nobody"
            )

    def __call__(
        self, picture: Picture
    ) -> tuple[Float[np.ndarray, "people 4"], Float[np.ndarray, " people"]]:
        """Find the people of a picture, the surest first.

        Returns:
            Left, top, right and bottom in pixels, where the picture is from 0 to its width and
            height; scores in [0, 1].

        Raises:
            UserError: The network gives something else than YOLOX.
        """
        canvas, scale = letterbox(picture, self._network.size)
        # Blue first, and values as they are.
        x = canvas[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)
        outputs = self._network(x)
        if self._boxes_index is None:
            codes = outputs[0].reshape(len(self._grid), -1)
            boxes, scores = self._decode(codes), codes[:, 4] * codes[:, 5 + _PERSON]
        else:
            found = outputs[self._boxes_index].reshape(-1, 5)
            is_person = outputs[1 - self._boxes_index].reshape(-1) == _PERSON
            boxes, scores = found[is_person, :4], found[is_person, 4]
        bounds = np.tile(picture.size[::-1], 2)
        boxes = np.clip(boxes / np.tile(scale, 2), 0, bounds)
        is_some = (boxes[:, 2:] > boxes[:, :2]).all(axis=-1) & (scores > _LEAST)
        return suppress(boxes[is_some], np.clip(scores[is_some], 0, 1))

    def _decode(self, codes: Float[np.ndarray, "cells values"]) -> Float[np.ndarray, "cells 4"]:
        """Return corners in pixels of the canvas."""
        centre, side = codes[:, :2], codes[:, 2:4]
        longest = max(self._network.size)
        if np.median(centre) > longest / min(_STRIDES):  # no offset counted in cells is so far
            raise self._network.unlike(
                "its boxes are in pixels, not in cells of grids; give DWPose's yolox_l.onnx, or "
                "export without --decode_in_inference"
            )
        centre = (centre + self._grid) * self._stride
        side = np.exp(np.minimum(side, np.log(longest))) * self._stride
        return np.concatenate([centre - side / 2, centre + side / 2], axis=-1)


def letterbox(
    picture: Picture, size: tuple[int, int]
) -> tuple[UInt8[np.ndarray, "height width 3"], Float[np.ndarray, " 2"]]:
    """Fit a picture into the top left of a grey canvas of (height, width).

    Returns:
        RGB canvas, and its pixels per pixel of the picture along x and y.
    """
    scale = min(full / length for full, length in zip(size, picture.size, strict=True))
    height, width = (max(1, int(length * scale)) for length in picture.size)
    canvas = np.full((*size, 3), _GREY, np.uint8)
    level, _ = picture.level(1 / scale)
    canvas[:height, :width] = cv2.resize(level, (width, height), interpolation=cv2.INTER_LINEAR)
    return canvas, np.array([width, height]) / picture.size[::-1]


def suppress(
    boxes: Float[np.ndarray, "found 4"], scores: Float[np.ndarray, " found"]
) -> tuple[Float[np.ndarray, "people 4"], Float[np.ndarray, " people"]]:
    """Keep the surest of boxes that overlap, the surest first."""
    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=-1)
    kept = np.asarray(cv2.dnn.NMSBoxes(sides.tolist(), scores.tolist(), _LEAST, _OVERLAP), int)
    return boxes[kept], scores[kept]


def _cells(
    size: tuple[int, int],
) -> tuple[Float[np.ndarray, "cells 2"], Float[np.ndarray, "cells 1"]]:
    """Return column and row of the cells of all grids, and how many pixels each is wide."""
    grids = [np.mgrid[: size[0] // s, : size[1] // s].reshape(2, -1)[::-1].T for s in _STRIDES]
    strides = np.repeat(_STRIDES, [len(grid) for grid in grids])
    return np.concatenate(grids).astype(np.float32), strides[:, None].astype(np.float32)


def _boxes_index(shapes: list[tuple[int, ...]]) -> int | None:
    """Return which of two outputs is the boxes, whose labels are the other; None if neither."""
    for index in range(2 if len(shapes) == 2 else 0):
        boxes, labels = shapes[index], shapes[1 - index]
        if boxes[-1:] == (5,) and boxes[:-1] == labels and labels[:-1] in ((), (1,)):
            return index
    return None
