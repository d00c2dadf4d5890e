"""A DreamPose and a DisCo that are small enough to compile within seconds, with random weights."""

import dataclasses
import functools

from small_models import random_params

from tpc_jax.animators import disco, dreampose
from tpc_jax.model.config import (
    AdapterConfig,
    ControlNetConfig,
    UNetConfig,
    VAEConfig,
    VisionConfig,
)

CONTEXT = 8
_VAE = VAEConfig(block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=4)
_UNET = UNetConfig(
    block_out_channels=(8, 8),
    layers_per_block=1,
    attention_levels=(True, False),
    num_heads=2,
    cross_attention_dim=CONTEXT,
    norm_num_groups=4,
)


def _tower(width: int, projection: int | None) -> VisionConfig:
    return VisionConfig(width, 2 * width, 1, 2, 16, 8, projection)


def small_dreampose_config(**changes) -> dreampose.DreamPoseConfig:
    """Return a model of 24 x 16 pixels, 12 x 8 latents and windows of 2 frames."""
    values = {
        "vae": _VAE,
        "unet": dataclasses.replace(_UNET, in_channels=14),
        "image_encoder": _tower(CONTEXT, None),
        "adapter": AdapterConfig(num_pooled=24, width=CONTEXT, num_tokens=5),
        "image_size": (24, 16),
        "window_length": 2,
        "num_steps": 2,
    }
    return dreampose.DreamPoseConfig(**{**values, **changes})


def small_disco_config(*, temporal: bool = False, **changes) -> disco.DiscoConfig:
    """Return a model of 16 x 16 pixels, 8 x 8 latents and windows of 2 frames."""
    unet = dataclasses.replace(_UNET, temporal=temporal, norm_over_frames=temporal)
    values = {
        "vae": _VAE,
        "unet": unet,
        "pose_controlnet": ControlNetConfig(unet, condition_channels=(4, 8)),
        "background_controlnet": ControlNetConfig(unet, 4, None),
        "image_encoder": _tower(10, CONTEXT),
        "image_size": (16, 16),
        "window_length": 2,
        "num_steps": 2,
    }
    return disco.DiscoConfig(**{**values, **changes})


@functools.lru_cache
def small_dreampose():
    """Return an animator and its parameters; shared by all tests, which leave them alone."""
    return _filled(dreampose.DreamPoseAnimator(small_dreampose_config()))


@functools.lru_cache
def small_disco(temporal: bool = False):
    """Return an animator and its parameters; shared by all tests, which leave them alone."""
    return _filled(disco.DiscoAnimator(small_disco_config(temporal=temporal)))


def _filled(animator):
    return animator, random_params(animator)
