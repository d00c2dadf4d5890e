"""What a synthetic person looks like: proportions, face, hair, clothing, accessories.

Lengths are fractions of the standing height of the body. Colours are RGB bytes.
"""

from dataclasses import dataclass

import numpy as np

from tpc_jax.studies.people import color
from tpc_jax.studies.people.color import RGB

HAIR_STYLES = (
    "short", "side", "curly", "bob", "long", "ponytail", "bun", "afro",
    "bald", "cap", "beanie", "hat", "mohawk",
)  # fmt: skip
_HAIR_WEIGHTS = np.array([4, 3, 2, 3, 4, 2.5, 2, 1.5, 1, 2, 1.2, 1.2, 0.6])


@dataclass(frozen=True)
class Proportions:
    """Segment lengths and half widths of the bare body."""

    head_height: float
    head_width: float
    neck: float
    shoulder_half: float
    chest_half: float
    waist_half: float
    pelvis_half: float
    hip_half: float
    torso: float
    upper_arm: float
    forearm: float
    hand: float
    thigh: float
    shin: float
    foot: float
    arm_radius: float
    leg_radius: float


@dataclass(frozen=True)
class Face:
    """Features of the head below the hairline; `beard` and `glasses` may be absent."""

    skin: RGB
    eye: RGB
    brow: RGB
    lip: RGB
    eye_size: float
    mouth_width: float
    smile: float
    blush: bool
    beard: str | None
    glasses: RGB | None
    sunglasses: bool


@dataclass(frozen=True)
class Hair:
    """Hair style, or headgear worn over short hair."""

    style: str
    color: RGB
    length: float
    parting: float
    hat: RGB
    band: RGB


@dataclass(frozen=True)
class Pattern:
    """Print on a garment; `period` is the spacing of its repeat."""

    kind: str
    color: RGB
    period: float
    phase: float


@dataclass(frozen=True)
class Top:
    """Garment of the upper body.

    `sleeve` counts segments: 0 sleeveless, 1 to the elbow, 2 to the wrist. `hem` is the
    position of its lower edge down the torso: 0 at the shoulders, 1 at the hip joints.
    """

    kind: str
    color: RGB
    pattern: Pattern
    sleeve: float
    hem: float
    looseness: float
    neckline: str
    trim: RGB
    jacket: RGB | None
    jacket_gap: float
    has_buttons: bool
    tie: RGB | None


@dataclass(frozen=True)
class Bottom:
    """Garment of the lower body; `length` counts segments (1 knee, 2 ankle)."""

    kind: str
    color: RGB
    pattern: Pattern
    length: float
    looseness: float
    flare: float
    belt: RGB | None
    side_stripe: RGB | None


@dataclass(frozen=True)
class Shoes:
    """Footwear; `boot` and `sock` are the heights up the lower leg."""

    color: RGB
    sole: RGB
    accent: RGB
    boot: float
    sock: float
    sock_color: RGB


@dataclass(frozen=True)
class Accessories:
    """Things worn or carried; None where absent."""

    gloves: RGB | None
    scarf: RGB | None
    backpack: RGB | None
    shoulder_bag: RGB | None
    prop: str | None
    prop_color: RGB
    prop_side: int


@dataclass(frozen=True)
class Person:
    """Everything that stays the same about a person through a clip."""

    body: Proportions
    face: Face
    hair: Hair
    top: Top
    bottom: Bottom
    shoes: Shoes
    extras: Accessories

    @property
    def main_colors(self) -> tuple[RGB, ...]:
        """The colours that cover most of the person."""
        outer = self.top.color if self.top.jacket is None else self.top.jacket
        return outer, self.bottom.color, self.face.skin


def _pick(rng: np.random.Generator, names: tuple[str, ...], weights: np.ndarray) -> str:
    return names[int(rng.choice(len(names), p=weights / weights.sum()))]


def _maybe(rng: np.random.Generator, probability: float, value: RGB) -> RGB | None:
    return value if rng.random() < probability else None


