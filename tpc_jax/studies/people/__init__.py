"""Procedural textured people in motion, with exact keypoints, parts and masks."""

from tpc_jax.studies.people.appearance import Person, sample_person
from tpc_jax.studies.people.clip import Clip, PersonTransform, clip_rng, render_clip, sample_clip
from tpc_jax.studies.people.motion import Camera, Choreography, sample_motion
from tpc_jax.studies.people.scenes import Scene, sample_scene

__all__ = [
    "Camera",
    "Choreography",
    "Clip",
    "Person",
    "PersonTransform",
    "Scene",
    "clip_rng",
    "render_clip",
    "sample_clip",
    "sample_motion",
    "sample_person",
    "sample_scene",
]
