"""Which colours a DensePose rendering is painted in, judged on the pixels of its people.

People publish renderings whose background was made black, whose red and blue are exchanged, or
whose colours a player converted by another matrix or range than the encoder; each is a palette of
its own. What has the palette's colours but none of its 25 steps (depth, U, V) is no rendering.
"""

from functools import cache
from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

NUM_PARTS = 24
# Euclidean RGB distance that compression explains; neighbouring entries are 9.5 or more apart.
TOLERANCE = 16.0
# A colour farther than this from every entry is of something drawn on top: a box, a caption.
FOREIGN_DISTANCE = 60.0
# At least this share of what is not background is of people, without such things.
_LEAST_OWN = 0.6
# Entry of what is drawn on top, in the maps of nearest entries.
FOREIGN = 255
# Colours are looked up with 6 bits per channel: the table stays in the cache.
_BITS = 6
# Compressed renderings keep 93 % or more of the flat pixels of their people within the tolerance;
# camera pictures below 10 %.
_LEAST_SHARE = 0.8
# A pixel is flat if its neighbourhood spans at most so many levels. In compressed renderings 70 %
# of such pixels are even flatter (of people 30 pixels high 26 %), in maps of U or V 16 % or less.
_FLAT, _FLATTER, _LEAST_FLATTER = 24, 8, 0.22
# Of flat pixels so many have the luma of an entry: 80 % or more in renderings (entries are 8.4
# levels apart), less than half where values are continuous.
_LUMA_STEP, _LEAST_STEPPED = 2.0, 0.65
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# A person shows at least so many parts, of such a share each; a background at least this share of
# what is looked at. Fewer pixels than this share are nobody's.
_LEAST_PARTS, _PART_SHARE, _LEAST_BACKGROUND, _NOBODY = 3, 0.01, 0.02, 0.002
# Another palette than the published one must fit so much better; and in levels, its background and
# its parts must be so near.
_BETTER, _BACKGROUND_OFF, _PARTS_OFF = 0.75, 6.0, 8.0
# A background so near to the published violet was converted by no other matrix.
_SAME_VIOLET = 4.0
# Pixels looked at of what is commonest and of the rest, and frames they are taken from.
_SAMPLE, _SAMPLE_FRAMES = 5_000, 4
# Kr and Kb of the conversions to luma and chroma that videos are labelled with.
_MATRICES = {"BT.601": (0.299, 0.114), "BT.709": (0.2126, 0.0722)}
_NAMED = ("jet", "parula", "turbo", "hsv", "rainbow", "magma", "inferno", "plasma", "hot", "bone")


class Variant(NamedTuple):
    """A way in which DensePose parts are painted.

    Attributes:
        colours: RGB of the background and of every part.
        note: What is unusual about it, to be said; empty for the published palette.
    """

    colours: Float[np.ndarray, "parts 3"]
    note: str

    def nearest(self, rgb: UInt8[np.ndarray, "*shape 3"]) -> UInt8[np.ndarray, "*shape"]:
        """Return the nearest entry of every pixel, `FOREIGN` far from all of them."""
        return _lookup(self.colours.tobytes())[0][_quantise(rgb)]


class _Pixels(NamedTuple):
    """A sample of pixels, for all that is asked about them.

    Attributes:
        rgb: Their colours.
        spread: How many levels the neighbourhood of each spans.
        luma: Luma of the neighbourhood.
    """

    rgb: Float[np.ndarray, "pixels 3"]
    spread: UInt8[np.ndarray, " pixels"]
    luma: Float[np.ndarray, " pixels"]


class _Fit(NamedTuple):
    """How well a palette suits.

    Attributes:
        variant: The palette.
        off: How far the background is from its own, in levels.
        distance: That, and how far the people are from its parts on average.
        share: Share of the people's pixels that has its colours.
        reason: Why it does not suit, or nothing.
    """

    variant: Variant
    off: float
    distance: float
    share: float
    reason: str


def _viridis() -> UInt8[np.ndarray, "parts 3"]:
    index = np.arange(NUM_PARTS + 1) * 255 // NUM_PARTS
    return np.ascontiguousarray(_curve("viridis")[index])


def _curve(name: str) -> UInt8[np.ndarray, "levels 3"]:
    """Return the 256 RGB colours of a palette of OpenCV."""
    table = cv2.applyColorMap(
        np.arange(256, dtype=np.uint8)[:, None], getattr(cv2, f"COLORMAP_{name.upper()}")
    )
    return table[:, 0, ::-1]


