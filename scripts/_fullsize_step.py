"""One step of a converted model with guidance and TPC, on noise."""

import dataclasses
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from tpc_jax.animators import clip as C
from tpc_jax.animators.load import load_animator

FRAMES = 4


def denoise(model: Path, dtype: str, size: tuple[int, int]) -> None:
    """Run one step with guidance and TPC, and check the result."""
    animator, params = load_animator(model, jnp.dtype(dtype))
    own = size if isinstance(animator.config.image_size, tuple) else size[0]
    config = dataclasses.replace(animator.config, image_size=own)
    animator = dataclasses.replace(animator, config=config)
    rng = np.random.default_rng(0)

    def pixels(*shape: int):
        return rng.integers(0, 256, shape, np.uint8)

    masks, picture, frames = pixels(1, FRAMES, *size), pixels(*size, 3), (FRAMES, *size, 3)
    clip = C.CanvasClip(
        picture, pixels(*frames), None, masks[:, 0], pixels(1, *frames), masks, masks
    )
    params = animator.with_reference(params, picture)
    options = C.AnimateOptions(routing="masked", steps=1)
    conditions = C.encode_clip(animator, params, clip, options)
    start = C.start_latents(animator, FRAMES, options)
    for latents in C.sample_clip(animator, params, conditions, options, start):
        values = np.asarray(latents, np.float32)
    print(f"latents {values.shape}, standard deviation {values.std():.3f}")
    if not np.isfinite(values).all():
        sys.exit("the step made numbers that are not finite")
