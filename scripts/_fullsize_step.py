"""One step of a converted model with guidance and TPC, on noise."""

import dataclasses
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from tpc_jax.animators.load import load
from tpc_jax.animators.plan import plan_run
from tpc_jax.animators.reading import CanvasClip, read_clip
from tpc_jax.animators.run import sample, start_latents
from tpc_jax.conditioning.pose_pictures import channels_of
from tpc_jax.options import Options


def denoise(folder: Path, dtype: str, shape: tuple[int, int, int]) -> None:
    """Run one step with guidance and TPC, and check the result.

    Args:
        folder: Folder of the converted model.
        dtype: Type to compute in.
        shape: Frames, height and width.
    """
    model, (frames, *size) = load(folder, jnp.dtype(dtype)), shape
    config = dataclasses.replace(model.animator.config, image_size=tuple(size))
    animator, params = dataclasses.replace(model.animator, config=config), model.params
    rng = np.random.default_rng(0)

    def pixels(*shape: int):
        return rng.integers(0, 256, shape, np.uint8)

    masks, picture, images = pixels(frames, *size), pixels(*size, 3), pixels(frames, *size, 3)
    mask = masks[0] > 127
    clip = CanvasClip(
        animator.read_pictures(picture, mask),
        pixels(frames, *size, channels_of(animator.pose_kind)),
        None,
        masks[:1],
        lambda _, i: (animator.read_pictures(images[i], masks[i]), masks[i]),
        masks[None],
    )
    routing = "masked" if "masked" in animator.routings else "auto"
    plan = plan_run(animator, frames, Options(routing=routing, steps=1))
    conditions = read_clip(plan, params, animator.read_reference(params, picture, mask), clip)
    (latents,) = sample(plan, params, conditions, start_latents(plan, conditions))
    values = np.asarray(latents, np.float32)
    print(f"latents {values.shape}, standard deviation {values.std():.3f}")
    if not np.isfinite(values).all():
        sys.exit("the step made numbers that are not finite")
