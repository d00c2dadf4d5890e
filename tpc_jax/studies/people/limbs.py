"""Arms with hands and legs with feet, bare and clothed."""

import numpy as np

from tpc_jax.pose.densepose import SEGMENTS
from tpc_jax.studies.people import color
from tpc_jax.studies.people.appearance import Bottom, Person
from tpc_jax.studies.people.shapes import WORN, Layer, Split, Tube, capsule, circle, unit
from tpc_jax.studies.people.skeleton import Skeleton


def _sides(segment: str) -> tuple[tuple[int, int], ...]:
    """Return the DensePose ids of each half of a segment, for (left, right)."""
    return tuple(zip(SEGMENTS[f"left_{segment}"], SEGMENTS[f"right_{segment}"], strict=True))


# Arms have an inner and an outer half; of the legs the first pair is seen from the front, the
# second from behind.
UPPER_ARM, FOREARM = _sides("upper_arm"), _sides("lower_arm")
THIGH, SHIN = _sides("upper_leg")[::-1], _sides("lower_leg")[::-1]
(HAND,), (FOOT,) = _sides("hand"), _sides("foot")

_UPPER_ARM_TAPER = np.array([1.08, 1.10, 1.02, 0.94, 0.86])
_FOREARM_TAPER = np.array([0.86, 0.95, 0.86, 0.70, 0.58])
_THIGH_TAPER = np.array([1.05, 1.06, 0.98, 0.86, 0.74])
_SHIN_TAPER = np.array([0.72, 0.80, 0.72, 0.54, 0.44])

# Outline of a right-angled mitten: (across, along) in hand lengths; the thumb is separate.
_PALM = np.array(
    [
        (-0.22, -0.05), (-0.30, 0.25), (-0.32, 0.55), (-0.27, 0.82), (-0.16, 0.88), (-0.12, 0.97),
        (0.02, 1.0), (0.10, 0.95), (0.20, 0.86), (0.28, 0.76), (0.30, 0.45), (0.22, -0.05),
    ]
)  # fmt: skip
_THUMB = np.array(
    [(0.12, 0.10), (0.36, 0.22), (0.60, 0.50), (0.56, 0.62), (0.42, 0.56), (0.16, 0.5)]
)
_FINGER_GAPS = np.array([-0.12, 0.06])