def _sample_proportions(rng: np.random.Generator) -> Proportions:
    build = rng.normal(0.0, 1.0)  # slim to heavy
    taper = rng.uniform(-1.0, 1.0)  # wide hips to wide shoulders
    girth = 1.0 + 0.08 * np.clip(build, -1.6, 2.2)
    shoulder = 0.114 + 0.010 * taper + 0.003 * build
    leg = rng.uniform(0.455, 0.49)
    arm = rng.uniform(0.30, 0.325)
    return Proportions(
        head_height=rng.uniform(0.155, 0.178),
        head_width=rng.uniform(0.76, 0.86),
        neck=rng.uniform(0.026, 0.036),
        shoulder_half=shoulder,
        chest_half=(0.108 + 0.005 * taper) * girth,
        waist_half=(0.084 + 0.004 * taper) * girth**1.5,
        pelvis_half=(0.103 - 0.007 * taper) * girth,
        hip_half=0.055 - 0.003 * taper,
        torso=0.97 - leg - rng.uniform(0.195, 0.21),
        upper_arm=0.54 * arm,
        forearm=0.46 * arm,
        hand=rng.uniform(0.085, 0.098),
        thigh=0.515 * leg,
        shin=0.485 * leg,
        foot=rng.uniform(0.125, 0.145),
        arm_radius=0.033 * girth + 0.002 * taper,
        leg_radius=0.057 * girth - 0.002 * taper,
    )


def _sample_face(rng: np.random.Generator, hair_color: RGB) -> Face:
    skin = color.SKIN_TONES[int(rng.integers(len(color.SKIN_TONES)))]
    skin = color.shade(skin, rng.uniform(0.95, 1.04))
    has_glasses = rng.random() < 0.22
    beard = None if rng.random() < 0.78 else str(rng.choice(["full", "goatee", "moustache"]))
    return Face(
        skin=skin,
        eye=color.EYE_COLORS[int(rng.integers(len(color.EYE_COLORS)))],
        brow=color.shade(hair_color, 0.75),
        lip=color.mix(skin, (186, 40, 52), rng.uniform(0.4, 0.8)),
        eye_size=rng.uniform(0.9, 1.15),
        mouth_width=rng.uniform(0.8, 1.2),
        smile=rng.uniform(-0.3, 1.0),
        blush=bool(rng.random() < 0.3),
        beard=beard,
        glasses=((26, 26, 30) if rng.random() < 0.6 else (176, 40, 40)) if has_glasses else None,
        sunglasses=bool(rng.random() < 0.35),
    )


def _sample_hair(rng: np.random.Generator) -> Hair:
    weights = color.HAIR_WEIGHTS / color.HAIR_WEIGHTS.sum()
    hat = color.cloth_color(rng)
    return Hair(
        style=_pick(rng, HAIR_STYLES, _HAIR_WEIGHTS),
        color=color.HAIR_COLORS[int(rng.choice(len(color.HAIR_COLORS), p=weights))],
        length=rng.uniform(0.0, 1.0),
        parting=rng.uniform(-1.0, 1.0),
        hat=hat,
        band=color.contrasting(rng, hat),
    )


def _sample_pattern(rng: np.random.Generator, base: RGB, plain: float) -> Pattern:
    kinds = ("rings", "vertical", "checks", "dots", "logo", "two_tone", "chest_band", "sash")
    weights = np.array([3, 2, 1.5, 1.5, 2.5, 1.5, 1.5, 1])
    kind = "plain" if rng.random() < plain else _pick(rng, kinds, weights)
    return Pattern(
        kind=kind,
        color=color.contrasting(rng, base),
        period=rng.uniform(0.13, 0.20),
        phase=rng.random(),
    )


def _sample_top(rng: np.random.Generator, is_dress: bool) -> Top:
    kinds = ("tshirt", "long_sleeves", "tank", "shirt", "jacket", "crop")
    kind = _pick(rng, kinds, np.array([4, 3, 1.5, 2.0, 0.0 if is_dress else 3.0, 0.6]))
    sleeve = {
        "tshirt": rng.uniform(0.45, 0.85),
        "tank": 0.0,
        "crop": rng.choice([0.0, 0.5, 1.9]),
        "shirt": rng.choice([0.7, 1.25, 1.95]),
    }.get(kind, rng.uniform(1.7, 1.96))
    base = color.cloth_color(rng)
    hem = rng.uniform(0.88, 1.04) if rng.random() < 0.7 else 0.80
    jacket = color.contrasting(rng, base, 130.0) if kind == "jacket" else None
    is_formal = kind in ("shirt", "jacket")
    return Top(
        kind=kind,
        color=base,
        pattern=_sample_pattern(rng, base, plain=0.55),
        sleeve=float(sleeve),
        hem=0.62 if kind == "crop" else float(hem),
        looseness=float(rng.uniform(0.003, 0.012)),
        neckline=str(rng.choice(["round", "vee", "collar", "high"])),
        trim=color.contrasting(rng, base, 80.0) if rng.random() < 0.4 else color.shade(base, 0.6),
        jacket=jacket,
        jacket_gap=float(rng.uniform(14.0, 30.0)),
        has_buttons=kind == "shirt",
        tie=_maybe(rng, 0.35 if is_formal else 0.0, color.contrasting(rng, base)),
    )


