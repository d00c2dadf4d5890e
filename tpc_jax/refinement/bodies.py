"""The bodies of both sides as numbers: points sampled of the reference's, maps of the motion's."""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from tpc_jax._types import Keypoints, Transform2D
from tpc_jax.pose.body_model import capsule_parts
from tpc_jax.pose.densepose import segments_of
from tpc_jax.pose.filtering import DEFAULT_TAU

# Points that stand for the reference's body.
NUM_SAMPLES = 512
# Side of a map; the body's box with a margin on all sides fills it.
MAP_SIDE = 160
_MARGIN = 0.35
# Side of the person's box that fills a map, in map pixels: the unit of steps and distances.
BODY_SIDE = MAP_SIDE / (1 + 2 * _MARGIN)
# A segment of nobody knows which: the person, by its mask alone.
OTHER = 255
# A body of so few pixels has no shape.
_LEAST_PIXELS = 16
# Longest side of a body that is drawn from keypoints, and most of the canvas around it, in pixels.
_DRAWN_BODY, _DRAWN_CANVAS = 256, 1024


class Source(NamedTuple):
    """What is known of one person's body in one picture.

    Attributes:
        keypoints: COCO-17 keypoints `[17]` in pixels.
        size: (height, width) of the picture.
        segments: Numbers of segments (`densepose.SEGMENT_NUMBERS`), if they are known.
        mask: The person's pixels, by which drawn segments are corrected.
    """

    keypoints: Keypoints
    size: tuple[int, int]
    segments: UInt8[np.ndarray, "height width"] | None = None
    mask: Bool[np.ndarray, "height width"] | None = None


class Still(NamedTuple):
    """The reference's body; lengths are in reference pixels about `centre`.

    Attributes:
        points: A regular grid over the body, repeated up to `NUM_SAMPLES`.
        labels: The points' segments; 0 for repeats.
        area: The body's pixels.
        keypoints: The 17 keypoints; zero where not visible.
        visible: Which are visible.
        centre: Middle of the body in the reference.
    """

    points: Float[np.ndarray, "samples 2"]
    labels: Int[np.ndarray, " samples"]
    area: float
    keypoints: Float[np.ndarray, "17 2"]
    visible: Bool[np.ndarray, " 17"]
    centre: Float[np.ndarray, " 2"]


class Target(NamedTuple):
    """The motion's body in one frame; lengths are in pixels of its map.

    Attributes:
        segments: The map.
        area: The body's pixels.
        keypoints: The 17 keypoints; zero where not visible.
        visible: Which are visible.
        canvas: Left, top, right and bottom of the frame.
        centre: Where the map's middle is in the frame, in frame pixels.
        pixel: A map pixel in frame pixels.
    """

    segments: UInt8[np.ndarray, "side side"]
    area: float
    keypoints: Float[np.ndarray, "17 2"]
    visible: Bool[np.ndarray, " 17"]
    canvas: Float[np.ndarray, " 4"]
    centre: Float[np.ndarray, " 2"]
    pixel: float


def still_body(source: Source) -> Still | None:
    """Sample the reference's body; None where nothing of it is known."""
    segments, scale = _segments(source)
    count = int((segments > 0).sum())
    if count < _LEAST_PIXELS:
        return None
    points, labels = _sample(segments)
    points = points * scale + (scale - 1) / 2
    centre = points.mean(axis=0)
    xy, visible = _keypoints(source.keypoints)
    room = NUM_SAMPLES - len(points)
    return Still(
        np.pad(points - centre, ((0, room), (0, 0))).astype(np.float32),
        np.pad(labels, (0, room)).astype(np.int32),
        float(count * scale**2),
        np.where(visible[:, None], xy - centre, 0).astype(np.float32),
        visible,
        centre,
    )


def target_body(source: Source) -> Target | None:
    """Map the motion's body; None where nothing of it is known."""
    segments, scale = _segments(source)
    rows, columns = (np.flatnonzero(segments.any(axis)) for axis in (1, 0))
    if len(rows) == 0 or (segments > 0).sum() < _LEAST_PIXELS:
        return None
    box = np.array([columns[0], rows[0], columns[-1], rows[-1]], float)
    middle, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max()) + 1
    step = side / BODY_SIDE
    half = (MAP_SIDE - 1) / 2
    matrix = np.array([[step, 0, middle[0] - step * half], [0, step, middle[1] - step * half]])
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    mapped = cv2.warpAffine(segments, matrix, (MAP_SIDE, MAP_SIDE), flags=flags)
    pixel, centre = step * scale, middle * scale + (scale - 1) / 2

    def onto_map(xy):
        return (xy - centre) / pixel + half

    xy, visible = _keypoints(source.keypoints)
    height, width = source.size
    corners = np.array([[-0.5, -0.5], [width - 0.5, height - 0.5]])
    return Target(
        np.asarray(mapped, np.uint8),
        float((mapped > 0).sum()),
        np.where(visible[:, None], onto_map(xy), 0).astype(np.float32),
        visible,
        onto_map(corners).ravel().astype(np.float32),
        centre,
        pixel,
    )


