"""Random human motion: smooth joint angles built from natural gestures, and the camera.

Every curve is a closed-form function of time, so a longer clip from the same draws begins like
a shorter one. Angles are radians; index 0 of a side axis is the person's left.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

ARM_GESTURES = (
    "hang", "swing", "wave", "raise", "spread", "on_hip", "chest", "punch", "flap",
    "behind", "overhead", "reach",
)  # fmt: skip
LEG_GESTURES = ("stand", "walk", "march", "squat", "side_step", "kick", "bounce")


@dataclass(frozen=True)
class Camera:
    """Framing of a clip.

    Attributes:
        pitch: Downward tilt in radians; it lets feet and hem lines be seen.
        height: Body height as a fraction of the canvas height.
        is_close: Whether the head is kept in view and the legs may be cut off.
        offset: Shift of the person, as a fraction of the canvas height (x, y).
    """

    pitch: float
    height: float
    is_close: bool
    offset: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Choreography:
    """Pose angles per frame, independent of who performs them.

    Attributes:
        arms: Abduction, flexion, elbow bend and elbow twist.
        wrists: In-plane bend of the hands.
        legs: Abduction, flexion and knee bend.
        splay: Outward turn of the feet.
        torso: Sideways lean, forward bend and shoulder twist.
        head: Turn, tilt and nod relative to the body.
        yaw: Heading of the body; 0 faces the camera, positive turns to the picture's right.
        root: Sideways shift and jump height, in body heights.
        zoom: Relative size.
        camera: Framing.
    """

    arms: Float[np.ndarray, "frames 2 4"]
    wrists: Float[np.ndarray, "frames 2"]
    legs: Float[np.ndarray, "frames 2 3"]
    splay: Float[np.ndarray, " 2"]
    torso: Float[np.ndarray, "frames 3"]
    head: Float[np.ndarray, "frames 3"]
    yaw: Float[np.ndarray, " frames"]
    root: Float[np.ndarray, "frames 2"]
    zoom: Float[np.ndarray, " frames"]
    camera: Camera

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self.yaw.shape[0]


def _wander(rng: np.random.Generator, time: np.ndarray, *amplitudes: float) -> np.ndarray:
    """Return smooth zero-mean random curves [frames, curves]: sums of three slow sinusoids."""
    count = len(amplitudes)
    rates = rng.uniform(0.8, 4.0, (count, 3))
    phases = rng.uniform(0, 2 * np.pi, (count, 3))
    weights = rng.dirichlet(np.ones(3), count) * np.array(amplitudes)[:, None]
    return (np.sin(time[:, None, None] * rates + phases) * weights).sum(axis=-1)


def _arm_gesture(rng: np.random.Generator, kind: str, beat: np.ndarray) -> np.ndarray:
    """Return [frames, 4] arm angles in degrees for a gesture driven by the phase `beat`."""
    swing, lag = np.sin(beat), np.sin(beat + rng.uniform(-0.9, 0.9))
    lift = 0.5 - 0.5 * np.cos(beat)
    amount = rng.uniform(0.6, 1.0)
    angles = {
        "hang": (9 + 4 * swing, 5 * lag, 14 + 6 * swing, 0),
        "swing": (12 + 4 * lag, 34 * amount * swing, 26 + 16 * swing, -10),
        "wave": (78 + 14 * lag, 12, 82 + 34 * amount * swing, 90),
        "raise": (20 + 140 * amount * lift, 5 * lag, 18 + 12 * swing, 85),
        "spread": (84 + 22 * amount * swing, 6 * lag, 16 + 14 * lag, 70),
        "on_hip": (44 + 5 * swing, -12, 92 + 6 * lag, -105),
        "chest": (26 + 10 * swing, 26 + 8 * lag, 98 + 22 * amount * swing, -48),
        "punch": (22 + 16 * lag, 62 + 22 * swing, 64 - 52 * amount * swing, 10),
        "flap": (46 + 30 * amount * swing, 8 * lag, 46 + 26 * lag, 62),
        "behind": (20 + 4 * swing, -30 + 6 * lag, 34 + 10 * swing, -55),
        "overhead": (138 + 12 * swing, 8, 58 + 26 * amount * lag, 92),
        "reach": (112 + 28 * amount * swing, 12 + 10 * lag, 22 + 14 * lag, 60),
    }[kind]
    return np.stack(np.broadcast_arrays(*angles, beat)[:4], axis=1)


def _leg_gesture(kind: str, beat: np.ndarray, side: int, amount: float) -> np.ndarray:
    """Return [frames, 3] leg angles in degrees; the two legs run half a cycle apart."""
    own = beat + np.pi * side
    swing, lift = np.sin(own), np.maximum(0.0, np.sin(own)) ** 1.3
    dip = 0.5 - 0.5 * np.cos(beat)
    leading = 1.0 if side == 0 else 0.0
    angles = {
        "stand": (5, 2 * swing, 5),
        "walk": (4, 28 * amount * swing, 16 + 22 * amount * np.maximum(0, np.cos(own))),
        "march": (5, 62 * amount * lift, 84 * amount * lift + 4),
        "squat": (14, 6 + 60 * amount * dip, 10 + 96 * amount * dip),
        "side_step": (5 + 24 * amount * lift, 3, 5 + 18 * lift),
        "kick": (6 + 22 * leading * dip, 66 * amount * leading * dip, 6 + 18 * swing * leading),
        "bounce": (12, 12 + 12 * swing, 22 + 22 * amount * swing),
    }[kind]
    return np.stack(np.broadcast_arrays(*angles, beat)[:3], axis=1)


def _sample_arms(rng: np.random.Generator, time: np.ndarray, beat: np.ndarray) -> np.ndarray:
    """Return [frames, 2, 4] arm angles in degrees: gestures that may change half-way."""
    is_mirrored = rng.random() < 0.35
    pairs = rng.integers(len(ARM_GESTURES), size=(2, 2))
    change = rng.uniform(0.2, 1.6)
    has_change = rng.random(2) < 0.5
    opposite = np.pi * float(rng.random() < 0.6)
    sides = []
    for side in range(2):
        first, second = pairs[0 if is_mirrored else side]
        own = beat + opposite * side
        arm = _arm_gesture(rng, ARM_GESTURES[first], own)
        other = _arm_gesture(rng, ARM_GESTURES[second], own)
        ramp = np.clip((time - change) / 0.7, 0.0, 1.0) * has_change[side]
        weight = (ramp * ramp * (3 - 2 * ramp))[:, None]
        drift = _wander(rng, time, 6.0, 6.0, 8.0, 8.0)
        sides.append(arm * (1 - weight) + other * weight + drift)
    arms = np.stack(sides, axis=1)
    low, high = np.array([4, -40, 4, -120]), np.array([172, 95, 140, 120])
    return np.clip(arms, low, high)


def _sample_camera(rng: np.random.Generator) -> Camera:
    is_close = bool(rng.random() < 0.15)
    height = rng.uniform(1.1, 1.75) if is_close else rng.uniform(0.85, 0.95)
    return Camera(
        pitch=float(np.deg2rad(rng.uniform(8, 17))),
        height=float(height),
        is_close=is_close,
        offset=(float(rng.uniform(-0.07, 0.07)), float(rng.uniform(-0.02, 0.02))),
    )


def sample_motion(
    rng: np.random.Generator, num_frames: int, *, facing_away: float = 0.04
) -> Choreography:
    """Draw a random smooth motion at 8 to 12 frames a second.

    Args:
        rng: Source of all randomness.
        num_frames: Number of frames, at least 1.
        facing_away: Probability that the whole clip shows the person's back.

    Returns:
        Joint angles within human limits, root path and camera framing.

    Raises:
        ValueError: If `num_frames` is below 1.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames must be at least 1, got {num_frames}")
    time = np.arange(num_frames) / rng.uniform(8.0, 12.0)
    beat = time * 2 * np.pi * rng.uniform(0.5, 1.3) + rng.uniform(0, 2 * np.pi)
    arms = _sample_arms(rng, time, beat)
    kind = LEG_GESTURES[int(rng.integers(len(LEG_GESTURES)))]
    amount, flip = rng.uniform(0.5, 1.0), int(rng.integers(2))
    legs = np.stack([_leg_gesture(kind, beat, side ^ flip, amount) for side in range(2)], axis=1)
    legs[..., 0] += rng.uniform(-1.5, 5.0)
    legs[..., :2] += _wander(rng, time, 2.5, 2.5, 2.5, 2.5).reshape(num_frames, 2, 2)
    legs[..., 2] = np.clip(legs[..., 2], 2, 130)
    bend = 18 * rng.uniform(0, 1) ** 2 + (0.22 * legs[..., 1].mean(1) if kind == "squat" else 0.0)
    torso = _wander(rng, time, 9.0, 5.0, 10.0)
    torso[:, 0] += rng.uniform(0, 5) * np.sin(beat)
    torso[:, 1] += bend
    torso[:, 2] += rng.uniform(-8, 8) * np.sin(beat)
    head = _wander(rng, time, 20.0, 9.0, 9.0)
    heading = _wander(rng, time, rng.uniform(4, 30))[:, 0]
    yaw = np.clip(rng.normal(0, 19) + heading, -50, 50)
    head[:, 0] = np.clip(yaw + head[:, 0], -55, 55) - yaw
    turned = 180.0 * float(rng.random() < facing_away)
    hop = rng.uniform(0.02, 0.09) * float(rng.random() < 0.15)
    root = np.stack([_wander(rng, time, 0.07)[:, 0], hop * np.abs(np.sin(beat))], axis=1)
    return Choreography(
        arms=np.deg2rad(arms),
        wrists=np.deg2rad(_wander(rng, time, 22.0, 22.0)),
        legs=np.deg2rad(legs),
        splay=np.deg2rad(rng.uniform(10, 38, 2)),
        torso=np.deg2rad(torso),
        head=np.deg2rad(head),
        yaw=np.deg2rad(yaw + turned),
        root=root,
        zoom=1.0 + _wander(rng, time, 0.03)[:, 0],
        camera=_sample_camera(rng),
    )
