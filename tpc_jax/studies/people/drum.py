"""The trunk as an elliptic drum: maps positions on its visible surface to the picture."""

import copy

import numpy as np

from tpc_jax.studies.people.appearance import Pattern, Proportions
from tpc_jax.studies.people.color import RGB, in_shadow
from tpc_jax.studies.people.shapes import CIRCLE, Layer, unit
from tpc_jax.studies.people.skeleton import Skeleton

_LEVELS = np.array([-0.10, -0.03, 0.05, 0.16, 0.36, 0.66, 0.93, 1.04, 1.14])
_TURN = np.linspace(0.0, 1.0, 5)
_DEPTH = np.array([0.9, 0.5, 0.42, 0.5, 0.62, 0.7, 0.68, 0.66, 0.66])
# Cosine of the turn beyond which the shoulder line is seen too much from its end.
_STEEP = np.cos(np.deg2rad(70.0))


class Drum:
    """Surface of the trunk.

    Positions are (angle, v): `v` is 0 at the shoulder line and 1 at the hip joints; angles are
    degrees around the trunk, either relative to the viewer (-90 is the left outline, 90 the
    right outline) or relative to the body (0 at the breastbone, 90 at the person's left side).
    """

    def __init__(self, skeleton: Skeleton, body: Proportions, light: float):
        self.top = skeleton.project(skeleton.neck)
        bottom = skeleton.project(skeleton.pelvis)
        self.axis = bottom - self.top
        self.down = unit(self.axis)
        self.light = light
        level = np.stack([self.down[:, 1], -self.down[:, 0]], axis=1)
        shoulders = skeleton.project(skeleton.shoulders)
        line = shoulders[:, 0] - shoulders[:, 1]
        forward = skeleton.torso_axes[:, :, 2]
        self.turn = np.rad2deg(np.arctan2(forward[:, 0], forward[:, 2]))
        self.across_top = unit(-line if skeleton.is_back else line)
        # In profile the shoulder line points at the camera: its tilt there is none of the trunk's.
        trust = np.abs(np.cos(np.deg2rad(self.turn)))[:, None] / _STEEP
        mixed = unit(trust * self.across_top + (1 - trust) * level)
        self.across_top = np.where(trust < 1, mixed, self.across_top)
        self.across_bottom = level
        self.cos2 = np.cos(np.deg2rad(self.turn))[:, None] ** 2
        self.half = np.array(
            [
                0.036,
                0.62 * body.shoulder_half,
                body.shoulder_half + 0.004,
                body.shoulder_half + 0.002,
                body.chest_half,
                body.waist_half,
                body.pelvis_half,
                body.pelvis_half * 0.97,
                body.pelvis_half * 0.74,
            ]
        )
        self.bulge = 1.0 * np.sin(skeleton.pitch)
        self.margin = 0.0

    def worn(self, margin: float, shoulder_half: float | None = None) -> "Drum":
        """Return the surface of a garment over the trunk, optionally with bare shoulders."""
        outer = copy.copy(self)
        outer.margin = margin
        if shoulder_half is not None:
            outer.half = self.half.copy()
            outer.half[1:4] = shoulder_half * np.array([0.8, 0.92, 1.08])
        return outer

    def at(self, angle: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return points [frames, n, 2] at viewer angles [n] or [frames, n] and levels [n]."""
        half = np.interp(v, _LEVELS, self.half) + self.margin
        depth = half * np.interp(v, _LEVELS, _DEPTH)
        width = np.sqrt(half**2 * self.cos2 + depth**2 * (1.0 - self.cos2))
        radians = np.deg2rad(angle)
        blend = np.minimum(1.0, np.maximum(0.0, v * 1.4))[:, None]
        across = self.across_top[:, None] * (1 - blend) + self.across_bottom[:, None] * blend
        return (
            self.top[:, None]
            + self.axis[:, None] * v[:, None]
            + across * (width * np.sin(radians))[..., None]
            + self.down[:, None] * (depth * np.cos(radians) * self.bulge)[..., None]
        )

    def viewer_angle(self, angle: np.ndarray | float, offset: np.ndarray | float = 0.0):
        """Turn body angles into viewer angles, clipped at the outline.

        `offset` is added after wrapping, so that a patch around `angle` never tears.
        """
        center = (np.asarray(angle) + self.turn[:, None] + 180.0) % 360.0 - 180.0
        return np.clip(center + offset, -90.0, 90.0)

    def outline(
        self, low: np.ndarray | float, high: np.ndarray | float, v_range: tuple[float, float]
    ) -> np.ndarray:
        """Return the polygon between two viewer angles and two levels."""
        return self._outlines([(low, high)], v_range)[0]

    def _outlines(self, spans: list[tuple], v_range: tuple[float, float]) -> list[np.ndarray]:
        """Return one polygon per span of viewer angles, laid out in one pass."""
        inner = _LEVELS[(_LEVELS > v_range[0]) & (_LEVELS < v_range[1])]
        steps = np.concatenate([v_range[:1], inner, v_range[1:]])
        count = steps.size
        ramp = np.concatenate([np.zeros(count), _TURN, np.ones(count), _TURN[::-1]])
        v = np.concatenate([steps, np.full(5, v_range[1]), steps[::-1], np.full(5, v_range[0])])
        angles = []
        for low, high in spans:
            low, high = np.reshape(low, (-1, 1)), np.reshape(high, (-1, 1))
            angle = low + (high - low) * ramp
            angles.append(np.broadcast_to(angle, (self.turn.size, angle.shape[1])))
        points = self.at(np.concatenate(angles, axis=1), np.tile(v, len(spans)))
        return np.split(points, len(spans), axis=1)

    def paint(
        self,
        layer: Layer,
        color: RGB,
        code: int,
        v_range: tuple[float, float],
        angles: tuple = (-90.0, 90.0),
    ) -> None:
        """Add the region between two viewer angles and two levels with its shadow side."""
        dark = (35.0, 90.0) if self.light < 0 else (-90.0, -35.0)
        shadow = tuple(np.clip(angle, *dark) for angle in angles)
        lit, dim = self._outlines([angles, shadow], v_range)
        layer.add(lit, color, code)
        layer.add(dim, in_shadow(color), code)

    def front(
        self,
        layer: Layer,
        color: RGB,
        code: int,
        v_range: tuple[float, float],
        angles: tuple[float, float],
    ) -> None:
        """Add a region fixed to the body, e.g. a jacket panel."""
        middle, half = 0.5 * (angles[0] + angles[1]), 0.5 * (angles[1] - angles[0])
        low, high = self.viewer_angle(middle, -half), self.viewer_angle(middle, half)
        self.paint(layer, color, code, v_range, (low, high))

    def shape(self, layer: Layer, color: RGB, code: int, angle: np.ndarray, v: np.ndarray) -> None:
        """Add a polygon given by body angles (around 0) and levels of its corners."""
        layer.add(self.at(self.viewer_angle(0.0, angle), v), color, code)

    def print_pattern(
        self, layer: Layer, pattern: Pattern, code: int, v_range: tuple[float, float], length: float
    ) -> None:
        """Add the print of a garment that covers the trunk between two levels."""
        low, high = v_range
        step = pattern.period / length
        color = pattern.color
        if pattern.kind in ("rings", "checks"):
            starts = np.arange(max(low, 0.02) + 0.5 * pattern.phase * step, high - 0.1 * step, step)
            for start in starts:
                self.paint(layer, color, code, (start, min(start + 0.5 * step, high)))
        if pattern.kind in ("vertical", "checks"):
            spans = [
                (self.viewer_angle(angle, -7.0), self.viewer_angle(angle, 7.0))
                for angle in np.arange(-150.0, 181.0, 30.0)
            ]
            stripes = self._outlines(spans, (max(low, 0.0), high))
            layer.add(np.stack(stripes, axis=1), color, code)
        if pattern.kind == "dots":
            self._dots(layer, pattern, code, v_range, step)
        if pattern.kind == "logo":
            self._logo(layer, pattern, code)
        if pattern.kind == "two_tone":
            self.paint(layer, color, code, (0.45 * (low + high), high))
        if pattern.kind == "chest_band":
            self.paint(layer, color, code, (0.22, 0.22 + 1.3 * step))
        if pattern.kind == "sash":
            angle = np.array([-70.0, -42.0, 75.0, 48.0])
            self.shape(layer, color, code, angle, np.array([0.02, 0.0, high - 0.06, high]))

    def _dots(
        self, layer: Layer, pattern: Pattern, code: int, v_range: tuple[float, float], step: float
    ) -> None:
        rows = np.arange(max(v_range[0], 0.0) + 0.6 * step, v_range[1] - 0.3 * step, 0.85 * step)
        if rows.size == 0:
            return
        base = np.arange(-160.0, 181.0, 40.0)
        angle = np.concatenate([base + 20.0 * (row % 2) for row in range(rows.size)])
        v = np.repeat(rows, base.size)
        seen = self.viewer_angle(angle)
        # Dots shrink towards the outline and vanish behind it.
        size = 0.27 * pattern.period * np.cos(np.deg2rad(seen))[..., None, None]
        discs = self.at(seen, v)[:, :, None] + size * CIRCLE * np.array([0.9, 1.0])
        layer.add(discs, pattern.color, code)

    def _logo(self, layer: Layer, pattern: Pattern, code: int) -> None:
        kind = int(pattern.phase * 4)
        turn = np.linspace(0, 2 * np.pi, 10, endpoint=False) - np.pi / 2
        radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.45) if kind == 0 else np.ones(10)
        if kind == 1:
            turn = np.array([-2.36, -0.79, 0.79, 2.36])
            radius = np.ones(4)
        if kind == 2:
            turn = np.array([-np.pi / 2, np.pi / 6, 5 * np.pi / 6])
            radius = np.ones(3)
        angle = 27.0 * radius * np.cos(turn)
        self.shape(layer, pattern.color, code, angle, 0.34 + 0.16 * radius * np.sin(turn))
