"""A MagicAnimate that is small enough to compile within seconds, with random weights."""

import functools

from small_models import random_params

from tpc_jax.animators.magicanimate import MagicAnimateAnimator, MagicAnimateConfig
from tpc_jax.model.config import ControlNetConfig, MotionConfig, TextConfig, UNetConfig, VAEConfig

SIDE, CONTEXT = 32, 8
_TRUNK = {
    "block_out_channels": (8, 8),
    "layers_per_block": 1,
    "attention_levels": (True, False),
    "num_heads": 2,
    "cross_attention_dim": CONTEXT,
    "norm_num_groups": 4,
}


def small_config(**changes) -> MagicAnimateConfig:
    """Return a model of 32 x 32 pixels, 8 x 8 latents and windows of 4 frames."""
    motion = MotionConfig(num_heads=2, norm_num_groups=4, max_frames=8)
    values = {
        "vae": VAEConfig(block_out_channels=(4, 8, 8), layers_per_block=1, norm_num_groups=4),
        "unet": UNetConfig(**_TRUNK, motion=motion, norm_over_frames=True, reads="midup"),
        "appearance_encoder": UNetConfig(**_TRUNK, reads="midup"),
        "controlnet": ControlNetConfig(UNetConfig(**_TRUNK), condition_channels=(4, 8, 8)),
        "text_encoder": TextConfig(
            vocab_size=16, width=CONTEXT, mlp_width=16, num_layers=1, num_heads=2, max_tokens=6
        ),
        "context_tokens": 6,
        "image_size": (SIDE, SIDE),
        "window_length": 4,
        "window_overlap": 2,
        "num_steps": 2,
    }
    return MagicAnimateConfig(**{**values, **changes})


@functools.lru_cache
def small_magicanimate():
    """Return an animator and its parameters; shared by all tests, which leave them alone."""
    animator = MagicAnimateAnimator(small_config())
    return animator, random_params(animator)
