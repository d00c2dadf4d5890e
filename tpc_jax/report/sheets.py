"""Frames put together: side by side, enlarged, and as a labelled contact sheet."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from tpc_jax.conditioning.canvas import Canvas

_MIN_SIDE = 192
_LABEL_WIDTH = 110


def enlarge(
    frames: UInt8[np.ndarray, "frames height width 3"],
) -> UInt8[np.ndarray, "frames out_height out_width 3"]:
    """Repeat pixels by a whole factor until frames are at least 192 pixels high."""
    factor = max(1, -(-_MIN_SIDE // frames.shape[1]))
    return frames.repeat(factor, axis=1).repeat(factor, axis=2)


def side_by_side(
    columns: Sequence[UInt8[np.ndarray, "frames _height _width 3"]],
) -> UInt8[np.ndarray, "frames height total_width 3"]:
    """Join clips of equal length left to right, all scaled to the height of the last."""
    height = columns[-1].shape[1]
    return np.concatenate([_to_height(column, height) for column in columns], axis=2)


def compare_runs(
    canvas: Canvas,
    reference: UInt8[np.ndarray, "_rows _columns 3"],
    poses: UInt8[np.ndarray, "frames height width 3"],
    without_tpc: UInt8[np.ndarray, "frames _height _width 3"],
    with_tpc: UInt8[np.ndarray, "frames _height _width 3"],
    image_size: tuple[int, int],
) -> UInt8[np.ndarray, "frames height total_width 3"]:
    """Show reference, pose and both results side by side, each on the whole canvas.

    Args:
        canvas: What the poses were drawn on.
        reference: The still, of any size.
        poses: One for each frame of the results.
        without_tpc: Result without calibration, without bars.
        with_tpc: Result with calibration, without bars.
        image_size: (height, width) of the motion, which says where its bars were.
    """
    still = np.broadcast_to(canvas.pictures(reference), poses.shape)
    results = []
    for frames in (without_tpc, with_tpc):
        whole = np.zeros_like(poses)
        canvas.crop(whole, image_size)[:] = frames
        results.append(whole)
    return side_by_side([still, poses, *results])


def _to_height(frames: np.ndarray, height: int) -> np.ndarray:
    if frames.shape[1] == height:
        return frames
    width = max(1, round(frames.shape[2] * height / frames.shape[1]))
    method = cv2.INTER_AREA if frames.shape[1] > height else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, (width, height), interpolation=method) for frame in frames])


def contact_sheet(
    rows: Mapping[str, UInt8[np.ndarray, "frames height width 3"]], *, num_columns: int = 8
) -> UInt8[np.ndarray, "out_height out_width 3"]:
    """Lay evenly spaced frames of several clips of equal size out as labelled rows."""
    sheet = []
    for label, frames in rows.items():
        chosen = np.linspace(0, len(frames) - 1, min(num_columns, len(frames))).round().astype(int)
        pictures = np.concatenate(list(enlarge(np.asarray(frames)[chosen])), axis=1)
        margin = np.full((pictures.shape[0], _LABEL_WIDTH, 3), 255, np.uint8)
        cv2.putText(
            margin, label, (6, pictures.shape[0] // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0),
            1, cv2.LINE_AA,
        )  # fmt: skip
        sheet.append(np.concatenate([margin, pictures], axis=1))
    return np.concatenate(sheet, axis=0)
