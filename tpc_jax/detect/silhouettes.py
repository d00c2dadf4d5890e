"""Person masks at the full resolution of a picture, everybody's kept apart.

The network's mask is coarse and smooth. A guided filter makes it follow the edges of the picture:
around every pixel the mask is fitted as a linear function of colour, and the functions, which vary
slowly, are evaluated on the full picture.

Source: He and Sun, "Fast Guided Filter", 2015, with the colour guide of He et al. 2013.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float

from tpc_jax.detect.regions import Picture, Region

# Pixels of the network's mask over which colours are compared, and how much noise they may have.
_RADIUS = 4
_NOISE = 1e-3
# Regions longer than this many pixels are filtered at twice the resolution.
_LARGE = 1024
# Pieces of a mask below this part of the largest one are specks.
_SPECK = 0.01
# Logits beyond this are certain; what is surely outside bounds the work.
_CERTAIN = 12.0
_OUTSIDE = 0.02


def silhouette(
    picture: Picture, region: Region, logits: Float[np.ndarray, "n n"]
) -> Float[np.ndarray, "height width"]:
    """Return how likely every pixel is to show the person, about 0 to 1.

    Args:
        picture: The picture.
        region: Where the network's mask lies in it.
        logits: The network's mask.
    """
    likely = np.zeros(picture.size, np.float32)
    coarse = 1 / (1 + np.exp(-np.clip(logits, -_CERTAIN, _CERTAIN).astype(np.float32)))
    rows, columns = _box(coarse, region, picture.size)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return likely
    size = len(logits) * (2 if region.side > _LARGE else 1)
    coarse = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)
    guide = picture.crop(region, size).astype(np.float32) / 255
    fitted = _fit_colours(guide, coarse, _RADIUS * size // len(logits))
    matrix = region.image_from_crop(size)
    matrix[:, 2] -= (columns.start, rows.start)
    shape = (columns.stop - columns.start, rows.stop - rows.start)
    inside = cv2.warpAffine(np.ones((size, size), np.uint8), matrix, shape, flags=cv2.INTER_NEAREST)
    # The fits at the border hold up to the last pixel, but not beyond the region.
    border = cv2.BORDER_REPLICATE
    fitted = cv2.warpAffine(fitted, matrix, shape, flags=cv2.INTER_LINEAR, borderMode=border)
    colours = picture.image[rows, columns].astype(np.float32) / 255
    likely[rows, columns] = (_dot(fitted[..., :3], colours) + fitted[..., 3]) * inside
    return likely


def keep_apart(
    likely: Sequence[Float[np.ndarray, "height width"]],
) -> list[Bool[np.ndarray, "height width"]]:
    """Give every pixel to the person who is likeliest there, if more likely than not.

    Specks apart from the largest piece of a mask are left out.
    """
    if not likely:
        return []
    most = np.maximum.reduce(list(likely))
    masks, free = [], most > 0.5
    for each in likely:
        mine = free & (each == most)
        free &= ~mine
        masks.append(_without_specks(mine))
    return masks


def _without_specks(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0
    return mask & (areas > _SPECK * areas.max())[pieces]


def _box(
    coarse: Float[np.ndarray, "n n"], region: Region, size: tuple[int, int]
) -> tuple[slice, slice]:
    """Return rows and columns of the picture that hold all that may be the person."""
    y, x = np.nonzero(coarse > _OUTSIDE)
    if not len(x):
        return slice(0, 0), slice(0, 0)
    margin = _RADIUS + 1
    edges = [(x.min() - margin, x.max() + margin), (y.min() - margin, y.max() + margin)]
    corners = np.array([(a, b) for a in edges[0] for b in edges[1]]) + 0.5
    xy = region.to_image(corners / len(coarse))
    low = np.maximum(np.floor(xy.min(axis=0)), 0).astype(int)
    high = np.minimum(np.ceil(xy.max(axis=0)) + 1, size[::-1]).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _fit_colours(
    guide: Float[np.ndarray, "n n 3"], mask: Float[np.ndarray, "n n"], radius: int
) -> Float[np.ndarray, "n n 4"]:
    """Fit `mask = a . colour + b` around every pixel; return mean a and b of all fits that hold it.

    The normal equations of every pixel are solved by the adjugate of their symmetric 3x3 matrix.
    """

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.blur(x, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)

    first, second = [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]
    colour, level = mean(guide), mean(mask)
    joint = mean(guide * mask[..., None]) - colour * level[..., None]
    spread = mean(guide[..., first] * guide[..., second]) - colour[..., first] * colour[..., second]
    spread[..., [0, 3, 5]] += _NOISE
    rr, rg, rb, gg, gb, bb = np.moveaxis(spread, -1, 0)
    adjugate = np.stack(
        [
            *(gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb),
            *(gb * rb - rg * bb, rr * bb - rb * rb, rg * rb - rr * gb),
            *(rg * gb - gg * rb, rg * rb - rr * gb, rr * gg - rg * rg),
        ],
        axis=-1,
    ).reshape(*mask.shape, 3, 3)
    determinant = rr * adjugate[..., 0, 0] + rg * adjugate[..., 0, 1] + rb * adjugate[..., 0, 2]
    slope = np.einsum("...ij,...j->...i", adjugate, joint) / determinant[..., None]
    return mean(np.dstack([slope, level - _dot(slope, colour)]))


def _dot(a: Float[np.ndarray, "*batch 3"], b: Float[np.ndarray, "*batch 3"]):
    return np.einsum("...i,...i->...", a, b)
