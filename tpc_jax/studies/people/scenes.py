"""Static backgrounds: gradients, rooms, landscapes, streets and abstract shapes.

Coordinates are fractions of the longer canvas side with the origin at its centre, so that a
scene looks the same at every size and is cropped, never squashed, on oblong canvases.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from tpc_jax.studies.people import color
from tpc_jax.studies.people.color import RGB

SCENE_KINDS = ("gradient", "studio", "room", "landscape", "street", "shapes")


@dataclass(frozen=True, eq=False)
class Scene:
    """A background.

    Attributes:
        top: Colour at the upper edge of the base gradient.
        bottom: Colour at its lower edge.
        patches: Polygons (corners [n, 2], colour), painted in order.
        grain: Smooth brightness variation on a coarse grid, in grey levels.
        light: -1 when the light falls in from the left, 1 from the right.
        tones: The colours that cover most of the middle, to keep people visible.
    """

    top: RGB
    bottom: RGB
    patches: tuple[tuple[np.ndarray, RGB], ...]
    grain: np.ndarray
    light: float
    tones: tuple[RGB, ...]


class _Canvas:
    """Collects the patches of a scene."""

    def __init__(self):
        self.patches: list[tuple[np.ndarray, RGB]] = []

    def box(self, left: float, top: float, right: float, bottom: float, tint: RGB) -> None:
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], tint)

    def polygon(self, corners: list | np.ndarray, tint: RGB) -> None:
        self.patches.append((np.asarray(corners, float), tint))

    def oval(self, x: float, y: float, width: float, height: float, tint: RGB) -> None:
        turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        self.polygon(np.stack([x + width * np.cos(turn), y + height * np.sin(turn)], 1), tint)


def _soft(rng: np.random.Generator, low: float = 0.5, high: float = 0.95) -> RGB:
    """Draw a background colour: less saturated than clothing."""
    return color.from_hsv(rng.random(), rng.uniform(0.05, 0.45), rng.uniform(low, high))


def _gradient(rng: np.random.Generator, canvas: _Canvas) -> tuple[RGB, RGB]:
    first = _soft(rng, 0.3)
    return first, color.mix(first, _soft(rng, 0.3), rng.uniform(0.4, 1.0))


def _studio(rng: np.random.Generator, canvas: _Canvas) -> tuple[RGB, RGB]:
    wall = _soft(rng, 0.35)
    floor = color.shade(_soft(rng, 0.3, 0.8), 0.9)
    line = rng.uniform(0.18, 0.36)
    canvas.box(-0.5, line, 0.5, 0.5, floor)
    if rng.random() < 0.6:
        canvas.box(-0.5, line - 0.022, 0.5, line, color.mix(wall, (255, 255, 255), 0.5))
    if rng.random() < 0.5:
        stripe = color.shade(wall, rng.uniform(0.82, 0.93))
        width = rng.uniform(0.04, 0.1)
        for x in np.arange(-0.5 + rng.uniform(0, width), 0.5, 2 * width):
            canvas.box(x, -0.5, x + width, line - 0.02, stripe)
    return wall, color.shade(wall, rng.uniform(0.85, 1.0))


def _room(rng: np.random.Generator, canvas: _Canvas) -> tuple[RGB, RGB]:
    wall = _soft(rng, 0.55, 0.95)
    line = rng.uniform(0.2, 0.34)
    wood = color.from_hsv(rng.uniform(0.05, 0.12), rng.uniform(0.3, 0.6), rng.uniform(0.35, 0.7))
    canvas.box(-0.5, line, 0.5, 0.5, wood)
    for slope in np.linspace(-1.6, 1.6, 9):
        x = 0.35 * slope
        canvas.polygon(
            [(x, line), (x + 0.005, line), (1.5 * x + 0.012, 0.5), (1.5 * x, 0.5)],
            color.shade(wood, 0.85),
        )
    canvas.box(-0.5, line - 0.025, 0.5, line, color.shade(wall, 1.12))
    side = rng.choice([-1.0, 1.0])
    _window(rng, canvas, side * rng.uniform(0.24, 0.38), rng.uniform(-0.34, -0.2))
    x, y = -side * rng.uniform(0.22, 0.36), rng.uniform(-0.36, -0.18)
    width, height = rng.uniform(0.05, 0.11), rng.uniform(0.06, 0.12)
    canvas.box(x - width, y - height, x + width, y + height, (88, 60, 38))
    inner = color.cloth_color(rng)
    canvas.box(x - 0.8 * width, y - 0.8 * height, x + 0.8 * width, y + 0.8 * height, inner)
    canvas.oval(x, y, 0.4 * width, 0.4 * height, color.contrasting(rng, inner))
    if rng.random() < 0.6:
        _plant(rng, canvas, side * rng.uniform(0.3, 0.44), line)
    if rng.random() < 0.5:
        rug = color.shade(_soft(rng, 0.4, 0.8), 0.95)
        canvas.oval(rng.uniform(-0.1, 0.1), 0.42, 0.34, 0.06, rug)
    return wall, color.shade(wall, 0.9)


def _window(rng: np.random.Generator, canvas: _Canvas, x: float, y: float) -> None:
    width, height = rng.uniform(0.09, 0.14), rng.uniform(0.10, 0.15)
    canvas.box(x - width, y - height, x + width, y + height, (244, 244, 240))
    sky = color.from_hsv(0.56, rng.uniform(0.2, 0.55), 0.95)
    for sign_x in (-1, 1):
        for sign_y in (-1, 1):
            a, b = x + sign_x * 0.08 * width, x + sign_x * 0.9 * width
            c, d = y + sign_y * 0.07 * height, y + sign_y * 0.9 * height
            canvas.box(min(a, b), min(c, d), max(a, b), max(c, d), sky)


def _plant(rng: np.random.Generator, canvas: _Canvas, x: float, floor: float) -> None:
    green = color.from_hsv(rng.uniform(0.27, 0.4), 0.6, rng.uniform(0.3, 0.6))
    for lean in np.linspace(-0.07, 0.07, 5):
        tip = (x + 1.5 * lean, floor - 0.2 + 8 * lean**2)
        canvas.polygon([(x - 0.012, floor), tip, (x + 0.02, floor)], color.shade(green, 1 + lean))
    canvas.polygon(
        [
            (x - 0.045, floor),
            (x + 0.045, floor),
            (x + 0.03, floor + 0.08),
            (x - 0.03, floor + 0.08),
        ],
        (170, 92, 60),
    )


def _landscape(rng: np.random.Generator, canvas: _Canvas) -> tuple[RGB, RGB]:
    sky = color.from_hsv(rng.uniform(0.5, 0.64), rng.uniform(0.2, 0.6), rng.uniform(0.75, 1.0))
    glow = color.mix(sky, (255, 236, 210), rng.uniform(0.4, 0.9))
    if rng.random() < 0.6:
        canvas.oval(rng.uniform(-0.4, 0.4), rng.uniform(-0.42, -0.25), 0.05, 0.05, (255, 244, 190))
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(-0.5, 0.5), rng.uniform(-0.45, -0.15)
        for shift in (-0.05, 0.0, 0.055):
            canvas.oval(x + shift, y - 0.01 * (shift == 0), 0.06, 0.026, (248, 250, 252))
    hue, horizon = rng.uniform(0.2, 0.42), rng.uniform(0.05, 0.2)
    across = np.linspace(-0.5, 0.5, 25)
    for depth, value in ((0.11, 0.66), (0.04, 0.56)):
        ridge = horizon - depth - 0.05 * np.sin(across * rng.uniform(5, 12) + rng.uniform(0, 6))
        corners = [*zip(across, ridge, strict=True), (0.5, 0.5), (-0.5, 0.5)]
        canvas.polygon(corners, color.from_hsv(hue, rng.uniform(0.2, 0.45), value))
    meadow = color.from_hsv(hue, rng.uniform(0.35, 0.6), rng.uniform(0.4, 0.75))
    canvas.box(-0.5, horizon, 0.5, 0.5, meadow)
    if rng.random() < 0.5:
        left, right = rng.uniform(-0.4, 0.0), rng.uniform(0.05, 0.4)
        path = (206, 184, 146)
        canvas.polygon([(0.0, horizon), (0.03, horizon), (right, 0.5), (left, 0.5)], path)
    for _ in range(int(rng.integers(1, 5))):
        x, size = rng.uniform(-0.48, 0.48), rng.uniform(0.6, 1.4)
        foot = horizon + rng.uniform(-0.01, 0.1)
        canvas.box(x - 0.01, foot - 0.12 * size, x + 0.01, foot, (98, 70, 46))
        leaf = color.from_hsv(hue + rng.uniform(-0.04, 0.04), 0.55, rng.uniform(0.28, 0.5))
        if rng.random() < 0.5:
            canvas.oval(x, foot - 0.17 * size, 0.065 * size, 0.08 * size, leaf)
        else:
            tip = foot - 0.28 * size
            corners = [(x, tip), (x + 0.07 * size, foot - 0.05), (x - 0.07 * size, foot - 0.05)]
            canvas.polygon(corners, leaf)
    return sky, glow


def _street(rng: np.random.Generator, canvas: _Canvas) -> tuple[RGB, RGB]:
    sky = color.from_hsv(rng.uniform(0.52, 0.62), rng.uniform(0.1, 0.45), rng.uniform(0.7, 1.0))
    ground = rng.uniform(0.2, 0.32)
    x = -0.5
    while x < 0.5:
        width, top = rng.uniform(0.12, 0.26), rng.uniform(-0.42, -0.12)
        facade = _soft(rng, 0.4, 0.85)
        canvas.box(x, top, x + width, ground, facade)
        pane = color.shade(facade, 0.6) if rng.random() < 0.6 else (250, 226, 150)
        for row in np.arange(top + 0.04, ground - 0.06, 0.1):
            for column in np.arange(x + 0.025, x + width - 0.045, 0.075):
                canvas.box(column, row, column + 0.04, row + 0.055, pane)
        x += width
    grey = int(rng.uniform(80, 150))
    canvas.box(-0.5, ground, 0.5, 0.5, (grey, grey, grey + 6))
    canvas.box(-0.5, ground, 0.5, ground + 0.025, (grey + 50, grey + 50, grey + 46))
    if rng.random() < 0.5:
        for start in np.arange(-0.5, 0.5, 0.2):
            canvas.box(start, 0.42, start + 0.1, 0.44, (236, 232, 214))
    return sky, color.mix(sky, (255, 255, 255), 0.4)


def _shapes(rng: np.random.Generator, canvas: _Canvas) -> tuple[RGB, RGB]:
    first, second = _soft(rng, 0.35), _soft(rng, 0.35)
    for _ in range(int(rng.integers(3, 8))):
        x, y = rng.uniform(-0.5, 0.5, 2)
        size = rng.uniform(0.05, 0.17)
        tint = color.mix(color.cloth_color(rng), first, rng.uniform(0.2, 0.6))
        kind = int(rng.integers(3))
        if kind == 0:
            canvas.oval(x, y, size, size * rng.uniform(0.6, 1.4), tint)
        else:
            count = 3 if kind == 1 else 4
            turn = rng.uniform(0, 6.28) + np.arange(count) * 2 * np.pi / count
            corners = np.stack([x + size * np.cos(turn), y + size * np.sin(turn)], 1)
            canvas.polygon(corners, tint)
    return first, second


def sample_scene(rng: np.random.Generator) -> Scene:
    """Draw a random static background.

    Args:
        rng: Source of all randomness.

    Returns:
        A scene free of any resolution.
    """
    kind = SCENE_KINDS[int(rng.integers(len(SCENE_KINDS)))]
    canvas = _Canvas()
    builders = {
        "gradient": _gradient,
        "studio": _studio,
        "room": _room,
        "landscape": _landscape,
        "street": _street,
        "shapes": _shapes,
    }
    top, bottom = builders[kind](rng, canvas)
    large = [tint for corners, tint in canvas.patches if np.ptp(corners, axis=0).prod() > 0.12]
    return Scene(
        top=top,
        bottom=bottom,
        patches=tuple(canvas.patches),
        grain=rng.normal(0, rng.uniform(1.0, 6.0), (7, 7)).astype(np.float32),
        light=-1.0 if rng.random() < 0.5 else 1.0,
        tones=(color.mix(top, bottom, 0.5), *large),
    )


def render_scene(scene: Scene, height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
    """Paint a scene.

    Args:
        scene: What to paint.
        height: Canvas height in pixels.
        width: Canvas width in pixels.

    Returns:
        The RGB picture.
    """
    side = max(height, width)
    ramp = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None]
    base = np.asarray(scene.top) * (1 - ramp) + np.asarray(scene.bottom) * ramp
    picture = np.repeat(np.round(base).astype(np.uint8)[:, None], width, axis=1)
    center = np.array([width, height]) / 2
    for corners, tint in scene.patches:
        pixels = np.round((corners * side + center - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(picture, [pixels], tint, cv2.LINE_8, 4)
    grain = cv2.resize(scene.grain, (side, side), interpolation=cv2.INTER_CUBIC)
    top, left = (side - height) // 2, (side - width) // 2
    grain = np.round(grain[top : top + height, left : left + width]).astype(np.int16)
    return cv2.add(picture, cv2.merge([grain] * 3), dtype=cv2.CV_8U)
