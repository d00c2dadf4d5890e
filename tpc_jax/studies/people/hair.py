"""Hair and headgear, drawn from a hairline around the head."""

import numpy as np

from tpc_jax.studies.people import color
from tpc_jax.studies.people.appearance import Hair
from tpc_jax.studies.people.color import RGB, in_shadow
from tpc_jax.studies.people.head import HeadSurface
from tpc_jax.studies.people.shapes import CIRCLE, HEAD, WORN, Layer

_KNOTS = np.array([0.0, 42.0, 60.0, 84.0, 112.0, 140.0, 180.0])
_SHORT = np.array([-0.52, -0.48, -0.22, 0.02, 0.42, 0.75, 0.80])
_FRAMING = np.array([-0.48, -0.40, 0.15, 0.80, 0.95, 1.0, 1.0])
# Crest of a mohawk: heights along the middle of the head, and offsets from there.
_RIDGE = np.array([-0.62, -0.75, -0.88, -0.95, -0.95, -0.88, -0.75, -0.62])
_CREST = np.array(
    [
        (-0.16, 0.0), (-0.22, -0.15), (-0.2, -0.32), (-0.12, -0.42),
        (0.12, -0.42), (0.2, -0.32), (0.22, -0.15), (0.16, 0.0),
    ]
)  # fmt: skip
_HAT = np.array([-0.36, -0.36, -0.34, -0.30, -0.26, -0.22, -0.20])


def _scalp(
    surface: HeadSurface, line: np.ndarray, volume: float, parting: float = 0.0, wave: float = 0.0
) -> np.ndarray:
    """Return the region above a hairline whose height is given at `_KNOTS` around the head."""
    seen = np.linspace(-90.0, 90.0, 15)
    own = (seen - surface.turn[:, None] + 180.0) % 360.0 - 180.0
    y = np.interp(np.abs(own), _KNOTS, line) + parting * 0.2 * np.sin(np.deg2rad(own * 1.6)) * (
        np.abs(own) < 70
    )
    y = np.clip(y, -0.98, 0.98)
    lower = surface.at(seen, y)
    start, stop = np.arcsin(-y[:, -1:]), np.pi - np.arcsin(-y[:, :1])
    turn = start + (stop - start) * np.linspace(0.0, 1.0, 15)
    ripple = 1.0 + volume + wave * np.sin(np.arange(15) * 2.4)
    upper = surface.offset(np.cos(turn) * ripple, -np.sin(turn) * (ripple + 0.3 * volume))
    return np.concatenate([lower, upper], axis=1)


def paint_hair(layer: Layer, surface: HeadSurface, hair: Hair, light: float) -> None:
    """Add the hair or headgear that lies on the head."""
    style, tint = hair.style, hair.color
    if style == "bald":
        return
    if style in ("cap", "beanie", "hat"):
        layer.add(_scalp(surface, _SHORT, 0.03), tint, HEAD)
        _headgear(layer, surface, hair)
        return
    line, volume, parting, wave = {
        "short": (_SHORT, 0.08, 0.0, 0.0),
        "side": (_SHORT, 0.12, 1.0 if hair.parting > 0 else -1.0, 0.0),
        "curly": (_SHORT, 0.20, 0.3 * hair.parting, 0.07),
        "bob": (_FRAMING, 0.14, 0.5 * hair.parting, 0.0),
        "long": (_FRAMING, 0.10, 0.8 * hair.parting, 0.0),
        "ponytail": (_SHORT, 0.08, 0.4 * hair.parting, 0.0),
        "bun": (_SHORT, 0.07, 0.0, 0.0),
        "afro": (_SHORT, 0.42, 0.0, 0.04),
        "mohawk": (_SHORT - 0.06, 0.0, 0.0, 0.0),
    }[style]
    if style == "mohawk":
        layer.add(_scalp(surface, line, volume), color.shade(tint, 0.8), HEAD)
        ridge = surface.at(np.clip(surface.viewer_angle(0.0), -60, 60), _RIDGE)
        layer.add(ridge + surface.half_height * _CREST, tint, HEAD)
        return
    layer.add(_scalp(surface, line, volume, parting, wave), tint, HEAD)
    _shine(layer, surface, tint, volume, light)


def _shine(layer: Layer, surface: HeadSurface, tint: RGB, volume: float, light: float) -> None:
    """Add a highlight on the lit side and a shadow on the other."""
    turn = np.deg2rad(np.linspace(100, 160, 5)) if light < 0 else np.deg2rad(np.linspace(20, 80, 5))
    frames = (surface.center.shape[0], 10)
    radius = np.concatenate([np.full(5, 0.98 + volume * 0.7), np.full(5, 0.80 + volume)])
    turn = np.concatenate([turn, turn[::-1]])
    x, y = np.cos(turn) * radius, -np.sin(turn) * radius
    points = surface.offset(np.broadcast_to(x, frames), np.broadcast_to(y, frames))
    layer.add(points, color.mix(tint, (255, 255, 255), 0.22), HEAD)


