"""Synthetic references and motions for tests of the pipeline and of what is built on it."""

from fractions import Fraction

import numpy as np

from tpc_jax._types import Keypoints
from tpc_jax.pose.reading import Motion, Reference
from tpc_jax.studies.evaluation.pairs import drawn_pair
from tpc_jax.studies.people import clip_rng, render_clip, sample_motion, sample_person, sample_scene


def exact_case(index, size, misalignment, *, num_frames=5, still=2):
    """Return a case whose reference is frame `still` of the motion itself, misaligned."""
    rng = clip_rng(11, index, "test")
    person, scene, motion = sample_person(rng), sample_scene(rng), sample_motion(rng, num_frames)
    reference = render_clip(
        person, scene, motion, size, person_transform=misalignment, frames=[still]
    )
    clip = render_clip(person, scene, motion, size)
    driving = Motion(
        clip.frames,
        Fraction(10),
        "densepose",
        Keypoints(clip.keypoints[None], clip.conf[None]),
        clip.mask[None],
        clip.parts,
    )
    people = Keypoints(reference.keypoints, reference.conf)
    return Reference(reference.frames[0], people, reference.mask), driving


def two_people(size, num_frames=5, misalignment=(0.8, 0.8, (0.0, 0.0))):
    """Put two persons side by side: (reference, driving) twice as wide as high."""
    left, right = (
        drawn_pair(index, size, num_frames=num_frames, misalignment=misalignment)
        for index in (0, 3)
    )
    image = np.concatenate([left.reference.image, right.reference.image], axis=1)
    masks = np.concatenate([_beside(left.reference.masks, 0), _beside(right.reference.masks, 1)])
    people = _join(left.reference.keypoints, right.reference.keypoints, size)
    a, b = left.motion, right.motion
    driving = Motion(
        np.concatenate([a.frames, b.frames], axis=2),
        a.fps,
        "densepose",
        _join(a.keypoints, b.keypoints, size),
        np.concatenate([_beside(a.masks, 0), _beside(b.masks, 1)]),
        np.concatenate([a.parts, b.parts], axis=2),
    )
    return Reference(image, people, masks), driving


def _join(left: Keypoints, right: Keypoints, width: int) -> Keypoints:
    shift = np.array([width, 0.0])
    return Keypoints(
        np.concatenate([left.xy, right.xy + shift]).astype(np.float32),
        np.concatenate([left.conf, right.conf]),
    )


def _beside(masks, place):
    empty = np.zeros_like(masks)
    return np.concatenate([empty, masks] if place else [masks, empty], axis=-1)
