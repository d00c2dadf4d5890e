"""Forward kinematics: joint angles and proportions to joints in space and in the picture.

Axes: x to the picture's right, y down, z towards the camera; unit: one body height. A person
with yaw 0 faces the camera, so the person's left is +x. Right limbs are computed as left limbs
and mirrored.
"""

from dataclasses import dataclass, replace

import numpy as np

from tpc_jax.studies.people.appearance import Proportions
from tpc_jax.studies.people.motion import Choreography

_MIRROR = np.diag([-1.0, 1.0, 1.0])
_SIDES = (np.eye(3), _MIRROR)


def _rotation(angle: np.ndarray, axis: str) -> np.ndarray:
    """Return [frames, 3, 3] rotations about a coordinate axis.

    About x positive angles swing "down" forward, about y "forward" to the left, about z "down"
    to the left.
    """
    first, second = {"x": (1, 2), "y": (2, 0), "z": (1, 0)}[axis]
    cos, sin = np.cos(angle), np.sin(angle)
    out = np.zeros((*angle.shape, 3, 3))
    out[..., range(3), range(3)] = 1.0
    out[..., first, first] = out[..., second, second] = cos
    out[..., second, first] = sin
    out[..., first, second] = -sin
    return out


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Joints of every frame in space; arrays are [frames, 3] or [frames, side, 3].

    `pelvis_axes`, `torso_axes` and `head_axes` hold the directions left, down and forward of
    the body part as matrix columns; `hand_bends` [frames, side] are in-plane angles;
    `faces_away` [frames] tells where the camera sees the back.
    """

    pelvis: np.ndarray
    neck: np.ndarray
    throat: np.ndarray
    head: np.ndarray
    shoulders: np.ndarray
    elbows: np.ndarray
    wrists: np.ndarray
    hips: np.ndarray
    knees: np.ndarray
    ankles: np.ndarray
    heels: np.ndarray
    toes: np.ndarray
    pelvis_axes: np.ndarray
    torso_axes: np.ndarray
    head_axes: np.ndarray
    hand_bends: np.ndarray
    faces_away: np.ndarray
    pitch: float

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self.pelvis.shape[0]

    @property
    def is_back(self) -> bool:
        """Whether the camera sees the back; of use where it is the same in all frames."""
        return bool(self.faces_away.all())

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points [..., 3] to the picture plane [..., 2] (body heights, y down)."""
        cos, sin = np.cos(self.pitch), np.sin(self.pitch)
        return points @ np.array([[1.0, 0.0], [0.0, cos], [0.0, sin]])

    def select(self, frames: np.ndarray) -> "Skeleton":
        """Keep only some frames."""
        arrays = {n: value for n, value in vars(self).items() if isinstance(value, np.ndarray)}
        return replace(self, **{name: value[frames] for name, value in arrays.items()})


def _along(
    axes: np.ndarray,
    left: float | np.ndarray,
    down: float | np.ndarray,
    forward: float | np.ndarray,
) -> np.ndarray:
    """Turn a local vector, constant or [frames], into [frames, 3] space vectors."""
    left, down, forward = (np.reshape(part, (-1, 1)) for part in (left, down, forward))
    return axes[:, :, 0] * left + axes[:, :, 1] * down + axes[:, :, 2] * forward


def _arm(axes: np.ndarray, shoulder: np.ndarray, angles: np.ndarray, body: Proportions) -> tuple:
    """Return elbow and wrist of one arm."""
    abduction, flexion, bend, twist = angles.T
    upper = axes @ _rotation(abduction, "z") @ _rotation(flexion, "x")
    elbow = shoulder + body.upper_arm * _along(upper, 0.0, 1.0, 0.0)
    reach = np.sin(bend)
    lower = _along(upper, reach * np.sin(twist), np.cos(bend), reach * np.cos(twist))
    return elbow, elbow + body.forearm * lower


