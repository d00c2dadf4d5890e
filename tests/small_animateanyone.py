"""An AnimateAnyone that is small enough to compile within seconds, with random weights."""

import functools

import numpy as np
from small_models import random_params

from tpc_jax.animators.animateanyone import AnimateAnyoneAnimator, AnimateAnyoneConfig
from tpc_jax.model.config import (
    MotionConfig,
    PoseNetConfig,
    UNetConfig,
    VAEConfig,
    VisionConfig,
)

# Latents of 10 x 6 cells, which are halved to 5 x 3.
SIZE = (40, 24)
_TRUNK = {
    "block_out_channels": (8, 8),
    "layers_per_block": 1,
    "attention_levels": (True, False),
    "num_heads": 2,
    "cross_attention_dim": 6,
    "norm_num_groups": 4,
}


def small_config(**changes) -> AnimateAnyoneConfig:
    """Return a model of 24 x 40 pixels and windows of 4 frames."""
    motion = MotionConfig(num_heads=2, norm_num_groups=4, max_frames=8, use_mid_block=True)
    values = {
        "vae": VAEConfig(block_out_channels=(4, 8, 8), layers_per_block=1, norm_num_groups=4),
        "unet": UNetConfig(**_TRUNK, motion=motion),
        "appearance_encoder": UNetConfig(**_TRUNK),
        "pose_net": PoseNetConfig(block_out_channels=(4, 8, 8), out_channels=8),
        "image_encoder": VisionConfig(
            width=8, mlp_width=16, num_layers=1, num_heads=2, image_size=8, patch_size=4,
            projection_width=6,
        ),
        "image_size": SIZE,
        "window_length": 4,
        "window_overlap": 2,
        "num_steps": 2,
    }  # fmt: skip
    return AnimateAnyoneConfig(**{**values, **changes})


@functools.lru_cache
def small_animateanyone():
    """Return an animator and its parameters; shared by all tests, which leave them alone."""
    animator = AnimateAnyoneAnimator(small_config())
    return animator, random_params(animator)


def reference_image(seed: int = 0) -> np.ndarray:
    """Return a reference of another size than the canvas."""
    return np.random.default_rng(seed).integers(0, 256, (30, 20, 3), np.uint8)
