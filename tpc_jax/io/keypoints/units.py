"""Bring points to the pixels of their picture, or say why that cannot be."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tpc_jax.errors import UserError, warn
from tpc_jax.io.keypoints.placing import Pictures

# No person is seen on so few pixels: smaller numbers are no pixels.
_FEWEST_PIXELS = 10
# Share of points that may be wrong in a file without changing what it is.
_MOST_ODD = 0.05
# Two shapes are one if they differ by rounding: in relation, and in pixels.
_SAME_SHAPE, _ROUNDING = 0.01, 1.5
# How far beyond the picture, in parts of its longer side, truncated people reach.
_MARGIN = 0.05
# Confidences of some detectors go a little below 0 or well beyond 1, but not all of them.
_DEEPEST, _HIGHEST, _LOWEST = -0.05, 10.0, 1.5


def settle_confidences(path: Path, conf: np.ndarray, *, is_flagged: bool) -> np.ndarray:
    """Bring confidences to [0, 1].

    Args:
        path: The file, for messages.
        conf: The third column of all points.
        is_flagged: Whether they may be COCO's 0, 1 for hidden and 2 for visible points.

    Raises:
        UserError: They are no confidences.
    """
    if is_flagged and (conf == 2).any() and np.isin(conf, (0, 1, 2)).all():
        return conf / 2
    present = conf[(conf != 0) & (conf != -1)]
    odd = (present < _DEEPEST) | (present > _HIGHEST)
    if present.size and (odd.mean() > _MOST_ODD or present.min() > _LOWEST):
        raise UserError(
            f"{path}: the third values of its points are {present.min():.4g} to "
            f"{present.max():.4g}, so depths or other than confidences; give x, y and a "
            "confidence of 0 to 1"
        )
    return np.clip(conf, 0, 1)


def to_pixels(
    path: Path,
    points: np.ndarray,
    stated: Sequence[tuple[int, int] | None],
    pictures: Pictures,
) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Bring points to the pixels of their picture.

    Args:
        path: The file, for messages.
        points: (x, y, confidence) of `[people frames points]` in the unit of the file.
        stated: (height, width) that the file states for every frame.
        pictures: What the points belong to; without a size, the first stated one is taken.

    Returns:
        The points in pixels of the picture, and its size where it is known.

    Raises:
        UserError: Unit or size of the picture cannot be known, or the points lie outside.
    """
    known = [one for one in stated if one is not None]
    target = pictures.size or (known[0] if known else None)
    _require_one_shape(path, set(known) - {pictures.stored_size}, target)
    scaled = points.copy()
    if _are_parts(path, points):
        if target is None:
            raise UserError(
                f"{path}: its points lie between 0 and 1 and the size of the picture is not "
                "known; write keypoints in pixels, or state width and height"
            )
        sides = np.array(target[::-1], float)
        scaled[..., :2] *= sides
        # ComfyUI writes -1 pixel for points of a hand that it did not find.
        scaled[np.isclose(scaled[..., :2], -1, atol=1e-3).all(axis=-1)] = 0
        warn(
            f"{path}: points between 0 and 1 are taken as parts of the picture's "
            f"{target[1]}x{target[0]} pixels"
        )
    elif pictures.stored_size is not None and not known:
        raise _unknown_shape(path, pictures)
    elif known and target is not None:
        everywhere = known[0] if len(set(known)) == 1 else target
        sizes = np.array([one or everywhere for one in stated], float)
        factors = (np.array(target) / sizes)[:, None, ::-1]
        # Pixel areas are what is scaled, so centres move by half a pixel.
        scaled[..., :2] = (points[..., :2] + 0.5) * factors - 0.5
        if other := sorted(set(known) - {target}):
            warn(
                f"{path}: points on {other[0][1]}x{other[0][0]} pixels are scaled to the "
                f"picture's {target[1]}x{target[0]}"
            )
    scaled[scaled[..., 2] == 0] = 0
    _require_inside(path, scaled, target)
    return scaled, target


def _unknown_shape(path: Path, pictures: Pictures) -> UserError:
    stored, shown = (
        "?" if size is None else f"{size[1]}x{size[0]}"
        for size in (pictures.stored_size, pictures.size)
    )
    return UserError(
        f"{path}: does not say whether it was made on {pictures.title} as stored, {stored}, or as "
        f"shown, {shown}; add width and height to it"
    )


def _require_one_shape(path: Path, stated: set[tuple[int, int]], target) -> None:
    for height, width in stated:
        wanted = height * target[1] / target[0]
        tolerance = max(_SAME_SHAPE * width, _ROUNDING * max(1.0, height / target[0]))
        if abs(wanted - width) > tolerance:
            raise UserError(
                f"{path}: was annotated on {width}x{height} pixels, the picture has "
                f"{target[1]}x{target[0]}; annotate that picture"
            )


def _are_parts(path: Path, points: np.ndarray) -> bool:
    """Tell whether points are parts of the picture, not pixels."""
    visible = points[points[..., 2] > 0][:, :2]
    small = (np.abs(visible) <= _FEWEST_PIXELS).all(axis=1)
    if small.mean() < 1 - _MOST_ODD:
        return False
    visible = visible[small]
    low, high = visible.min(), visible.max()
    inside = ((visible > -0.02) & (visible < 1.02)).all(axis=1).mean()
    if low > -0.5 and inside >= 0.5:
        return True
    raise UserError(
        f"{path}: its points lie between {low:.3g} and {high:.3g}, so they are metres or another "
        "unit than pixels; give 2-D keypoints in pixels, or in parts of the picture from 0 to 1"
    )


def _require_inside(path: Path, points: np.ndarray, size: tuple[int, int] | None) -> None:
    visible = points[points[..., 2] > 0][:, :2]
    high = np.array(size[::-1] if size else (np.inf, np.inf), float) - 1
    margin = _MARGIN * max(size) if size else 0.0
    outside = ((visible < -margin) | (visible > high + margin)).any(axis=1).mean()
    if outside <= 0.5:
        return
    (left, top), (right, bottom) = visible.min(axis=0), visible.max(axis=0)
    of = f"the picture of {size[1]}x{size[0]} pixels" if size else "every picture"
    raise UserError(
        f"{path}: {outside:.0%} of its points lie outside {of} (x {left:.0f} to {right:.0f}, "
        f"y {top:.0f} to {bottom:.0f}); give keypoints of this picture, in its pixels"
    )
