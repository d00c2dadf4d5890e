"""What in a mask is a person: one rule for every kind of levels, over a whole clip."""

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped, UInt8, UInt16

from tpc_jax.errors import UserError, warn

# A lossless clip with more levels than this is soft, not a map of labels.
_MOST_LABELS = 64
# Levels up to this are labels however thin what they mark is.
_SMALL_LABELS = 32
# Share of the pixels of a level that must lie among their like for it to be a label, not an edge.
_LEAST_INTERIOR = 0.05
# Channels that differ by more, of the full range, are a colour.
_COLOUR = 1 / 8
# What a lossy or soft mask must reach, of the full range, to be more than noise.
_FAINTEST = 1 / 8
# Levels so near to either end of a mask's range, relatively, are sure.
_SURE = 0.2
# Shares of sure pixels: of a grey soft mask, and of what is not background in a coloured one.
_LEAST_SURE = 0.5
_LEAST_SURE_COLOUR = 0.8
# Share of the border that is black in a coloured mask: people in front of a screen have none.
_LEAST_BLACK_BORDER = 0.25

Pictures = (
    UInt8[np.ndarray, "frames height width channels"]
    | UInt16[np.ndarray, "frames height width channels"]
)
Numbers = (
    Bool[np.ndarray, "*clip height width"]
    | Integer[np.ndarray, "*clip height width"]
    | Float[np.ndarray, "*clip height width"]
)


def masks_of_pictures(
    pictures: Pictures, name: str, *, is_lossy: bool
) -> Bool[np.ndarray, "frames height width"]:
    """Return where people are in pictures, RGB or RGBA.

    Where anything is transparent, what is opaque is the mask. Otherwise few colours on black are
    labels, everything but black a person, and grey levels go by `masks_of_numbers`.

    Args:
        pictures: All frames of a clip, so that one with nobody is not judged by itself.
        name: What they are called in errors.
        is_lossy: Whether levels may differ from those that were written.

    Raises:
        UserError: They are no masks, or it is not sure what marks a person.
    """
    top = np.iinfo(pictures.dtype).max
    if pictures.shape[-1] == 4 and not (opaque := pictures[..., 3] > top // 2).all():
        return opaque
    levels = pictures[..., :3].max(axis=-1)
    if all(np.ptp(frame[..., :3], axis=-1).max() <= _COLOUR * top for frame in pictures):
        return masks_of_numbers(levels, name, is_lossy=is_lossy)
    colours = None if is_lossy else _few_values(_packed(pictures))
    if colours is not None:
        if colours[0] != 0:
            raise UserError(f"{name}: is in colours without black; make the background black")
        _say_labels(name, len(colours) - 1, "colours")
        return levels > 0
    foreground = levels > _SURE * top
    is_bright = (levels > (1 - _SURE) * top).sum() >= _LEAST_SURE_COLOUR * foreground.sum()
    if not is_bright or _border_share(~foreground) < _LEAST_BLACK_BORDER:
        raise UserError(f"{name}: is a coloured picture, not a mask; give white people on black")
    return levels > top // 2


def masks_of_numbers(
    levels: Numbers, name: str, *, is_lossy: bool = False
) -> Bool[np.ndarray, "*clip height width"]:
    """Return where people are by the levels of a clip: 0 is background.

    Of a few levels without loss all others are people; levels that occur only at edges, and all
    levels of soft masks, go by the middle of the clip's own range.

    Args:
        levels: Of any integer type or range, boolean, or soft.
        name: What they are called in errors.
        is_lossy: Whether levels may differ from those that were written.

    Raises:
        UserError: They are no masks, or it is not sure what marks a person.
    """
    if levels.dtype == np.bool_:
        return levels
    low, high = levels.min(), levels.max()
    if not (np.isfinite(high) and low >= 0):  # not a number is neither
        raise UserError(f"{name}: masks hold negative or infinite numbers; save them as booleans")
    if low == high:
        return levels > 0
    middle = float(low) + (float(high) - float(low)) / 2
    values = None if is_lossy else _few_values(levels)
    if values is not None:
        is_small = high <= _SMALL_LABELS and np.issubdtype(levels.dtype, np.integer)
        if low > 0 and is_small and len(values) > 2:
            raise UserError(
                f"{name}: has labels {_listed(values)} but none is 0; make the background 0"
            )
        if low == 0 and (is_small or values[1] > middle or _has_areas(levels, middle)):
            _say_labels(name, len(values) - 1, f"levels ({_listed(values[1:])})")
            return levels > 0
        return levels > middle
    full = 1.0 if high <= 1 else float(np.iinfo(np.uint8 if high < 256 else np.uint16).max)
    if (is_lossy or high <= 1) and high < _FAINTEST * full:
        raise UserError(
            f"{name}: reaches only level {high:.3g} of {full:g}, which is lost in noise; write "
            "people white on black, or masks without loss as PNG or npz"
        )
    unsure = _SURE * (float(high) - float(low))
    sure = (levels <= low + unsure).mean() + (levels >= high - unsure).mean()
    if sure < _LEAST_SURE:
        raise UserError(
            f"{name}: is no mask: {1 - sure:.0%} of its pixels lie between black and white; give "
            "white people on black"
        )
    return levels > middle


def _few_values(levels: Shaped[np.ndarray, "*clip height width"]) -> np.ndarray | None:
    """Return the distinct values of a clip in order, or None if they are many."""
    values = np.empty(0, levels.dtype)
    for frame in levels.reshape(-1, *levels.shape[-2:]):
        values = np.union1d(values, frame)
        if len(values) > _MOST_LABELS:
            return None
    return values


def _has_areas(levels: np.ndarray, middle: float) -> bool:
    """Tell whether levels below the middle fill areas, as labels do, and are not only edges."""
    num_low = num_inside = 0
    for frame in levels.reshape(-1, *levels.shape[-2:]):
        is_low = (frame > 0) & (frame <= middle)
        same = np.ones(frame.shape, bool)
        for rows, columns in ((0, 1), (1, 0), (1, 1), (1, -1)):
            for sign in (-1, 1):
                same &= frame == np.roll(frame, (sign * rows, sign * columns), (0, 1))
        num_low += is_low.sum()
        num_inside += (is_low & same).sum()
    return bool(num_inside > _LEAST_INTERIOR * num_low)


def _border_share(is_black: Bool[np.ndarray, "frames height width"]) -> float:
    """Return the share of a clip's border that is background."""
    sides = is_black[:, [0, -1]], is_black[:, :, [0, -1]]
    return float(np.concatenate([side.ravel() for side in sides]).mean())


def _packed(pictures: np.ndarray) -> np.ndarray:
    """Return colours as one number each; black is 0."""
    bits = np.uint64(8 * pictures.itemsize)
    red, green, blue = np.moveaxis(pictures[..., :3].astype(np.uint64), -1, 0)
    return (red << bits | green) << bits | blue


def _say_labels(name: str, count: int, what: str) -> None:
    if count > 1:
        warn(f"{name}: marks people by {count} {what}; everything but black, 0, is taken as people")


def _listed(values: np.ndarray) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:6])
    return shown + (", ..." if len(values) > 6 else "")