PALETTE = _viridis()
PALETTE.setflags(write=False)
STANDARD = Variant(PALETTE.astype(np.float32), "")


class OtherDrawing(str):
    """What is seen in place of a rendering, where it is drawn in another way."""


def find_variant(frames: UInt8[np.ndarray, "frames height width 3"]) -> Variant | str:
    """Find the palette that a DensePose rendering is painted in.

    Args:
        frames: RGB frames; a few are enough.

    Returns:
        The palette, or what is seen in place of a rendering.
    """
    pixels = _sample(frames)
    best = published = _fit(pixels, STANDARD)
    if published.reason and published.share >= _LEAST_SHARE and published.off <= _SAME_VIOLET:
        return published.reason
    tried = [_fit(pixels, variant) for variant in _variants()]
    for fit in tried:
        if not fit.reason and (best.reason or fit.distance < _BETTER * best.distance):
            best = fit
    if not best.reason:
        return best.variant
    nearest = max([published, *tried], key=lambda fit: fit.share)
    has_colours = nearest.share >= _LEAST_SHARE
    return nearest.reason if has_colours else _other_palette(pixels) or nearest.reason


@cache
def _variants() -> tuple[Variant, ...]:
    """List the unusual palettes."""
    black = STANDARD.colours.copy()
    black[0] = 0
    found = [
        Variant(black, "its background is black; taken as the published violet"),
        Variant(STANDARD.colours[:, ::-1].copy(), "red and blue are exchanged; put back"),
        Variant(black[:, ::-1].copy(), "red and blue are exchanged, the background is black; "
                "both put right"),
    ]  # fmt: skip
    ranges = {
        "": (1.0, 0.0),
        "limited-range levels labelled full": (219 / 255, 16.0),
        "full-range levels labelled limited": (255 / 219, -16 * 255 / 219),
    }
    for (written, one), (label, other) in product(_MATRICES.items(), repeat=2):
        matrix = np.linalg.inv(_to_luma(*other)) @ _to_luma(*one)
        for levels, (gain, offset) in ranges.items():
            if written == label and (not levels or written != "BT.601"):
                continue  # nothing is wrong, or what is wrong does not depend on the matrix
            said = [f"{written} colours labelled {label}"] * (written != label)
            note = f"the video has {' and '.join([*said, levels] if levels else said)}; corrected"
            shown = np.clip(STANDARD.colours @ matrix.T * gain + offset, 0, 255)
            found.append(Variant(shown.astype(np.float32), note))
    return tuple(found)


def _to_luma(kr: float, kb: float) -> Float[np.ndarray, "3 3"]:
    """Return the matrix from RGB to luma and chroma."""
    luma = np.array([kr, 1 - kr - kb, kb])
    red, blue = np.array([1, 0, 0]), np.array([0, 0, 1])
    return np.stack([luma, (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)])


