"""RGB colours of the synthetic people and scenes: palettes, sampling and shading."""

import colorsys

import numpy as np

RGB = tuple[int, int, int]

SKIN_TONES: tuple[RGB, ...] = (
    (255, 224, 196),
    (241, 200, 168),
    (228, 180, 142),
    (206, 152, 112),
    (176, 122, 84),
    (140, 92, 60),
    (104, 66, 44),
    (78, 50, 36),
)
HAIR_COLORS: tuple[RGB, ...] = (
    (24, 20, 22),
    (52, 34, 24),
    (92, 58, 32),
    (140, 92, 48),
    (214, 172, 98),
    (238, 212, 150),
    (172, 70, 34),
    (150, 148, 148),
    (224, 222, 216),
    (196, 60, 120),
    (52, 104, 176),
)
# Natural colours come up far more often than dyed ones.
HAIR_WEIGHTS = np.array([5, 5, 4, 3, 3, 2, 2, 1, 1, 0.6, 0.6])
EYE_COLORS: tuple[RGB, ...] = ((46, 30, 22), (62, 92, 60), (54, 92, 142), (30, 24, 24))


def mix(first: RGB, second: RGB, amount: float) -> RGB:
    """Return the colour `amount` of the way from `first` to `second`."""
    red, green, blue = (round(a + (b - a) * amount) for a, b in zip(first, second, strict=True))
    return red, green, blue


def shade(color: RGB, factor: float) -> RGB:
    """Scale the brightness of a colour, clipped to the displayable range."""
    red, green, blue = (min(255, max(0, int(channel * factor))) for channel in color)
    return red, green, blue


def in_shadow(color: RGB) -> RGB:
    """Return the colour of a surface on the side away from the light, slightly cooler."""
    red, green, blue = color
    return int(red * 0.70), int(green * 0.71), int(blue * 0.77)


def from_hsv(hue: float, saturation: float, value: float) -> RGB:
    """Convert hue, saturation and value in [0, 1] to RGB bytes."""
    red, green, blue = (
        int(255 * channel) for channel in colorsys.hsv_to_rgb(hue, saturation, value)
    )
    return red, green, blue


def distance(first: RGB, second: RGB) -> float:
    """Return the Euclidean distance of two colours in grey levels."""
    return float(sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) ** 0.5)


def luminance(color: RGB) -> float:
    """Return the perceived brightness of a colour in grey levels."""
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def cloth_color(rng: np.random.Generator) -> RGB:
    """Draw a clothing colour: vivid, dark, pale or neutral."""
    family = rng.random()
    hue = rng.random()
    if family < 0.45:
        return from_hsv(hue, rng.uniform(0.6, 0.95), rng.uniform(0.6, 0.95))
    if family < 0.70:
        return from_hsv(hue, rng.uniform(0.4, 0.8), rng.uniform(0.22, 0.45))
    if family < 0.85:
        return from_hsv(hue, rng.uniform(0.15, 0.4), rng.uniform(0.8, 1.0))
    grey = int(rng.choice([28, 60, 120, 185, 240]))
    return grey, grey, min(255, grey + 4)


def trouser_color(rng: np.random.Generator) -> RGB:
    """Draw a trouser colour, half of the time denim, khaki or black."""
    if rng.random() < 0.5:
        return cloth_color(rng)
    choices = ((44, 62, 112), (86, 118, 168), (30, 30, 36), (158, 136, 98), (92, 92, 70))
    return choices[int(rng.integers(len(choices)))]


def contrasting(rng: np.random.Generator, color: RGB, minimum: float = 110.0) -> RGB:
    """Draw a clothing colour at least `minimum` grey levels away from `color`."""
    for _ in range(12):
        candidate = cloth_color(rng)
        if distance(candidate, color) >= minimum:
            return candidate
    return (245, 245, 240) if luminance(color) < 128 else (30, 30, 40)
