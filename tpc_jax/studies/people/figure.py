"""Assembles a posed person: all layers to draw, and the keypoints that go with them."""

from dataclasses import dataclass

import numpy as np

from tpc_jax.studies.people.appearance import Person
from tpc_jax.studies.people.hair import paint_back_hair, paint_hair
from tpc_jax.studies.people.head import HeadSurface, paint_head
from tpc_jax.studies.people.limbs import Limbs
from tpc_jax.studies.people.shapes import HEAD, Layer, Split
from tpc_jax.studies.people.skeleton import Skeleton
from tpc_jax.studies.people.torso import Torso

# Less than so many degrees from profile the far shoulder and hip lie behind the trunk.
_PROFILE = 20.0
_HAT_STYLES = ("cap", "beanie", "hat")


@dataclass(frozen=True, eq=False)
class Figure:
    """A drawable person over time, in body heights in the picture plane.

    Attributes:
        layers: Shapes with depths; the nearest is painted last.
        keypoints: COCO-17 positions [frames, 17, 2].
        visible: Whether the body itself leaves each keypoint in sight [frames, 17].
        splits: Divisions of drawn codes into DensePose parts.
    """

    layers: list[Layer]
    keypoints: np.ndarray
    visible: np.ndarray
    splits: list[Split]


def _face_points(surface: HeadSurface) -> tuple[np.ndarray, np.ndarray]:
    """Return nose, eyes and ears (left before right) and whether they face the camera."""
    angle = np.array([0.0, 29.0, -29.0, 88.0, -88.0])
    height = np.array([0.24, -0.05, -0.05, 0.1, 0.1])
    seen = surface.viewer_angle(angle)
    points = surface.at(np.clip(seen, -90, 90), height)
    limit = np.array([88.0, 88.0, 88.0, 112.0, 112.0])
    return points, np.abs(seen) < limit


def _side_is_hidden(torso: Torso) -> np.ndarray:
    """Return whether left and right side [frames, 2] lie behind a trunk seen in profile."""
    away = (torso.drum.turn[:, None] + np.array([90.0, -90.0])) % 360.0 - 180.0
    return np.abs(away) < _PROFILE


def _arm_is_hidden(torso: Torso, skeleton: Skeleton) -> np.ndarray:
    """Return whether elbows and wrists [frames, 4] lie behind the trunk."""
    drum = torso.drum
    hidden = []
    for joints, previous in (
        (skeleton.elbows, skeleton.shoulders),
        (skeleton.wrists, skeleton.elbows),
    ):
        for side in range(2):
            depth = 0.5 * (joints[:, side] + previous[:, side])[:, 2] + 0.03
            offset = skeleton.project(joints[:, side]) - drum.top
            length = np.linalg.norm(drum.axis, axis=1)
            v = (offset * drum.down).sum(1) / length
            x = offset[:, 0] * drum.down[:, 1] - offset[:, 1] * drum.down[:, 0]
            levels = np.clip(v, 0.05, 1.1)
            edges = [drum.at(np.array([sign * 90.0]), levels[:1])[:, 0] for sign in (-1, 1)]
            half = 0.5 * np.linalg.norm(edges[1] - edges[0], axis=1)
            inside = (np.abs(x) < 0.85 * half) & (v > 0.05) & (v < 1.05)
            hidden.append(inside & (depth < torso.depth))
    return np.stack(hidden, axis=1)


def build_figure(person: Person, skeleton: Skeleton, light: float) -> Figure:
    """Lay out everything drawn of a person in every frame.

    Args:
        person: Appearance.
        skeleton: Joints of every frame; all show the person's front or all the back.
        light: -1 when the light falls in from the left, 1 from the right.

    Returns:
        Layers and keypoints in body heights in the picture plane.
    """
    torso = Torso(person, skeleton, light)
    limbs = Limbs(person, skeleton, light)
    surface = HeadSurface(person, skeleton)
    layers = torso.layers()
    for side in range(2):
        layers += limbs.leg(side) + limbs.arm(side)
    back_hair = Layer(np.minimum(torso.depth, skeleton.head[:, 2]) - 0.22)
    if skeleton.is_back:
        back_hair = Layer(np.maximum(torso.depth, skeleton.head[:, 2]) + 0.22)
    head = Layer(np.maximum(torso.depth, skeleton.head[:, 2]) + 0.05)
    style = person.hair.style
    if style not in _HAT_STYLES and style != "bald":
        paint_back_hair(back_hair, surface, person.hair, skeleton.is_back)
    paint_head(head, surface, person.face, light)
    paint_hair(head, surface, person.hair, light)
    layers += [back_hair, head]

    face, face_visible = _face_points(surface)
    body = np.stack(
        [
            skeleton.project(joints[:, side])
            for joints in (
                skeleton.shoulders,
                skeleton.elbows,
                skeleton.wrists,
                skeleton.hips,
                skeleton.knees,
                skeleton.ankles,
            )
            for side in range(2)
        ],
        axis=1,
    )
    visible = np.ones((skeleton.num_frames, 17), bool)
    visible[:, :5] = face_visible
    visible[:, [5, 6]] = visible[:, [11, 12]] = ~_side_is_hidden(torso)
    visible[:, 7:11] = ~_arm_is_hidden(torso, skeleton)
    middle = surface.viewer_angle(180.0 if skeleton.is_back else 0.0)
    line = surface.at(np.clip(middle, -90, 90), np.zeros(1))[:, 0]
    to_left = -surface.across if skeleton.is_back else surface.across
    splits = [Split(HEAD, HEAD + 1, HEAD, line, to_left), *limbs.splits, *torso.splits]
    return Figure(layers, np.concatenate([face, body], axis=1), visible, splits)
