"""Clips of noise on a small canvas."""

import numpy as np

from tpc_jax.animators.encoding import CanvasClip


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
    return CanvasClip(
        pixels(), pixels(frames), pixels(), strips(), pixels(people, frames),
        np.roll(target, 2, axis=-1), target,
    )  # fmt: skip
