"""The skirt as a cone around both legs."""

import numpy as np

from tpc_jax.studies.people import color
from tpc_jax.studies.people.appearance import Person
from tpc_jax.studies.people.color import RGB, in_shadow
from tpc_jax.studies.people.drum import Drum
from tpc_jax.studies.people.limbs import THIGH
from tpc_jax.studies.people.shapes import CIRCLE, SKIRT, Layer, Split, unit
from tpc_jax.studies.people.skeleton import Skeleton

WAIST = 0.80
_ARC = np.linspace(0.0, 1.0, 7)


class Skirt:
    """Surface of a skirt: viewer angles in degrees, t from 0 at the waist to 1 at the hem."""

    def __init__(self, person: Person, skeleton: Skeleton, drum: Drum):
        self.bottom, self.light = person.bottom, drum.light
        self.is_back = skeleton.is_back
        hips, knees, ankles = (
            skeleton.project(joints) for joints in (skeleton.hips, skeleton.knees, skeleton.ankles)
        )
        upper, lower = min(self.bottom.length, 1.0), max(self.bottom.length - 1.0, 0.0)
        hem = hips + upper * (knees - hips) + 0.8 * lower * (ankles - knees)
        self.start = drum.top + WAIST * drum.axis
        self.axis = hem.mean(axis=1) - self.start
        self.down = unit(self.axis)
        self.across = np.stack([self.down[:, 1], -self.down[:, 0]], axis=1)
        waist = drum.at(np.array([-90.0, 90.0]), np.array([WAIST, WAIST]))
        self.waist = 0.5 * np.linalg.norm(waist[:, 1] - waist[:, 0], axis=1, keepdims=True)
        # Wide enough for both legs at the hem, wherever they are.
        sway = np.einsum("fsd,fd->fs", hem - hem.mean(axis=1, keepdims=True), self.across)
        margin = person.body.leg_radius + 0.006 + 0.03 * self.bottom.length + self.bottom.flare
        self.hem = np.abs(sway).max(axis=1, keepdims=True) + margin
        self.bulge = 0.75 * np.sin(skeleton.pitch)
        self.turn = drum.viewer_angle(180.0 if self.is_back else 0.0)
        legs = 0.5 * (skeleton.hips + skeleton.knees)[:, :, 2] - 0.07
        if self.bottom.length > 0.85:
            legs = np.maximum(legs, 0.5 * (skeleton.knees + skeleton.ankles)[:, :, 2] - 0.07)
        self.depth = legs.max(axis=1) + 0.005

    def at(self, angle: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return points [frames, n, 2] at viewer angles [n] or [frames, n] and levels [n]."""
        radians = np.deg2rad(angle)
        width = self.waist + (self.hem - self.waist) * t**0.75
        drop = width * np.cos(radians) * self.bulge * np.minimum(1.0, 0.3 + t)
        return (
            self.start[:, None]
            + self.axis[:, None] * t[:, None]
            + self.across[:, None] * (width * np.sin(radians))[..., None]
            + self.down[:, None] * drop[..., None]
        )

    def region(
        self, low: float | np.ndarray, high: float | np.ndarray, t_range: tuple[float, float]
    ) -> np.ndarray:
        """Return the polygon between two viewer angles and two levels."""
        steps = np.linspace(t_range[0], t_range[1], 4)
        ramp = np.concatenate([np.zeros(4), _ARC, np.ones(4), _ARC[::-1]])
        t = np.concatenate([steps, np.full(7, t_range[1]), steps[::-1], np.full(7, t_range[0])])
        low, high = np.reshape(low, (-1, 1)), np.reshape(high, (-1, 1))
        return self.at(low + (high - low) * ramp, t)

    def paint(self, layer: Layer, tint: RGB, t_range: tuple[float, float]) -> None:
        """Add the skirt between two levels with its shadow side."""
        layer.add(self.region(-90.0, 90.0, t_range), tint, SKIRT)
        dark = (35.0, 90.0) if self.light < 0 else (-90.0, -35.0)
        layer.add(self.region(*dark, t_range), in_shadow(tint), SKIRT)

    def layer(self) -> Layer:
        """Return everything drawn of the skirt."""
        layer, bottom = Layer(self.depth), self.bottom
        self.paint(layer, bottom.color, (0.0, 1.0))
        self._print(layer)
        for angle in (-120.0, -60.0, -20.0, 20.0, 60.0, 120.0, 160.0, 200.0):
            seen = np.clip((angle + self._heading + 180.0) % 360.0 - 180.0, -90, 90)
            fold = self.region(seen - 2.5, np.minimum(seen + 2.5, 90.0), (0.45, 1.0))
            layer.add(fold, color.shade(bottom.color, 0.62), SKIRT)
        return layer

    @property
    def _heading(self) -> np.ndarray:
        return self.turn + (180.0 if self.is_back else 0.0)

    def _print(self, layer: Layer) -> None:
        pattern = self.bottom.pattern
        bands = {
            "rings": [(0.1, 0.22), (0.36, 0.48), (0.62, 0.74), (0.88, 1.0)],
            "checks": [(0.2, 0.35), (0.55, 0.7), (0.9, 1.0)],
            "two_tone": [(0.55, 1.0)],
            "chest_band": [(0.76, 0.88)],
        }.get(pattern.kind, [])
        for band in bands:
            self.paint(layer, pattern.color, band)
        if pattern.kind in ("vertical", "checks"):
            for angle in np.arange(-150.0, 181.0, 30.0):
                seen = (angle + self._heading + 180.0) % 360.0 - 180.0
                low, high = (np.clip(seen + half, -90, 90) for half in (-7.0, 7.0))
                layer.add(self.region(low, high, (0.0, 1.0)), pattern.color, SKIRT)
        if pattern.kind == "dots":
            base = np.arange(-160.0, 181.0, 40.0)
            rows = np.array([0.2, 0.45, 0.7, 0.92])
            angle = np.concatenate([base + 20.0 * (row % 2) for row in range(rows.size)])
            seen = np.clip((angle + self._heading + 180.0) % 360.0 - 180.0, -90, 90)
            size = 0.3 * pattern.period * np.cos(np.deg2rad(seen))[..., None, None]
            spots = self.at(seen, np.repeat(rows, base.size))[:, :, None] + size * CIRCLE
            layer.add(spots, pattern.color, SKIRT)

    def split(self) -> Split:
        """Return the division of the skirt into the upper legs below it."""
        left, right = THIGH[int(self.is_back)]
        middle = self.at(np.clip(self.turn, -60.0, 60.0), np.array([0.6]))[:, 0]
        to_left = -self.across if self.is_back else self.across
        return Split(SKIRT, left, right, middle, to_left)
