"""Trunk, neck, and what is worn on them: shirts, jackets, dresses, skirts, bags, scarves."""

import numpy as np

from tpc_jax.studies.people import color
from tpc_jax.studies.people.appearance import Person
from tpc_jax.studies.people.drum import Drum
from tpc_jax.studies.people.shapes import WORN, Layer, Split, Tube, circle
from tpc_jax.studies.people.skeleton import Skeleton
from tpc_jax.studies.people.skirt import Skirt

_ROUND = np.linspace(-1.0, 1.0, 7)


class Torso:
    """Builds the layers of the trunk of one clip."""

    def __init__(self, person: Person, skeleton: Skeleton, light: float):
        self.person, self.skeleton, self.light = person, skeleton, light
        self.drum = Drum(skeleton, person.body, light)
        self.code = 1 if skeleton.is_back else 2
        self.splits: list[Split] = []
        self.depth = 0.5 * (skeleton.neck + skeleton.pelvis)[:, 2]

    def layers(self) -> list[Layer]:
        """Return the trunk with neck and clothing, the skirt and things worn behind."""
        layer = Layer(self.depth)
        person = self.person
        skin = person.face.skin
        project = self.skeleton.project
        low, high = project(self.skeleton.neck), project(self.skeleton.head)
        radius = 0.21 * person.body.head_height
        neck = Tube(low, high, np.array([1.12, 1.0, 0.95]) * radius, 0.08, self.light)
        self.drum.paint(layer, skin, self.code, (-0.06, 0.9))
        neck.paint(layer, color.shade(skin, 0.9), self.code)
        self._waist(layer)
        self._top(layer)
        if person.top.hem <= 0.82 and person.top.kind != "crop":
            self._waist(layer)
        self._jacket(layer)
        self._accessories(layer, neck)
        layers = [layer, self._pelvis(), *self._behind()]
        if person.bottom.kind == "skirt":
            skirt = Skirt(person, self.skeleton, self.drum.worn(person.bottom.looseness * 0.6))
            layers.append(skirt.layer())
            self.splits.append(skirt.split())
        return layers

    def _pelvis(self) -> Layer:
        """Return the seat of the trousers, drawn below thighs that hang down."""
        bottom = self.person.bottom
        layer = Layer(self.depth - 0.10)
        cloth = self.drum.worn(bottom.looseness * 0.6)
        cloth.paint(layer, bottom.color, self.code, (0.80, 1.13))
        return layer

    def _waist(self, layer: Layer) -> None:
        """Add the waistband, which covers a tucked shirt and lies below a loose one."""
        bottom = self.person.bottom
        cloth = self.drum.worn(bottom.looseness * 0.6)
        cloth.paint(layer, bottom.color, self.code, (0.80, 0.94))
        if bottom.pattern.kind in ("rings", "vertical", "checks", "dots"):
            length = self.person.body.torso
            cloth.print_pattern(layer, bottom.pattern, self.code, (0.82, 0.94), length)
        if bottom.belt is not None:
            cloth.paint(layer, bottom.belt, self.code, (0.80, 0.88))
            cloth.front(layer, (226, 200, 110), self.code, (0.805, 0.875), (-11.0, 11.0))

    def _top(self, layer: Layer) -> None:
        person, top, code = self.person, self.person.top, self.code
        bare = person.body.shoulder_half * 0.74 if top.kind == "tank" else None
        cloth = self.drum.worn(top.looseness, bare)
        start = 0.0 if top.kind == "tank" else -0.05
        cloth.paint(layer, top.color, code, (start, top.hem))
        cloth.print_pattern(layer, top.pattern, code, (start, top.hem), person.body.torso)
        if top.hem > 0.82 or top.kind == "crop":
            cloth.paint(layer, top.trim, code, (top.hem - 0.045, top.hem))
        self._neckline(layer, cloth)
        if top.has_buttons and not self.skeleton.is_back:
            seam = color.shade(top.color, 0.72)
            cloth.front(layer, seam, code, (0.02, top.hem), (-3.0, 3.0))
            spots = cloth.at(cloth.viewer_angle(np.zeros(4)), np.array([0.2, 0.38, 0.56, 0.74]))
            spots = spots[:, :, None] + circle(np.zeros((1, 2)), 0.008)
            layer.add(spots, (248, 246, 236), code)
        if top.tie is not None:
            angle = np.array([-5.0, -4.0, -11.0, 0.0, 11.0, 4.0, 5.0])
            cloth.shape(
                layer, top.tie, code, angle, np.array([0.0, 0.08, 0.52, 0.6, 0.52, 0.08, 0.0])
            )

    def _neckline(self, layer: Layer, cloth: Drum) -> None:
        top, code, skin = self.person.top, self.code, self.person.face.skin
        if top.neckline == "high":
            cloth.paint(layer, top.trim, code, (-0.12, -0.02))
            return
        width, depth = {"round": (34.0, 0.085), "vee": (32.0, 0.20), "collar": (26.0, 0.11)}[
            top.neckline
        ]
        angle = np.concatenate([[-width, width], -_ROUND * width])
        fall = 1 - np.abs(_ROUND) if top.neckline == "vee" else np.sqrt(1 - 0.999 * _ROUND**2)
        v = np.concatenate([[-0.09, -0.09], -0.055 + (depth + 0.055) * fall])
        rim = np.where(v > -0.05, v + 0.022, v)
        cloth.shape(layer, top.trim, code, angle * 1.12, rim)
        cloth.shape(layer, skin, code, angle, v)
        if top.neckline == "collar":
            pale = color.mix(top.color, (255, 255, 255), 0.35)
            for sign in (-1.0, 1.0):
                wing = sign * np.array([8.0, 40.0, 44.0, 20.0])
                cloth.shape(layer, pale, code, wing, np.array([0.05, -0.06, 0.04, 0.13]))

    def _jacket(self, layer: Layer) -> None:
        top = self.person.top
        if top.jacket is None:
            return
        hem, gap = max(top.hem, 0.9) + 0.06, top.jacket_gap
        cloth = self.drum.worn(top.looseness + 0.007)
        if self.skeleton.is_back:
            cloth.paint(layer, top.jacket, self.code, (-0.05, hem))
            return
        for sign in (-1.0, 1.0):
            first, last = sorted((sign * gap, sign * 170.0))
            cloth.front(layer, top.jacket, self.code, (-0.05, hem), (first, last))
            lapel = sign * np.array([gap * 0.8, gap + 26.0, gap + 20.0, gap])
            tint = color.mix(top.jacket, (255, 255, 255), 0.22)
            cloth.shape(layer, tint, self.code, lapel, np.array([-0.06, -0.03, 0.2, 0.42]))
            first, last = sorted((sign * (gap + 14.0), sign * (gap + 44.0)))
            dark = color.shade(top.jacket, 0.7)
            cloth.front(layer, dark, self.code, (0.72, 0.75), (first, last))

    def _accessories(self, layer: Layer, neck: Tube) -> None:
        extras, code, drum = self.person.extras, self.code, self.drum.worn(0.012)
        if extras.shoulder_bag is not None:
            strap = color.shade(extras.shoulder_bag, 0.65)
            drum.shape(
                layer, strap, code, np.array([-46.0, -34.0, 84.0, 76.0]),
                np.array([-0.03, -0.04, 0.93, 0.97]),
            )  # fmt: skip
            hip = drum.at(drum.viewer_angle(np.array([78.0])), np.array([1.02]))[:, 0]
            box = np.array([(-0.05, -0.05), (0.055, -0.05), (0.055, 0.07), (-0.05, 0.07)])
            layer.add(hip[:, None] + box, extras.shoulder_bag, WORN)
            flap = box * np.array([1.0, 0.5]) + np.array([0.0, -0.025])
            layer.add(hip[:, None] + flap, strap, WORN)
        if extras.backpack is not None and not self.skeleton.is_back:
            for angle in (-44.0, 44.0):
                drum.front(layer, extras.backpack, code, (-0.04, 0.5), (angle - 7.0, angle + 7.0))
        if extras.scarf is not None:
            tint = extras.scarf
            wrap = neck.widened(0.016)
            wrap.paint(layer, tint, code, (0.02, 0.42))
            if not self.skeleton.is_back:
                drum.front(layer, tint, code, (-0.05, 0.42), (10.0, 32.0))
                drum.front(layer, color.shade(tint, 0.75), code, (0.34, 0.42), (10.0, 32.0))

    def _behind(self) -> list[Layer]:
        extras = self.person.extras
        if extras.backpack is None:
            return []
        sign = 1.0 if self.skeleton.is_back else -1.0
        layer = Layer(self.depth + sign * 0.2)
        pack = self.drum.worn(0.012)
        angles = (-62.0, 62.0) if self.skeleton.is_back else (-90.0, 90.0)
        # The pack sits on the back: it shows beside a turned body on the far side.
        shift = -0.05 * np.sin(np.deg2rad(self.drum.turn))
        body = pack.outline(*angles, (0.02, 0.72)) + np.stack([shift, 0 * shift], -1)[:, None]
        layer.add(body, color.shade(extras.backpack, 0.85), WORN)
        if self.skeleton.is_back:
            pocket = pack.outline(-40.0, 40.0, (0.42, 0.68))
            layer.add(pocket, color.shade(extras.backpack, 0.65), WORN)
        return [layer]
