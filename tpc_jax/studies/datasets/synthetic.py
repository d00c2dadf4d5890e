"""The synthetic people as a data set: always available, with exact labels at any size."""

import dataclasses
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.studies.datasets.interface import (
    ALIGNED,
    DataSet,
    Misalignment,
    check_frames,
    digest,
)
from tpc_jax.studies.people import Choreography, clip_rng, render_clip, sample_motion, sample_person
from tpc_jax.studies.people.clip import Clip, sample_visible_scene
from tpc_jax.studies.people.coordinates import body_coordinates

FPS = Fraction(10)
MOTION_FRAMES = 24
MOTIONS = ("plain", "bending", "walking", "turning")
# Cases whose misalignment comes of the motion itself.
_LEAN = np.radians(75.0)
_FARTHEST, _NEAREST = 0.45, 1.0
_LEAST_TURN, _MOST_TURN = np.radians([90.0, 360.0])


class SyntheticPeople(DataSet):
    """Held-out drawn people; clip `0003-bending` shows person 3 bending."""

    kind = "synthetic"

    def __init__(self, size: int | tuple[int, int] = 64, num_people: int = 256, seed: int = 0):
        """Describe the people.

        Args:
            size: Side of the pictures in pixels, or (height, width).
            num_people: Number of people, each with every motion.
            seed: Seed of the people.
        """
        self.size, self.num_people, self.seed = size, num_people, seed
        self.names = [f"{i:04d}-{motion}" for motion in MOTIONS for i in range(num_people)]

    def num_frames(self, name: str) -> int:
        """Return the length of a clip, which is that of all."""
        self._parse(name)
        return MOTION_FRAMES

    def read(self, name: str, frames: Sequence[int] | None = None) -> Motion:
        """Render a clip."""
        clip = self._render(name, list(check_frames(name, frames, MOTION_FRAMES)), ALIGNED)
        keypoints = Keypoints(clip.keypoints, clip.conf)
        uv = body_coordinates(clip.parts, keypoints)
        people = keypoints.select(np.s_[None])
        return Motion(clip.frames, FPS, "rgb", people, clip.mask[None], clip.parts, uv=uv)

    def reference(self, name: str, frame: int, misalignment: Misalignment = ALIGNED) -> Reference:
        """Render a frame whose person alone is moved; its background stays."""
        check_frames(name, [frame], MOTION_FRAMES)
        clip = self._render(name, [frame], misalignment)
        keypoints = Keypoints(clip.keypoints, clip.conf)
        return Reference(clip.frames[0], keypoints, clip.mask, clip.parts[0])

    def candidates(self, case: str) -> Sequence[str]:
        """Return the clips made for a case."""
        motion = case if case in MOTIONS else "plain"
        return [name for name in self.names if name.endswith(motion)]

    def identity(self, case: str) -> dict:
        """Return seed, number and a probe of the drawings, the same at every size.

        Cases older than `turning` go without its clips, so that their splits stay valid.
        """
        names = [n for n in self.names if case == "turning" or not n.endswith("turning")]
        probe = []
        for name in (names[0], names[-1]):
            clip = SyntheticPeople(64, self.num_people, self.seed).read(name, [0, 20])
            # Splits that were made before hold a digest of people within frames.
            points = np.swapaxes(clip.keypoints.xy, 0, 1)
            probe.append(np.round(points, 1).astype(float).tolist())
            probe.append(np.round(clip.frames.mean(axis=(1, 2))).tolist())
        return {
            "kind": self.kind,
            "seed": self.seed,
            "clips": len(names),
            "digest": digest(probe),
        }

    def _parse(self, name: str) -> tuple[int, str]:
        number, _, motion = name.partition("-")
        if motion not in MOTIONS or not number.isdigit() or int(number) >= self.num_people:
            raise UserError(
                f"{name}: no such synthetic clip; names run from {self.names[0]} to "
                f"{self.names[-1]}"
            )
        return int(number), motion

    def _render(self, name: str, frames: list[int], misalignment: Misalignment) -> Clip:
        index, kind = self._parse(name)
        rng = clip_rng(self.seed, index, "test")
        person = sample_person(rng)
        scene = sample_visible_scene(rng, person)
        motion = _special_motion(kind, sample_motion(rng, MOTION_FRAMES), rng)
        transform = None if misalignment == ALIGNED else misalignment
        return render_clip(
            person, scene, motion, self.size, person_transform=transform, frames=frames
        )


def _special_motion(kind: str, motion: Choreography, rng: np.random.Generator) -> Choreography:
    """Let the person bend sideways, come closer or turn about over the clip."""
    if kind == "plain":
        return motion
    progress = np.linspace(0.0, 1.0, motion.num_frames)
    full_view = dataclasses.replace(motion.camera, is_close=False)
    if kind == "walking":
        zoom = _FARTHEST * (_NEAREST / _FARTHEST) ** progress
        start = rng.integers(2)
        return dataclasses.replace(motion, zoom=zoom[:: 1 - 2 * start], camera=full_view)
    if kind == "turning":
        turn = rng.choice([-1, 1]) * rng.uniform(_LEAST_TURN, _MOST_TURN)
        yaw = motion.yaw + turn * (1 - np.cos(np.pi * progress)) / 2
        return dataclasses.replace(motion, yaw=yaw, camera=full_view)
    torso = motion.torso.copy()
    torso[:, 0] += rng.choice([-1, 1]) * _LEAN * np.sin(np.pi / 2 * progress)
    camera = dataclasses.replace(full_view, height=min(full_view.height, 0.85))
    return dataclasses.replace(motion, torso=torso, camera=camera)