def _sample(frames: UInt8[np.ndarray, "frames height width 3"]) -> _Pixels:
    """Take pixels of a few frames: half of the commonest colour, half of the others."""
    window = np.ones((3, 3), np.uint8)
    parts: list[tuple[np.ndarray, ...]] = []
    for frame in frames[:: max(1, len(frames) // _SAMPLE_FRAMES)]:
        spread = (cv2.dilate(frame, window) - cv2.erode(frame, window)).max(axis=-1)
        luma = cv2.blur(cv2.transform(frame, _LUMA[None]), (3, 3))
        parts.append((frame.reshape(-1, 3), spread.ravel(), luma.ravel()))
    rgb, spread, luma = (np.concatenate(part) for part in zip(*parts, strict=True))
    codes = _quantise(rgb)
    commonest = rgb[codes == np.bincount(codes).argmax()].mean(axis=0)
    is_rest = np.abs(rgb - commonest.astype(np.float32)).max(axis=-1) > TOLERANCE
    rng = np.random.default_rng(0)
    index = np.concatenate(
        [
            rng.choice(found, min(_SAMPLE, len(found)), replace=False)
            for found in (np.flatnonzero(~is_rest), np.flatnonzero(is_rest))
        ]
    )
    return _Pixels(rgb[index].astype(np.float32), spread[index], luma[index].astype(np.float32))


def _fit(pixels: _Pixels, variant: Variant) -> _Fit:
    from_background = np.linalg.norm(pixels.rgb - variant.colours[0], axis=-1)
    background = pixels.rgb[from_background <= TOLERANCE]
    if len(background) < _LEAST_BACKGROUND * len(pixels.rgb):
        return _Fit(
            variant, np.inf, np.inf, 0.0, "it has no background of DensePose's violet or black"
        )
    off = float(np.linalg.norm(np.median(background, axis=0) - variant.colours[0]))
    # Black bars are nobody.
    is_person = (from_background > TOLERANCE + 4) & (pixels.rgb.max(axis=-1) > TOLERANCE)
    if is_person.mean() < _NOBODY:  # only the published palette is known by its background alone
        return _Fit(variant, off, off, 0.0, "it shows nothing" if variant.note else "")
    shown = np.flatnonzero(is_person & (pixels.spread <= _FLAT))
    if not len(shown):
        return _Fit(variant, off, np.inf, 0.0, "nothing in it has an even colour")
    distances = np.linalg.norm(pixels.rgb[shown, None] - variant.colours, axis=-1)
    is_own = distances.min(axis=1) <= FOREIGN_DISTANCE
    if is_own.mean() >= _LEAST_OWN:  # boxes and captions do not count
        shown, distances = shown[is_own], distances[is_own]
    distance = distances.min(axis=1)
    share = float((distance <= TOLERANCE).mean())
    mean = float(np.minimum(distance, 2 * TOLERANCE).mean())
    reason = f"only {share:.0%} of the pixels of its people have such colours"
    if share >= _LEAST_SHARE:
        reason = _structure(pixels, variant, distances.argmin(axis=1), shown)
    if variant.note and (off > _BACKGROUND_OFF or mean > _PARTS_OFF):
        reason = reason or "no palette fits"
    return _Fit(variant, off, mean + off, share, reason)


def _structure(
    pixels: _Pixels,
    variant: Variant,
    entry: Int[np.ndarray, " shown"],
    shown: Int[np.ndarray, " shown"],
) -> str:
    """Return what speaks against parts where the colours suit, or nothing."""
    off = np.abs(pixels.luma[shown][:, None] - variant.colours @ _LUMA).min(axis=1)
    flatter = (pixels.spread[shown] <= _FLATTER).mean()
    if flatter < _LEAST_FLATTER or (off <= _LUMA_STEP).mean() < _LEAST_STEPPED:
        return OtherDrawing(
            "its colours are a continuum, as in maps of depth, U or V, not those of 24 parts"
        )
    shares = np.bincount(entry, minlength=NUM_PARTS + 1) / len(entry)
    if (shares[1:] >= _PART_SHARE).sum() < _LEAST_PARTS:
        return OtherDrawing("its colours are those of one or two parts only")
    return ""


def _other_palette(pixels: _Pixels) -> str:
    """Name the palette of another map of colours, or return nothing."""
    for name in _NAMED:
        curve = _curve(name).astype(np.float32)
        for start in (curve[0], np.zeros(3, np.float32)):
            from_start = np.linalg.norm(pixels.rgb - start, axis=-1)
            is_shown = (from_start > TOLERANCE + 4) & (pixels.spread <= _FLAT)
            if (from_start <= TOLERANCE).mean() < _LEAST_BACKGROUND or not is_shown.any():
                continue
            shown = pixels.rgb[is_shown][::5]
            distance = np.linalg.norm(shown[:, None] - curve, axis=-1).min(axis=1)
            if (distance <= TOLERANCE).mean() >= _LEAST_SHARE:
                return OtherDrawing(f"its colours are those of the {name} palette")
    return ""


@cache
def _lookup(colours: bytes) -> tuple[UInt8[np.ndarray, " colours"], Float[np.ndarray, " colours"]]:
    """Tabulate the nearest entry, and the distance to it, over quantised colours.

    Black is background too: that of bars beside the picture.
    """
    palette = np.frombuffer(colours, np.float32).reshape(-1, 3)
    palette = np.concatenate([palette, np.zeros((1, 3), np.float32)])
    step = 256 >> _BITS
    level = np.arange(1 << _BITS, dtype=np.float32) * step + (step - 1) / 2
    grid = np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1).reshape(-1, 3)
    squared = (grid**2).sum(1)[:, None] - 2 * grid @ palette.T + (palette**2).sum(1)[None]
    distance = np.sqrt(np.maximum(squared.min(axis=1), 0))
    entry = squared.argmin(axis=1) % (NUM_PARTS + 1)
    return np.where(distance > FOREIGN_DISTANCE, FOREIGN, entry).astype(np.uint8), distance


def _quantise(rgb: UInt8[np.ndarray, "*shape 3"]) -> np.ndarray:
    high = (rgb >> (8 - _BITS)).astype(np.int32)
    return (high[..., 0] << (2 * _BITS)) | (high[..., 1] << _BITS) | high[..., 2]
