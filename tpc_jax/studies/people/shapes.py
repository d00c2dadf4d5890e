"""Drawing primitives: coloured polygons over time, layers of them, and the tapered tube.

Coordinates are body heights in the picture plane (x right, y down) until `raster` maps them to
pixels. Every array has the frame axis first, so that a whole clip is laid out at once.
"""

from dataclasses import dataclass, field

import numpy as np

from tpc_jax.studies.people.appearance import Pattern
from tpc_jax.studies.people.color import RGB, in_shadow

# Codes of the fourth drawing channel besides the DensePose parts 1..24.
HEAD = 23  # split into right (23) and left (24) after drawing
WORN = 32  # belongs to the person but to no body part: loose hair, bags, props
SKIRT = 33  # split into the upper legs after drawing

CIRCLE = np.stack(
    [np.cos(np.linspace(0, 2 * np.pi, 12, False)), np.sin(np.linspace(0, 2 * np.pi, 12, False))],
    axis=1,
)

# Corners of a strip in order: down one side, across the end, up the other side, across the start.
_TURN = np.linspace(0.0, 1.0, 5)
_ONES, _ZEROS = np.ones(5), np.zeros(5)
_STRIP_U = np.concatenate([_ZEROS, _TURN, _ONES, _TURN[::-1]])
_STRIP_V = np.concatenate([_TURN, _ONES, _TURN[::-1], _ZEROS])
_STRIP_END = np.concatenate([_ZEROS, _ONES, _ZEROS, _ZEROS])
_STRIP_START = np.concatenate([_ZEROS, _ZEROS, _ZEROS, _ONES])
_HALF_TURN = np.stack([np.cos(np.linspace(0, np.pi, 7)), np.sin(np.linspace(0, np.pi, 7))], axis=1)
_KNOTS = {count: np.linspace(0.0, 1.0, count) for count in (3, 5)}


@dataclass(frozen=True, eq=False)
class Shape:
    """Polygons of one colour: `points` [frames, polygons, corners, 2]; hidden where not visible."""

    points: np.ndarray
    color: RGB
    code: int
    visible: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Split:
    """Division of the pixels of one code by a line that moves with the body.

    Pixels on the side of `direction` seen from `point` (both [frames, 2]) become `ahead`, the
    others `behind`.
    """

    code: int
    ahead: int
    behind: int
    point: np.ndarray
    direction: np.ndarray


