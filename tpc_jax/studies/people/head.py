"""Head, face and ears; hair lives in `hair`."""

import numpy as np

from tpc_jax.studies.people import color
from tpc_jax.studies.people.appearance import Face, Person
from tpc_jax.studies.people.shapes import CIRCLE, HEAD, Layer, unit
from tpc_jax.studies.people.skeleton import Skeleton


class HeadSurface:
    """The head as an egg: maps positions on it to the picture.

    Positions are (angle, y): angles in degrees around the head, relative to the viewer (-90 and
    90 are the outlines) or to the face (0 at the nose, 90 at the left ear); y is -1 at the
    crown and 1 at the chin.
    """

    def __init__(self, person: Person, skeleton: Skeleton):
        body = person.body
        self.center = skeleton.project(skeleton.head)
        self.half_height = 0.5 * body.head_height
        self.half_width = self.half_height * body.head_width
        up = skeleton.head_axes[:, :, 1]
        self.down = unit(up[:, :2])
        self.across = np.stack([self.down[:, 1], -self.down[:, 0]], axis=1)
        forward = skeleton.head_axes[:, :, 2]
        self.turn = np.rad2deg(np.arctan2(forward[:, 0], forward[:, 2]))
        # Looking down moves the middle of the face down in the picture.
        nod = np.arcsin(np.clip(forward[:, 1], -1, 1)) + 0.4 * skeleton.pitch
        self.nod = 0.55 * np.sin(nod)[:, None] * np.cos(np.deg2rad(self.turn))[:, None]

    def width(self, y: np.ndarray) -> np.ndarray:
        """Return the half width of the head at height y, relative to its widest."""
        round_part = np.sqrt(np.maximum(0.0, 1.0 - np.abs(y) ** 2.3))
        return round_part * (1.0 - 0.17 * np.maximum(y, 0.0))

    def viewer_angle(self, angle: np.ndarray | float) -> np.ndarray:
        """Turn face angles into viewer angles in [-180, 180), shape [frames, n]."""
        return (np.atleast_1d(angle) + self.turn[:, None] + 180.0) % 360.0 - 180.0

    def at(self, angle: np.ndarray, y: np.ndarray, grow: float = 0.0) -> np.ndarray:
        """Return points [frames, n, 2] at viewer angles and heights ([n] or [frames, n])."""
        shape = (self.center.shape[0], np.size(y) if np.ndim(y) == 1 else np.shape(y)[1])
        radians = np.deg2rad(np.broadcast_to(angle, shape))
        y = np.broadcast_to(y, shape)
        width = self.width(y)
        x = width * np.sin(radians)
        level = y + self.nod * width * np.cos(radians)
        return self.offset(x * (1 + grow), level * (1 + grow))

    def offset(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return points [frames, n, 2] at head-sized offsets from the centre of the head."""
        return (
            self.center[:, None]
            + self.across[:, None] * (x * self.half_width)[..., None]
            + self.down[:, None] * (y * self.half_height)[..., None]
        )

    def outline(self, low: float = -1.0, high: float = 1.0, grow: float = 0.0) -> np.ndarray:
        """Return the silhouette between two heights."""
        y = np.sin(np.linspace(np.arcsin(low), np.arcsin(high), 9))
        x = self.width(y)
        points_x = np.concatenate([-x, x[::-1]]) * (1 + grow)
        points_y = np.concatenate([y, y[::-1]]) * (1 + grow)
        shape = (self.center.shape[0], 18)
        return self.offset(np.broadcast_to(points_x, shape), np.broadcast_to(points_y, shape))

    def patch(
        self, layer: Layer, tint: color.RGB, angle: float, y: float, outline: np.ndarray
    ) -> None:
        """Add a small polygon lying on the surface; `outline` is in half head heights."""
        seen = self.viewer_angle(angle)
        facing = np.cos(np.deg2rad(seen))
        middle = self.at(np.clip(seen, -90, 90), np.array([y]))
        x = outline[:, 0] * np.clip(facing, 0.0, 1.0) * self.half_height
        points = (
            middle
            + self.across[:, None] * x[..., None]
            + self.down[:, None] * (outline[:, 1] * self.half_height)[:, None]
        )
        layer.add(points, tint, HEAD, facing[:, 0] > 0.22)


def _oval(width: float, height: float) -> np.ndarray:
    return CIRCLE * np.array([width, height])


def paint_head(layer: Layer, surface: HeadSurface, face: Face, light: float) -> None:
    """Add skull, shadow, ears and face."""
    skin = face.skin
    layer.add(surface.outline(), skin, HEAD)
    dark = color.in_shadow(skin)
    side = 1.0 if light < 0 else -1.0
    y = np.sin(np.linspace(-1.2, 1.5, 7))
    shadow_angle = np.concatenate([np.full(7, side * 90.0), np.full(7, side * 52.0)])
    layer.add(surface.at(shadow_angle, np.concatenate([y, y[::-1]])), dark, HEAD)
    for angle in (-92.0, 92.0):
        seen = surface.viewer_angle(angle)
        middle = surface.at(np.clip(seen, -90, 90), np.array([0.1]))
        ear = surface.half_height * (CIRCLE * np.array([0.13, 0.22]))
        visible = (np.abs(seen[:, 0]) < 112) & (np.abs(seen[:, 0]) > 35)
        layer.add(middle + ear, color.shade(skin, 0.84), HEAD, visible)
    _paint_features(layer, surface, face)


def _paint_features(layer: Layer, surface: HeadSurface, face: Face) -> None:
    skin, size = face.skin, face.eye_size
    if face.blush:
        for angle in (-42.0, 42.0):
            cheek = color.mix(skin, (226, 92, 92), 0.4)
            surface.patch(layer, cheek, angle, 0.36, _oval(0.15, 0.11))
    if face.beard is not None:
        _paint_beard(layer, surface, face)
    nose = np.array([(-0.02, -0.14), (0.07, 0.1), (-0.09, 0.1)])
    surface.patch(layer, color.shade(skin, 0.76), 0.0, 0.2, nose)
    lift = 0.05 * face.smile
    half = 0.25 * face.mouth_width
    mouth = np.array(
        [(-half, -lift), (0, 0.0), (half, -lift), (0.6 * half, 0.09), (-0.6 * half, 0.09)]
    )
    surface.patch(layer, face.lip, 0.0, 0.56, mouth)
    for angle in (-29.0, 29.0):
        white = color.mix(skin, (255, 255, 255), 0.8)
        surface.patch(layer, color.shade(skin, 0.45), angle, -0.07, _oval(0.16 * size, 0.13 * size))
        surface.patch(layer, white, angle, -0.04, _oval(0.145 * size, 0.105 * size))
        surface.patch(layer, face.eye, angle, -0.045, _oval(0.095 * size, 0.11 * size))
        brow = np.array([(-0.17, -0.03), (0.17, -0.03), (0.17, 0.035), (-0.17, 0.035)])
        surface.patch(layer, face.brow, angle, -0.26, brow)
    if face.glasses is not None:
        _paint_glasses(layer, surface, face, face.glasses)


def _paint_beard(layer: Layer, surface: HeadSurface, face: Face) -> None:
    tint = color.mix(face.brow, face.skin, 0.12)
    if face.beard in ("full", "moustache"):
        bar = np.array([(-0.3, 0.0), (0.0, -0.07), (0.3, 0.0), (0.3, 0.09), (-0.3, 0.09)])
        surface.patch(layer, tint, 0.0, 0.42, bar)
    if face.beard == "moustache":
        return
    spread = 96.0 if face.beard == "full" else 26.0
    angle = np.linspace(-spread, spread, 9)
    seen = np.clip(surface.viewer_angle(0.0) + angle, -90, 90)
    top = np.interp(np.abs(angle), [0, 22, 60, 96], [0.72, 0.66, 0.4, 0.0])
    low = np.full(9, 1.0) if face.beard == "full" else np.full(9, 0.96)
    points = np.concatenate([surface.at(seen, top), surface.at(seen[:, ::-1], low, 0.05)], axis=1)
    visible = np.abs(surface.viewer_angle(0.0)[:, 0]) < 90
    layer.add(points, tint, HEAD, visible)


def _paint_glasses(layer: Layer, surface: HeadSurface, face: Face, frame: color.RGB) -> None:
    for angle in (-29.0, 29.0):
        surface.patch(layer, frame, angle, -0.04, _oval(0.26, 0.21))
        lens = (38, 40, 52) if face.sunglasses else color.mix(face.skin, (235, 245, 255), 0.5)
        surface.patch(layer, lens, angle, -0.04, _oval(0.19, 0.15))
        if not face.sunglasses:
            surface.patch(layer, face.eye, angle, -0.04, _oval(0.085, 0.09))
    bridge = np.array([(-0.14, -0.03), (0.14, -0.03), (0.14, 0.03), (-0.14, 0.03)])
    surface.patch(layer, frame, 0.0, -0.08, bridge)
