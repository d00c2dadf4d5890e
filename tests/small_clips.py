"""Clips of noise on a small canvas, and what a run makes of a clip."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tpc_jax.animators.plan import Plan
from tpc_jax.animators.reading import CanvasClip, ClipConditions, read_clip
from tpc_jax.animators.run import sample, start_latents


class Pictures(NamedTuple):
    """Calibrated pictures that are there already, with masks on the canvas; people first."""

    images: np.ndarray
    masks: np.ndarray

    def __call__(self, person, frames):
        return self.images[person, frames], self.masks[person, frames]


def random_clip(
    frames: int, people: int = 2, seed: int = 0, size: tuple[int, int] = (32, 32)
) -> CanvasClip:
    """Return a clip of noise in which each person covers a strip of its own."""
    rng = np.random.default_rng(seed)

    def pixels(*shape: int):
        return rng.integers(0, 256, (*shape, *size, 3), np.uint8)

    def strips(*shape: int):
        masks = np.zeros((people, *shape, *size), np.uint8)
        for person, mask in enumerate(masks):
            left = 4 + 14 * person
            mask[..., 4 : size[0] - 4, left : left + 8] = 255
        return masks

    target = strips(frames)
    reference, pose, background = pixels(), pixels(frames), pixels()
    calibrated = Pictures(pixels(people, frames), np.roll(target, 2, axis=-1))
    return CanvasClip(reference, pose, background, strips(), calibrated, target)


def recalibrated(clip: CanvasClip, **changes: np.ndarray) -> CanvasClip:
    """Return a clip with other calibrated pictures or masks."""
    return clip._replace(calibrated=clip.calibrated._replace(**changes))


def run_clip(plan: Plan, params, reading, clip: CanvasClip) -> np.ndarray:
    """Return the latents at the end of a run."""
    conditions = read_clip(plan, params, reading, clip)
    *_, latents = sample(plan, params, conditions, start_latents(plan, conditions))
    return np.asarray(latents)


def shape_of(tree):
    """Return shapes and types of arrays, or of their descriptions."""
    return jax.tree.map(lambda x: (tuple(x.shape), jnp.dtype(x.dtype).name), tree)


def shape_of_conditions(plan: Plan, conditions: ClipConditions):
    """Return the shapes that a plan decides; how many keys are visible depends on the masks."""
    if plan.facts.hides:
        conditions = conditions._replace(references=conditions.references._replace(visible=()))
    return shape_of(conditions)
