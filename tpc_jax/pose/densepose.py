"""DensePose renderings: colours to body parts, parts to people.

A rendering paints part k of every person with entry int(k * 255 / 24) of the 256-entry viridis
table; part 0 is the background. Left and right are the person's own.
"""

from types import MappingProxyType
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from tpc_jax.errors import UserError, warn
from tpc_jax.pose.densepose_iuv import IUV, find_iuv, looks_like_iuv
from tpc_jax.pose.densepose_palettes import (
    FOREIGN,
    PALETTE,
    STANDARD,
    OtherDrawing,
    Variant,
    find_variant,
)
from tpc_jax.pose.skeletons import BONES

# Body segments by the parts they consist of (back and front, or inner and outer halves).
SEGMENTS: MappingProxyType[str, tuple[int, ...]] = MappingProxyType(
    {
        "torso": (1, 2),
        "right_hand": (3,),
        "left_hand": (4,),
        "left_foot": (5,),
        "right_foot": (6,),
        "right_upper_leg": (7, 9),
        "left_upper_leg": (8, 10),
        "right_lower_leg": (11, 13),
        "left_lower_leg": (12, 14),
        "left_upper_arm": (15, 17),
        "right_upper_arm": (16, 18),
        "left_lower_arm": (19, 21),
        "right_lower_arm": (20, 22),
        "head": (23, 24),
    }
)
# Segments are numbered from 1 where a map holds them; 0 is the background.
SEGMENT_NUMBERS = MappingProxyType({name: number for number, name in enumerate(SEGMENTS, 1)})
_GOES_ON = {
    **{f"{side}_lower_arm": f"{side}_hand" for side in ("left", "right")},
    **{f"{side}_lower_leg": f"{side}_foot" for side in ("left", "right")},
}
# The parts that move with each bone: hands go on along the forearm, feet along the shin.
BONE_PARTS: MappingProxyType[str, tuple[int, ...]] = MappingProxyType(
    {bone: SEGMENTS[bone] + SEGMENTS.get(_GOES_ON.get(bone, ""), ()) for bone in BONES}
)
LIMB_PARTS: MappingProxyType[str, tuple[int, ...]] = MappingProxyType(
    {
        f"{side}_{limb}": BONE_PARTS[f"{side}_upper_{limb}"] + BONE_PARTS[f"{side}_lower_{limb}"]
        for limb in ("arm", "leg")
        for side in ("left", "right")
    }
)
_MAY_HIDE_A_HEAD = ("right_hand", "left_hand", "right_lower_arm", "left_lower_arm")
TORSO_BACK, TORSO_FRONT, HEAD_RIGHT, HEAD_LEFT = 1, 2, 23, 24

# Half the width, in pixels, of the widest seam that compression smears.
_WIDEST_SEAM = 3
# A region without head and torso is a person if it has this share of the largest region's area.
_LONE_SHARE = 0.2
# A head smaller than this share of the largest head is an error.
_SPECK_SHARE = 0.1


