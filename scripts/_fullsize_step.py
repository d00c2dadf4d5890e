"""One step of a converted model with guidance and TPC, on noise."""

import dataclasses
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from tpc_jax.animators.clip import sample_clip, start_clip
from tpc_jax.animators.encoding import CanvasClip, encode_clip
from tpc_jax.animators.load import load_animator
from tpc_jax.animators.options import AnimateOptions


def denoise(model: Path, dtype: str, shape: tuple[int, int, int]) -> None:
    """Run one step with guidance and TPC, and check the result.

    Args:
        model: Folder of the converted model.
        dtype: Type to compute in.
        shape: Frames, height and width.
    """
    animator, params = load_animator(model, jnp.dtype(dtype))
    frames, *size = shape
    own = tuple(size) if isinstance(animator.config.image_size, tuple) else size[0]
    config = dataclasses.replace(animator.config, image_size=own)
    animator = dataclasses.replace(animator, config=config)
    rng = np.random.default_rng(0)

    def pixels(*shape: int):
        return rng.integers(0, 256, shape, np.uint8)

    masks, picture, images = pixels(1, frames, *size), pixels(*size, 3), pixels(1, frames, *size, 3)
    pose = pixels(frames, *size, animator.pose_channels)
    mask = masks[0, 0] > 127
    clip = CanvasClip(
        animator.read_pictures(picture, mask), pose, None, masks[:, 0],
        animator.read_pictures(images, masks), masks, masks,
    )  # fmt: skip
    params = animator.with_reference(params, picture, mask)
    routing = "masked" if "masked" in animator.routings else "auto"
    options = AnimateOptions(routing=routing, steps=1)
    conditions = encode_clip(animator, params, clip, options)
    start = start_clip(animator, params, frames, options)
    for latents in sample_clip(animator, params, conditions, options, start):
        values = np.asarray(latents, np.float32)
    print(f"latents {values.shape}, standard deviation {values.std():.3f}")
    if not np.isfinite(values).all():
        sys.exit("the step made numbers that are not finite")