def _headgear(layer: Layer, surface: HeadSurface, hair: Hair) -> None:
    tint = hair.hat
    frames = surface.center.shape[0]
    if hair.style == "hat":
        x = 1.75 * CIRCLE[:, 0] + 0 * surface.turn[:, None]
        y = -0.40 + 0.26 * CIRCLE[:, 1] + 0 * surface.turn[:, None]
        layer.add(surface.offset(x, y), color.shade(tint, 0.8), HEAD)
        crown_x = np.array([-1.02, -0.9, -0.6, 0.0, 0.6, 0.9, 1.02])
        crown_y = np.array([-0.42, -1.1, -1.28, -1.2, -1.28, -1.1, -0.42])
        shape = (frames, 7)
        crown = surface.offset(np.broadcast_to(crown_x, shape), np.broadcast_to(crown_y, shape))
        layer.add(crown, tint, HEAD)
        band_x = np.broadcast_to([-1.02, -0.99, 0.0, 0.99, 1.02, 0.0], (frames, 6))
        band_y = np.broadcast_to([-0.44, -0.62, -0.56, -0.62, -0.44, -0.34], (frames, 6))
        layer.add(surface.offset(band_x, band_y), hair.band, HEAD)
        return
    volume = 0.14 if hair.style == "cap" else 0.22
    layer.add(_scalp(surface, _HAT, volume), tint, HEAD)
    if hair.style == "beanie":
        angle = np.concatenate([np.linspace(-90, 90, 9), np.linspace(90, -90, 9)])
        y = np.concatenate([np.full(9, -0.24), np.full(9, -0.52)])
        layer.add(surface.at(angle, y, 0.12), hair.band, HEAD)
        bobble = surface.offset(np.zeros((frames, 1)), np.full((frames, 1), -1.28))
        layer.add(bobble + 0.24 * surface.half_height * CIRCLE, hair.band, HEAD)
        return
    angle = np.linspace(-62.0, 62.0, 9)
    center = surface.viewer_angle(0.0)
    seen = np.clip(center + angle, -100, 100)
    inner = surface.at(seen, np.full(9, -0.34))
    radians = np.deg2rad(seen)
    reach = 1.0 + 0.42 * np.cos(np.deg2rad(angle))
    outer = surface.offset(reach * np.sin(radians), -0.34 + 0.28 * np.cos(radians) * reach)
    visible = np.abs(center[:, 0]) < 100
    brim = np.concatenate([inner, outer[:, ::-1]], axis=1)
    layer.add(brim, color.shade(hair.band, 0.9), HEAD, visible)


def paint_back_hair(layer: Layer, surface: HeadSurface, hair: Hair, is_back: bool) -> None:
    """Add the hair that hangs or stands behind the head (before it when seen from behind)."""
    frames = surface.center.shape[0]
    tint = hair.color if is_back else in_shadow(hair.color)
    sway = -0.35 * np.sin(np.deg2rad(surface.turn))[:, None]

    def region(x: list[float], y: list[float], code: int) -> None:
        shape = (frames, len(x))
        layer.add(
            surface.offset(np.broadcast_to(x, shape) + sway, np.broadcast_to(y, shape)), tint, code
        )

    if hair.style in ("long", "bob"):
        low = 1.25 if hair.style == "bob" else 1.9 + 1.3 * hair.length
        wide = 1.15 if hair.style == "bob" else 1.2
        x = [-1.08, -wide - 0.05, -wide, -0.8, 0.0, 0.8, wide, wide + 0.05, 1.08]
        y = [-0.4, 0.3, low - 0.25, low, low + 0.06, low, low - 0.25, 0.3, -0.4]
        region(x, y, WORN)
    elif hair.style == "ponytail":
        low = 1.6 + 0.9 * hair.length
        side = 0.95 if hair.parting > 0 else -0.95
        x = [side * 0.3, side * 1.1, side * 1.38, side * 1.3, side * 1.05, side * 0.85]
        if is_back:
            x = [-0.15, 0.15, 0.3, 0.25, 0.0, -0.3]
        region(x, [-0.55, -0.5, 0.4, low, low + 0.15, 0.3], WORN)
    elif hair.style == "bun":
        x = list(0.45 * CIRCLE[:, 0])
        region(x, list(-1.12 + 0.42 * CIRCLE[:, 1]), HEAD)
    elif hair.style == "afro":
        region(list(1.5 * CIRCLE[:, 0]), list(-0.25 + 1.25 * CIRCLE[:, 1]), HEAD)
    elif hair.style == "curly":
        region(list(1.25 * CIRCLE[:, 0]), list(-0.15 + 1.05 * CIRCLE[:, 1]), HEAD)