def _sample_bottom(rng: np.random.Generator, top: Top, is_dress: bool) -> Bottom:
    kinds = ("trousers", "shorts", "skirt", "leggings")
    kind = "skirt" if is_dress else _pick(rng, kinds, np.array([5, 2.5, 1.5, 1.2]))
    base = top.color if is_dress else color.trouser_color(rng)
    if not is_dress and color.distance(base, top.color) < 70.0:
        base = color.contrasting(rng, top.color, 90.0)
    length = {
        "trousers": rng.uniform(1.82, 1.97),
        "shorts": rng.uniform(0.45, 0.98),
        "skirt": rng.choice([rng.uniform(0.55, 0.95), rng.uniform(1.1, 1.75)], p=[0.7, 0.3]),
        "leggings": rng.uniform(1.55, 1.95),
    }[kind]
    pattern = top.pattern if is_dress else _sample_pattern(rng, base, plain=0.85)
    return Bottom(
        kind=kind,
        color=base,
        pattern=pattern,
        length=float(length),
        looseness=float(0.002 if kind == "leggings" else rng.uniform(0.005, 0.013)),
        flare=float(max(0.0, rng.normal(0.0, 0.012))),
        belt=_maybe(rng, 0.4, color.contrasting(rng, base)),
        side_stripe=_maybe(rng, 0.15, color.contrasting(rng, base)),
    )


def _sample_shoes(rng: np.random.Generator) -> Shoes:
    base = color.cloth_color(rng)
    return Shoes(
        color=base,
        sole=(240, 240, 236) if color.luminance(base) < 150 else (60, 52, 48),
        accent=color.contrasting(rng, base, 90.0),
        boot=float(rng.uniform(0.25, 0.5)) if rng.random() < 0.2 else 0.0,
        sock=float(rng.uniform(0.12, 0.45)) if rng.random() < 0.5 else 0.0,
        sock_color=(242, 242, 242) if rng.random() < 0.5 else color.cloth_color(rng),
    )


def _sample_extras(rng: np.random.Generator, top: Top) -> Accessories:
    prop_kinds = ("handbag", "ball", "cane", "book", "flag", "cup")
    outer = top.color if top.jacket is None else top.jacket
    return Accessories(
        gloves=_maybe(rng, 0.1, color.cloth_color(rng)),
        scarf=_maybe(rng, 0.1, color.contrasting(rng, outer)),
        backpack=_maybe(rng, 0.08, color.contrasting(rng, outer)),
        shoulder_bag=_maybe(rng, 0.08, color.contrasting(rng, outer)),
        prop=str(rng.choice(prop_kinds)) if rng.random() < 0.2 else None,
        prop_color=color.contrasting(rng, outer),
        prop_side=int(rng.integers(2)),
    )


def sample_person(rng: np.random.Generator) -> Person:
    """Draw a random person: body, face, hair, clothing and accessories.

    Args:
        rng: Source of all randomness; equal generators give equal people.

    Returns:
        The appearance, free of any pose, camera or resolution.
    """
    hair = _sample_hair(rng)
    is_dress = bool(rng.random() < 0.12)
    top = _sample_top(rng, is_dress)
    return Person(
        body=_sample_proportions(rng),
        face=_sample_face(rng, hair.color),
        hair=hair,
        top=top,
        bottom=_sample_bottom(rng, top, is_dress),
        shoes=_sample_shoes(rng),
        extras=_sample_extras(rng, top),
    )
