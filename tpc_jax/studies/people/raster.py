"""Rasteriser: layers of polygons to anti-aliased frames, part maps and masks."""

import cv2
import numpy as np

from tpc_jax.studies.people.shapes import WORN, Layer, Split

_FRACTION_BITS = 4


def supersampling(height: int, width: int) -> int:
    """Return the number of sub-pixels per pixel side used for a canvas size."""
    side = max(height, width)
    return 4 if side <= 96 else 3 if side <= 192 else 2


def draw_layers(
    layers: list[Layer],
    linear: np.ndarray,
    offset: np.ndarray,
    background: np.ndarray,
    ratio: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Paint layers over a supersampled background.

    Args:
        layers: Shapes in body heights; far layers are painted first.
        linear: Map from body heights to pixels, [frames, 2, 2].
        offset: Its translation, [frames, 2], in pixels with the origin at the centre of the
            top-left pixel.
        background: RGB picture at `ratio` times the canvas size.
        ratio: Sub-pixels per pixel side.

    Returns:
        Frames [frames, height, width, 3], body codes [frames, height, width] and person masks.
    """
    num_frames = linear.shape[0]
    height, width = background.shape[0] // ratio, background.shape[1] // ratio
    polygons = _to_fixed_point(layers, linear, offset, ratio)
    order = np.argsort(np.stack([layer.depth for layer in layers]), axis=0, kind="stable")
    base = np.dstack([background, np.zeros(background.shape[:2], np.uint8)])
    canvas = np.empty_like(base)
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    codes = np.empty((num_frames, height, width), np.uint8)
    mask = np.empty((num_frames, height, width), bool)
    middle = ratio // 2
    fill = cv2.fillPoly
    for frame in range(num_frames):
        np.copyto(canvas, base)
        for index in order[:, frame]:
            for points, tint, visible in polygons[index]:
                if visible is None or visible[frame]:
                    fill(canvas, list(points[frame]), tint, cv2.LINE_8, _FRACTION_BITS)
        small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
        frames[frame] = small[..., :3]
        code = canvas[..., 3]
        codes[frame] = code[middle::ratio, middle::ratio]
        covered = cv2.threshold(code, 0, 255, cv2.THRESH_BINARY)[1]
        covered = cv2.resize(covered, (width, height), interpolation=cv2.INTER_AREA)
        mask[frame] = covered >= 128
    codes[~mask] = 0
    return frames, codes, mask


def _to_fixed_point(
    layers: list[Layer], linear: np.ndarray, offset: np.ndarray, ratio: int
) -> list[list[tuple]]:
    """Map all corners at once to supersampled fixed-point pixels, per layer and shape."""
    num_frames = linear.shape[0]
    shapes = [shape for layer in layers for shape in layer.shapes]
    flat = np.concatenate([shape.points.reshape(num_frames, -1, 2) for shape in shapes], axis=1)
    pixels = flat @ linear.transpose(0, 2, 1) + offset[:, None]
    # Sub-pixel centres: pixel x covers sub-pixels ratio * x ... ratio * x + ratio - 1.
    fixed = ((pixels + 0.5) * ratio - 0.5) * (1 << _FRACTION_BITS)
    fixed = np.round(np.clip(fixed, -1e6, 1e6)).astype(np.int32)
    start, out = 0, []
    for layer in layers:
        entries = []
        for shape in layer.shapes:
            _, count, corners, _ = shape.points.shape
            stop = start + count * corners
            block = fixed[:, start:stop].reshape(num_frames, count, corners, 2)
            tint = (*shape.color, shape.code)
            entries.append((block, tint, shape.visible))
            start = stop
        out.append(entries)
    return out


def split_parts(
    codes: np.ndarray, splits: list[Split], linear: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """Turn body codes into DensePose parts: divide what is split, clear what is only worn.

    Args:
        codes: Codes of the fourth drawing channel, [frames, height, width].
        splits: Divisions in body heights.
        linear: Map from body heights to pixels, [frames, 2, 2].
        offset: Its translation, [frames, 2].

    Returns:
        Part ids 0 to 24.
    """
    parts = np.where(codes == WORN, 0, codes).astype(np.uint8)
    for split in splits:
        frame, y, x = np.nonzero(codes == split.code)
        point = np.einsum("fij,fj->fi", linear, split.point) + offset
        normal = np.einsum("fij,fj->fi", linear, split.direction)
        level = (point * normal).sum(axis=1)
        is_ahead = x * normal[frame, 0] + y * normal[frame, 1] > level[frame]
        parts[frame, y, x] = np.where(is_ahead, split.ahead, split.behind)
    return parts