@dataclass(eq=False)
class Layer:
    """Shapes drawn in order, placed among the other layers by `depth` [frames], far first."""

    depth: np.ndarray
    shapes: list[Shape] = field(default_factory=list)

    def add(
        self, points: np.ndarray, color: RGB, code: int, visible: np.ndarray | None = None
    ) -> None:
        """Append polygons [frames, corners, 2] or [frames, polygons, corners, 2]."""
        points = points[:, None] if points.ndim == 3 else points
        self.shapes.append(Shape(points, color, code, visible))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Normalise [..., 2] vectors; a vanishing vector becomes "down"."""
    vectors = vectors + np.array([0.0, 1e-5])
    return vectors / np.sqrt((vectors**2).sum(-1, keepdims=True))


def circle(center: np.ndarray, radius: float) -> np.ndarray:
    """Return a disc [frames, 12, 2] around `center` [frames, 2]."""
    return center[:, None] + radius * CIRCLE


def capsule(
    start: np.ndarray, end: np.ndarray, start_radius: float, end_radius: float
) -> np.ndarray:
    """Return the outline [frames, 14, 2] of two discs and the band between them."""
    along = unit(end - start)[:, None]
    across = np.stack([along[..., 1], -along[..., 0]], axis=-1)
    arc = across * _HALF_TURN[:, :1] + along * _HALF_TURN[:, 1:]
    far, near = end[:, None] + end_radius * arc, start[:, None] - start_radius * arc
    return np.concatenate([far, near], axis=1)


class Tube:
    """A limb in the picture: a tapered band between two moving points.

    Positions on it are (u, v): v runs from 0 at the start to 1 at the end, u from -1 to 1
    across; a limb hanging down has u = 1 towards the picture's right.
    """

    def __init__(
        self,
        start: np.ndarray,
        end: np.ndarray,
        radii: np.ndarray,
        length: float,
        light: float,
    ):
        self.start, self.axis = start, end - start
        self.radii = radii
        self.length = length
        self.light = light
        self.down = unit(self.axis)
        self.across = np.stack([self.down[:, 1], -self.down[:, 0]], axis=1)
        # The shadow lies on the side away from the light and vanishes smoothly in between.
        facing = self.across @ np.array([0.85 * light, -0.52])
        side = np.where(facing > 0, -1.0, 1.0)
        self.shadow = (side, side * (1.0 - 0.85 * np.abs(facing)))

    def widened(self, margin: float, flare: float = 0.0) -> "Tube":
        """Return the tube of a garment worn over this limb."""
        radii = self.radii + margin + flare * _KNOTS[self.radii.size]
        end = self.start + self.axis
        return Tube(self.start, end, radii, self.length, self.light)

    def at(self, u: np.ndarray, v: np.ndarray, cap: np.ndarray | float = 0.0) -> np.ndarray:
        """Return points [frames, n, 2]; `cap` moves along the limb in units of its radius."""
        radius = np.interp(v, _KNOTS[self.radii.size], self.radii)
        points = self.start[:, None] + self.axis[:, None] * v[:, None]
        points = points + self.across[:, None] * (u * radius)[..., None]
        if isinstance(cap, np.ndarray):
            points += self.down[:, None] * (cap * radius)[..., None]
        return points

    def strip(
        self,
        v_range: tuple[float, float],
        u_range: tuple = (-1.0, 1.0),
        round_start: bool = False,
        round_end: bool = False,
    ) -> np.ndarray:
        """Return the outline of the band between two u and two v, with round or flat ends."""
        low, high = (np.reshape(u, (-1, 1)) for u in u_range)
        return self._outline(low + (high - low) * _STRIP_U, v_range, round_start, round_end, 1)

    def _outline(
        self,
        u: np.ndarray,
        v_range: tuple[float, float],
        round_start: bool,
        round_end: bool,
        repeats: int,
    ) -> np.ndarray:
        """Return `repeats` strips laid side by side on the corner axis."""
        v = np.tile(v_range[0] + (v_range[1] - v_range[0]) * _STRIP_V, repeats)
        if not (round_start or round_end):
            return self.at(u, v)
        ends = np.tile(round_end * _STRIP_END - round_start * _STRIP_START, repeats)
        return self.at(u, v, ends * np.sqrt(np.maximum(0.0, 1.0 - u**2)))

    def paint(
        self,
        layer: Layer,
        color: RGB,
        code: int,
        v_range: tuple[float, float] = (0.0, 1.0),
        round_start: bool = True,
        round_end: bool = True,
    ) -> None:
        """Add the tube between two v in one colour with its shadow side."""
        # Both outlines in one pass: laying out costs calls, not arithmetic.
        low, high = (side[:, None] for side in self.shadow)
        lit = np.broadcast_to(2.0 * _STRIP_U - 1.0, (low.shape[0], _STRIP_U.size))
        u = np.concatenate([lit, low + (high - low) * _STRIP_U], axis=1)
        points = self._outline(u, v_range, round_start, round_end, 2)
        layer.add(points[:, : _STRIP_U.size], color, code)
        layer.add(points[:, _STRIP_U.size :], in_shadow(color), code)

    def band(self, layer: Layer, color: RGB, code: int, v_range: tuple[float, float]) -> None:
        """Add a flat-ended ring, e.g. a cuff."""
        self.paint(layer, color, code, v_range, round_start=False, round_end=False)

    def quads(self, v_low: np.ndarray, v_high: np.ndarray, u_range: tuple) -> np.ndarray:
        """Return rings [frames, rings, 4, 2] between pairs of v."""
        low, high = (np.reshape(u, (-1, 1)) for u in u_range)
        v = np.stack([v_low, v_low, v_high, v_high], axis=1).ravel()
        corner = np.tile([0.0, 1.0, 1.0, 0.0], v_low.size)
        points = self.at(low + (high - low) * corner, v)
        return points.reshape(points.shape[0], v_low.size, 4, 2)

    def print_pattern(
        self, layer: Layer, pattern: Pattern, code: int, v_range: tuple[float, float]
    ) -> None:
        """Add the print of a garment that covers the tube between two v."""
        low, high = v_range
        step = pattern.period / self.length
        if high - low < 0.4 * step:
            return
        if pattern.kind in ("rings", "checks"):
            starts = np.arange(low + 0.3 * pattern.phase * step, high, step)
            stops = np.minimum(starts + 0.5 * step, high)
            layer.add(self.quads(starts, stops, (-1.0, 1.0)), pattern.color, code)
            layer.add(self.quads(starts, stops, self.shadow), in_shadow(pattern.color), code)
        if pattern.kind in ("vertical", "checks"):
            for u in (-0.45, 0.45):
                layer.add(self.strip(v_range, (u - 0.2, u + 0.2)), pattern.color, code)
        if pattern.kind == "dots":
            v = np.arange(low + 0.4 * step, high - 0.2 * step, 0.8 * step)
            if v.size:
                u = np.where(np.arange(v.size) % 2 == 0, -0.42, 0.42)
                discs = self.at(u, v)[:, :, None] + 0.26 * pattern.period * CIRCLE
                layer.add(discs, pattern.color, code)
        if pattern.kind == "two_tone":
            self.band(layer, pattern.color, code, (low + 0.55 * (high - low), high))
        if pattern.kind == "chest_band":
            middle = low + 0.5 * (high - low)
            self.band(layer, pattern.color, code, (middle, min(high, middle + 0.7 * step)))