def to_parameters(
    drv_from_ref: Transform2D, still: Still, target: Target
) -> Float[np.ndarray, "*batch 4"]:
    """Describe similarities by log scale, angle and place of the body's middle on the map."""
    linear, offset = (np.asarray(x, float) for x in drv_from_ref)
    (a, b), (c, d) = linear[..., 0, :].T, linear[..., 1, :].T
    scale = np.sqrt(np.abs(a * d - b * c)).T / target.pixel
    angle = np.arctan2(c - b, a + d).T
    place = (linear @ still.centre + offset - target.centre) / target.pixel + (MAP_SIDE - 1) / 2
    log_scale = np.log(np.maximum(scale, np.finfo(np.float32).tiny))
    return np.concatenate([np.stack([log_scale, angle], -1), place], -1).astype(np.float32)


def from_parameters(
    parameters: Float[np.ndarray, " 4"], still: Still, target: Target
) -> Transform2D:
    """Return the similarity from reference to driving pixels."""
    log_scale, angle, *place = np.asarray(parameters, float)
    scale = np.exp(log_scale) * target.pixel
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]])
    image = (np.array(place) - (MAP_SIDE - 1) / 2) * target.pixel + target.centre
    return Transform2D(linear, image - linear @ still.centre)


def _segments(source: Source) -> tuple[UInt8[np.ndarray, "height width"], float]:
    """Return the map of segments, and the picture's pixels per pixel of it."""
    if source.segments is not None:
        return source.segments, 1.0
    shown, visible = _keypoints(source.keypoints)
    extent = float(np.ptp(shown[visible], axis=0).max()) if visible.any() else 0.0
    scale = max(extent / _DRAWN_BODY, max(source.size) / _DRAWN_CANVAS)
    height, width = (max(1, round(side / scale)) for side in source.size)
    xy = (np.asarray(source.keypoints.xy, float) + 0.5) / scale - 0.5
    drawn = capsule_parts(Keypoints(xy, source.keypoints.conf), height, width)
    if source.mask is None or not source.mask.any():
        return drawn, scale
    mask = source.mask.astype(np.uint8)
    inside = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0
    return np.where(inside, np.where(drawn > 0, drawn, np.uint8(OTHER)), np.uint8(0)), scale


def _keypoints(keypoints: Keypoints) -> tuple[np.ndarray, Bool[np.ndarray, " 17"]]:
    xy, conf = np.asarray(keypoints.xy, float), np.asarray(keypoints.conf)
    return xy, (conf > DEFAULT_TAU) & np.isfinite(xy).all(axis=-1)


def _sample(segments: UInt8[np.ndarray, "height width"]):
    """Return (x, y) and segments of at most `NUM_SAMPLES` points of a regular grid."""
    rows, columns = (np.flatnonzero(segments.any(axis)) for axis in (1, 0))
    spacing = np.sqrt((segments > 0).sum() / NUM_SAMPLES)
    while True:
        x = np.arange(columns[0] - 0.5 + spacing / 2, columns[-1] + 0.5, spacing)
        y = np.arange(rows[0] - 0.5 + spacing / 2, rows[-1] + 0.5, spacing)
        labels = segments[np.ix_(np.rint(y).astype(int), np.rint(x).astype(int))]
        inside = labels > 0
        if 0 < inside.sum() <= NUM_SAMPLES:
            break
        spacing *= 1.02 if inside.any() else 0.5
    grid_x, grid_y = np.meshgrid(x, y)
    return np.stack([grid_x[inside], grid_y[inside]], axis=-1), labels[inside]


def segments_in(
    parts: UInt8[np.ndarray, "height width"], mask: Bool[np.ndarray, "height width"]
) -> UInt8[np.ndarray, "height width"]:
    """Return the segments of the person in a mask."""
    return np.where(mask, segments_of(parts), 0)