def _leg(
    axes: np.ndarray, hip: np.ndarray, angles: np.ndarray, splay: float, body: Proportions
) -> tuple:
    """Return knee, ankle, heel and toe of one leg."""
    abduction, flexion, bend = angles.T
    upper = axes @ _rotation(abduction, "z") @ _rotation(flexion, "x")
    knee = hip + body.thigh * _along(upper, 0.0, 1.0, 0.0)
    lower = upper @ _rotation(-bend, "x")
    down = _along(lower, 0.0, 1.0, 0.0)
    ankle = knee + body.shin * down
    # A standing foot lies flat on the floor; a lifted one follows the shin.
    flat = np.clip(down[:, 1], 0.0, 1.0)[:, None] ** 2
    aim = (np.sin(splay), 0.0, np.cos(splay))
    forward = flat * _along(axes, *aim) + (1 - flat) * _along(lower, *aim)
    forward[:, 1] *= 1 - flat[:, 0]
    forward /= np.linalg.norm(forward, axis=1, keepdims=True) + 1e-9
    below = flat * np.array([0.0, 1.0, 0.0]) + (1 - flat) * down
    heel = ankle + 0.030 * below - 0.18 * body.foot * forward
    toe = ankle + 0.036 * below + 0.62 * body.foot * forward
    return knee, ankle, heel, toe


def pose_skeleton(body: Proportions, motion: Choreography) -> Skeleton:
    """Compute the joints of a body performing a motion.

    The lowest foot touches the floor at y = 0 unless the motion jumps.

    Args:
        body: Segment lengths.
        motion: Angles of every frame.

    Returns:
        Joints of every frame, before camera framing.
    """
    num_frames = motion.num_frames
    lean, bend, twist = motion.torso.T
    heading = _rotation(motion.yaw, "y")
    pelvis_axes = heading @ _rotation(-0.25 * lean, "z") @ _rotation(-0.2 * bend, "x")
    spine_axes = heading @ _rotation(-lean, "z") @ _rotation(-bend, "x")
    torso_axes = spine_axes @ _rotation(twist, "y")
    turn, tilt, nod = motion.head.T
    head_axes = (
        _rotation(motion.yaw + turn, "y")
        @ _rotation(-tilt, "z")
        @ _rotation(-nod - 0.4 * bend, "x")
    )
    pelvis = np.zeros((num_frames, 3))
    neck = pelvis + _along(spine_axes, 0.0, -body.torso, 0.0)
    throat = neck + _along(spine_axes, 0.0, -body.neck, 0.006)
    head = throat + _along(head_axes, 0.0, -0.46 * body.head_height, 0.008)
    arms, legs, shoulders, hips = [], [], [], []
    for side, mirror in enumerate(_SIDES):
        # Raising the arm lifts the shoulder.
        shrug = 0.022 * np.clip(np.sin(motion.arms[:, side, 0] - 0.9), 0.0, 1.0)
        axes = torso_axes @ mirror
        shoulder = neck + _along(axes, body.shoulder_half - 0.4 * shrug, 0.034 - shrug, 0.0)
        shoulders.append(shoulder)
        arms.append(_arm(axes, shoulder, motion.arms[:, side], body))
        axes = pelvis_axes @ mirror
        hip = pelvis + _along(axes, body.hip_half, 0.0, 0.0)
        hips.append(hip)
        level = heading @ mirror
        legs.append(_leg(level, hip, motion.legs[:, side], motion.splay[side], body))
    elbows, wrists = (np.stack(joints, axis=1) for joints in zip(*arms, strict=True))
    knees, ankles, heels, toes = (np.stack(joints, axis=1) for joints in zip(*legs, strict=True))
    floor = np.maximum(heels[..., 1], toes[..., 1]).max(axis=1)
    shift = np.stack([motion.root[:, 0], -floor - motion.root[:, 1], 0 * floor], axis=1)
    return Skeleton(
        pelvis=pelvis + shift,
        neck=neck + shift,
        throat=throat + shift,
        head=head + shift,
        shoulders=np.stack(shoulders, axis=1) + shift[:, None],
        elbows=elbows + shift[:, None],
        wrists=wrists + shift[:, None],
        hips=np.stack(hips, axis=1) + shift[:, None],
        knees=knees + shift[:, None],
        ankles=ankles + shift[:, None],
        heels=heels + shift[:, None],
        toes=toes + shift[:, None],
        pelvis_axes=pelvis_axes,
        torso_axes=torso_axes,
        head_axes=head_axes,
        hand_bends=motion.wrists,
        faces_away=np.cos(motion.yaw) < 0,
        pitch=motion.camera.pitch,
    )