class Limbs:
    """Builds the layers of the four limbs of one clip."""

    def __init__(self, person: Person, skeleton: Skeleton, light: float):
        self.person, self.skeleton, self.light = person, skeleton, light
        self.seen_from = int(skeleton.is_back)
        self.splits: list[Split] = []

    def _tube(self, start, end, taper, radius, length) -> Tube:
        project = self.skeleton.project
        return Tube(project(start), project(end), taper * radius, length, self.light)

    def arm(self, side: int) -> list[Layer]:
        """Return the layers of upper arm and of forearm with hand and carried prop."""
        person, bones, body = self.person, self.skeleton, self.person.body
        shoulder, elbow, wrist = (
            joints[:, side] for joints in (bones.shoulders, bones.elbows, bones.wrists)
        )
        upper = self._tube(shoulder, elbow, _UPPER_ARM_TAPER, body.arm_radius, body.upper_arm)
        lower = self._tube(elbow, wrist, _FOREARM_TAPER, body.arm_radius, body.forearm)
        upper_layer = Layer(0.5 * (shoulder + elbow)[:, 2] + 0.02)
        lower_layer = Layer(0.5 * (elbow + wrist)[:, 2] + 0.03)
        top, skin = person.top, person.face.skin
        sleeve_color = top.color if top.jacket is None else top.jacket
        if top.jacket is None and top.pattern.kind == "sash":
            sleeve_color = top.pattern.color
        parts = UPPER_ARM[0][side], FOREARM[0][side]
        outward = 1.0 if (side == 0) != bones.is_back else -1.0
        for tube, (inner, outer) in ((upper, UPPER_ARM), (lower, FOREARM)):
            direction = outward * tube.across
            edge = tube.start + 0.3 * body.arm_radius * direction
            self.splits.append(Split(inner[side], outer[side], inner[side], edge, direction))
        self._prop(lower_layer, side, wrist)
        self._hand(lower_layer, side, elbow, wrist)
        segments = ((upper, upper_layer, 0.0), (lower, lower_layer, 1.0))
        for (tube, layer, begin), code in zip(segments, parts, strict=True):
            cover = float(np.clip(top.sleeve - begin, 0.0, 1.0))
            if cover < 0.97:
                tube.paint(layer, skin, code)
            if cover > 0.05:
                cloth = tube.widened(top.looseness * 0.8, 0.003)
                cloth.paint(layer, sleeve_color, code, (0.0, cover), round_end=cover >= 1.0)
                if top.jacket is None:
                    cloth.print_pattern(layer, top.pattern, code, (0.0, cover))
                if cover < 1.0:
                    cloth.band(layer, top.trim, code, (cover - 0.016 / tube.length, cover))
        return [upper_layer, lower_layer]

    def _hand(self, layer: Layer, side: int, elbow: np.ndarray, wrist: np.ndarray) -> None:
        body, extras = self.person.body, self.person.extras
        tint = self.person.face.skin if extras.gloves is None else extras.gloves
        project = self.skeleton.project
        forearm = elbow - wrist
        base = project(wrist)
        along = unit(-project(forearm) + np.array([0.0, 0.012]))
        bend = self.skeleton.hand_bends[:, side][:, None]
        across = np.stack([along[:, 1], -along[:, 0]], axis=1)
        along, across = (
            along * np.cos(bend) + across * np.sin(bend),
            across * np.cos(bend) - along * np.sin(bend),
        )
        # A hand pointing at the camera looks shorter, never shorter than a fist.
        slope = np.linalg.norm(project(forearm), axis=1) / body.forearm
        length = body.hand * np.clip(slope, 0.62, 1.0)[:, None, None]
        # The thumb of a hanging arm points to the middle of the body and follows the arm round.
        inward = (-1.0 if side == 0 else 1.0) * (-1.0 if self.skeleton.is_back else 1.0)
        thumb_side = inward * np.sign(along[:, 1] + 0.25 + 1e-6)[:, None, None]

        def place(outline: np.ndarray, mirror: np.ndarray | float) -> np.ndarray:
            u, v = outline[:, 0, None] * mirror, outline[:, 1, None] * length
            return base[:, None] + across[:, None] * (u * body.hand) + along[:, None] * v

        code = HAND[side]
        layer.add(place(_THUMB, thumb_side), color.shade(tint, 0.86), code)
        layer.add(place(_PALM, thumb_side), tint, code)
        gaps = np.stack(
            [
                place(np.array([(u, 0.55), (u + 0.05, 0.98), (u - 0.05, 0.98)]), thumb_side)
                for u in _FINGER_GAPS
            ],
            axis=1,
        )
        layer.add(gaps, color.shade(tint, 0.66), code)

    def _prop(self, layer: Layer, side: int, wrist: np.ndarray) -> None:
        extras = self.person.extras
        if extras.prop is None or extras.prop_side != side:
            return
        tint = extras.prop_color
        elbow = self.skeleton.elbows[:, side]
        project = self.skeleton.project
        hand = project(wrist) + 0.06 * unit(project(wrist - elbow))

        def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
            corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
            return hand[:, None] + corners

        if extras.prop == "handbag":
            layer.add(box(-0.035, 0.0, -0.02, 0.07), color.shade(tint, 0.6), WORN)
            layer.add(box(0.02, 0.0, 0.035, 0.07), color.shade(tint, 0.6), WORN)
            layer.add(box(-0.065, 0.055, 0.065, 0.155), tint, WORN)
            layer.add(box(-0.065, 0.055, 0.065, 0.085), color.shade(tint, 0.7), WORN)
        elif extras.prop == "ball":
            layer.add(circle(hand + np.array([0.0, 0.035]), 0.062), tint, WORN)
            layer.add(circle(hand + np.array([0.018, 0.05]), 0.036), color.shade(tint, 0.75), WORN)
        elif extras.prop == "cane":
            layer.add(box(-0.009, -0.03, 0.009, 0.44), tint, WORN)
        elif extras.prop == "book":
            layer.add(box(-0.06, -0.055, 0.06, 0.055), tint, WORN)
            layer.add(box(-0.048, 0.03, 0.048, 0.046), (246, 244, 232), WORN)
        elif extras.prop == "flag":
            layer.add(box(-0.008, -0.30, 0.008, 0.06), (122, 88, 52), WORN)
            layer.add(box(0.006, -0.30, 0.15, -0.20), tint, WORN)
            layer.add(box(0.006, -0.265, 0.15, -0.235), (245, 245, 245), WORN)
        else:
            layer.add(box(-0.028, -0.04, 0.028, 0.04), tint, WORN)
            layer.add(box(-0.032, -0.05, 0.032, -0.034), (245, 245, 245), WORN)

    def leg(self, side: int) -> list[Layer]:
        """Return the layers of thigh, lower leg and foot."""
        person, bones, body = self.person, self.skeleton, self.person.body
        hip, knee, ankle = (joints[:, side] for joints in (bones.hips, bones.knees, bones.ankles))
        upper = self._tube(hip, knee, _THIGH_TAPER, body.leg_radius, body.thigh)
        lower = self._tube(knee, ankle, _SHIN_TAPER, body.leg_radius, body.shin)
        # Trousers hang in front of or behind the shirt only when the thigh is clearly raised.
        trunk = 0.5 * (bones.neck + bones.pelvis)[:, 2]
        depth = 0.5 * (hip + knee)[:, 2] - 0.07
        depth -= 0.05 * (np.abs(depth - trunk) < 0.05)
        upper_layer = Layer(depth)
        lower_layer = Layer(0.5 * (knee + ankle)[:, 2] - 0.08)
        bottom, shoes = person.bottom, person.shoes
        parts = THIGH[self.seen_from][side], SHIN[self.seen_from][side]
        covers = [float(np.clip(bottom.length - begin, 0.0, 1.0)) for begin in (0.0, 1.0)]
        if bottom.kind == "skirt":
            covers = [0.0, 0.0]
        is_long = covers[1] > 0.6
        foot_layer = Layer(lower_layer.depth + (-0.001 if is_long else 0.001))
        self._foot(foot_layer, side)
        for tube, layer, code, cover in zip(
            (upper, lower), (upper_layer, lower_layer), parts, covers, strict=True
        ):
            if cover < 0.98:
                tube.paint(layer, person.face.skin, code)
            if tube is lower and shoes.sock > 0 and cover < 0.7:
                tube.widened(0.002).band(layer, shoes.sock_color, code, (1 - shoes.sock, 1.0))
            if cover > 0.03:
                self._trouser_leg(tube, layer, bottom, code, cover, tube is lower, side)
            if tube is lower and shoes.boot > 0:
                boot = tube.widened(0.010)
                boot.band(layer, shoes.color, code, (1 - shoes.boot, 1.0))
                boot.band(layer, shoes.accent, code, (1 - shoes.boot, 1 - shoes.boot + 0.06))
        return [upper_layer, lower_layer, foot_layer]

    def _trouser_leg(
        self, tube: Tube, layer: Layer, bottom: Bottom, code: int, cover: float, is_lower: bool,
        side: int,
    ) -> None:  # fmt: skip
        start = bottom.looseness + (bottom.flare if is_lower else 0.0)
        cloth = tube.widened(start, bottom.flare + (0.004 if is_lower else 0.0))
        cloth.paint(layer, bottom.color, code, (0.0, cover), round_end=cover >= 1.0)
        cloth.print_pattern(layer, bottom.pattern, code, (0.12, cover))
        if bottom.side_stripe is not None:
            outer = 1.0 if (side == 0) != self.skeleton.is_back else -1.0
            stripe = cloth.strip((0.0, cover), (outer * 0.95, outer * 0.5))
            layer.add(stripe, bottom.side_stripe, code)
        if cover < 1.0:
            cloth.band(layer, color.shade(bottom.color, 0.72), code, (cover - 0.035, cover))

    def _foot(self, layer: Layer, side: int) -> None:
        shoes, bones, body = self.person.shoes, self.skeleton, self.person.body
        ankle, heel, toe = (
            bones.project(joints[:, side]) for joints in (bones.ankles, bones.heels, bones.toes)
        )
        code = FOOT[side]
        size = body.foot / 0.135
        heel_radius, toe_radius = 0.026 * size, 0.030 * size
        below = unit(0.5 * (heel + toe) - ankle)
        drop = 0.011 * below
        layer.add(capsule(heel + drop, toe + drop, heel_radius, toe_radius), shoes.sole, code)
        layer.add(capsule(heel, toe, heel_radius, toe_radius * 0.98), shoes.color, code)
        instep = ankle + 0.45 * (toe - ankle)
        layer.add(capsule(ankle, instep, 0.026, 0.027 * size), shoes.color, code)
        if not bones.is_back:
            lace = ankle + 0.55 * (toe - ankle)
            layer.add(capsule(instep, lace, 0.011, 0.013), shoes.accent, code)
            cap = circle(toe + 0.008 * below, 0.017 * size)
            layer.add(cap, color.shade(shoes.color, 0.8), code)
        else:
            layer.add(circle(heel, 0.018 * size), color.shade(shoes.color, 0.8), code)