def render_densepose(parts: UInt8[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
    """Paint a part map (0 background, 1 to 24) in the DensePose palette."""
    return PALETTE[parts]


def is_densepose(frames: UInt8[np.ndarray, "frames height width 3"]) -> bool:
    """Tell whether frames are a DensePose rendering in the published palette."""
    return find_variant(frames) is STANDARD


def recognise_densepose(frames: UInt8[np.ndarray, "frames height width 3"]) -> IUV | Variant | str:
    """Find out how a DensePose rendering is painted, or what is seen in place of one."""
    found = find_iuv(frames) or find_variant(frames)
    if isinstance(found, str) and looks_like_iuv(frames):
        return OtherDrawing(
            "it looks like I, U and V whose part numbers compression has lost; save it as PNG"
        )
    return found


class DensePose(NamedTuple):
    """What a DensePose rendering shows.

    Attributes:
        parts: Part numbers, 0 background, 1 to 24.
        frames: The rendering in the published palette.
        uv: Coordinates in [0, 1], if they are known.
    """

    parts: UInt8[np.ndarray, "frames height width"]
    frames: UInt8[np.ndarray, "frames height width 3"]
    uv: Float[np.ndarray, "frames height width 2"] | None = None


def read_densepose(
    frames: UInt8[np.ndarray, "frames height width 3"],
    name: str = "the video",
    painted: IUV | Variant | None = None,
) -> DensePose:
    """Turn a DensePose rendering into part maps.

    Every pixel takes the nearest palette entry. Compressed and smoothed seams run through the
    palette and make false parts, boxes and captions hide parts; so only pixels whose neighbourhood
    agrees are believed, and every other pixel takes the part of the nearest believed one.

    A black background, exchanged red and blue, colours of a mislabelled video, and pictures of
    I, U and V are read as well; an `InputWarning` says so, and they are painted again.

    Args:
        frames: RGB rendering.
        name: What messages call the input.
        painted: How it is painted; found out by default.

    Returns:
        Parts, the rendering in the published palette, and coordinates if there are any.

    Raises:
        UserError: If the colours are not of the palette.

    Source:
        The palette of the DensePose videos that MagicAnimate ships; clean-up is our own.
    """
    found = recognise_densepose(frames) if painted is None else painted
    if isinstance(found, str):
        raise UserError(
            f"{name}: is not a DensePose rendering in the viridis palette ({found}); give one, "
            "or the RGB video with a keypoint file"
        )
    if found.note:
        warn(f"{name}: {found.note}")
    if isinstance(found, IUV):
        return DensePose(found.parts, render_densepose(found.parts), found.uv)
    parts = np.stack([_clean(found.nearest(frame)) for frame in frames])
    return DensePose(parts, render_densepose(parts) if found.note else frames)


def decode_parts(
    frames: UInt8[np.ndarray, "frames height width 3"], name: str = "the video"
) -> UInt8[np.ndarray, "frames height width"]:
    """Return the parts of a DensePose rendering alone, as `read_densepose` does."""
    return read_densepose(frames, name).parts


def segment_mask(
    parts: UInt8[np.ndarray, "height width"], segment: str
) -> UInt8[np.ndarray, "height width"]:
    """Mark the pixels of one of `SEGMENTS` with 1."""
    table = np.zeros(256, np.uint8)
    table[list(SEGMENTS[segment])] = 1
    return np.asarray(cv2.LUT(parts, table), np.uint8)


def segments_of(parts: UInt8[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Turn parts into numbers of segments."""
    table = np.zeros(256, np.uint8)
    for name, number in SEGMENT_NUMBERS.items():
        table[list(SEGMENTS[name])] = number
    return table[parts]


def split_people(
    parts: UInt8[np.ndarray, "height width"],
) -> list[Bool[np.ndarray, "height width"]]:
    """Divide a part map into people, from left to right.

    Connected regions are people; a region with several heads is divided among them by flooding
    from the heads; regions that are no person (a hand beyond an occluder, half a face behind a
    hand) go to the nearest person.

    Args:
        parts: Clean part map.

    Returns:
        One mask per person; their union is the foreground.
    """
    foreground = (parts > 0).astype(np.uint8)
    count, regions, stats, centres = cv2.connectedComponentsWithStats(foreground, connectivity=8)
    if count == 1:
        return []
    heads, torso = _number_heads(parts), segment_mask(parts, "torso")
    areas = stats[:, cv2.CC_STAT_AREA]
    largest = areas[1:].max()
    people: list[tuple[float, Bool[np.ndarray, "height width"]]] = []
    fragments = []
    for region in range(1, count):
        mask = regions == region
        inside = np.unique(heads[mask])
        inside = inside[inside > 0]
        is_whole = len(inside) > 0 and torso[mask].any()
        if len(inside) > 1 and is_whole:
            divided = _flood(parts, mask, heads, inside)
            people += [(float(np.nonzero(one)[1].mean()), one) for one in divided]
        elif is_whole or areas[region] >= _LONE_SHARE * largest:
            people.append((float(centres[region, 0]), mask))
        else:
            fragments.append(mask)
    people.sort(key=lambda person: person[0])
    masks = [mask for _, mask in people]
    _join_fragments(masks, fragments)
    return masks


def _clean(raw: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
    # The outline first: thin fingers against the background are real.
    parts = _refill(raw, 1, np.ones(raw.shape, bool))
    foreground = parts > 0
    # Then the seams inside, which are wider than one pixel. The larger the person, the wider a
    # region must be to be a part: a limb is about a sixth of the square root of the area wide.
    reach = int(np.clip(np.sqrt(foreground.sum()) / 80, 1, _WIDEST_SEAM))
    return _refill(parts, reach, foreground) if reach > 1 else parts


def _refill(
    parts: UInt8[np.ndarray, "height width"], reach: int, domain: Bool[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width"]:
    """Give doubtful pixels of a domain the part of the nearest pixel of it that is not doubtful.

    A pixel is doubtful when another part lies within `reach` pixels (of the square window), or
    when something else is drawn there.
    """
    window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    believed = (cv2.erode(parts, window) == cv2.dilate(parts, window)) & domain & (parts < FOREIGN)
    if not believed.any():
        return np.where(parts < FOREIGN, parts, 0).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        (~believed).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    part_of_label = np.zeros(int(nearest.max()) + 1, np.uint8)
    part_of_label[nearest[believed]] = parts[believed]
    return np.where(domain, part_of_label[nearest], parts)


def _number_heads(parts: UInt8[np.ndarray, "height width"]) -> np.ndarray:
    """Number the heads 1, 2, ...; pieces of one behind a hand or a forearm are one head."""
    head = segment_mask(parts, "head")
    count, labels, stats, _ = cv2.connectedComponentsWithStats(head, connectivity=8)
    if count <= 2:
        return labels
    reach = int(0.5 * np.sqrt(stats[1:, cv2.CC_STAT_AREA].max())) | 1
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    hiding = np.any([segment_mask(parts, name) for name in _MAY_HIDE_A_HEAD], axis=0)
    joined = head | (np.asarray(cv2.dilate(head, window)) & hiding)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    sizes = np.bincount(labels[head > 0], minlength=len(stats))
    keep = sizes >= _SPECK_SHARE * sizes.max()
    keep[0] = False
    return np.where(head > 0, (np.cumsum(keep) * keep)[labels], 0)


def _flood(
    parts: UInt8[np.ndarray, "height width"],
    mask: Bool[np.ndarray, "height width"],
    heads: np.ndarray,
    numbers: np.ndarray,
) -> list[Bool[np.ndarray, "height width"]]:
    """Divide one region among its heads; equal parts are flooded before a seam is crossed."""
    outside = heads.max() + 1
    divided = cv2.watershed(PALETTE[parts], np.where(mask, heads, outside).astype(np.int32))
    # The flood leaves ridges one pixel wide without a number; each joins the nearest one.
    basins = np.where(mask & (divided > 0) & (divided < outside), divided, 0).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(
        (basins == 0).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    number_of_label = np.zeros(int(nearest.max()) + 1, np.uint8)
    number_of_label[nearest[basins > 0]] = basins[basins > 0]
    return [mask & (number_of_label[nearest] == number) for number in numbers]


def _join_fragments(
    people: list[Bool[np.ndarray, "height width"]],
    fragments: list[Bool[np.ndarray, "height width"]],
) -> None:
    """Add each fragment to the nearest person, in place."""
    if not fragments:
        return
    distances = [cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3) for mask in people]
    for fragment in fragments:
        nearest = int(np.argmin([distance[fragment].min() for distance in distances]))
        people[nearest] |= fragment
