"""MagicAnimate: a video denoiser steered by a DensePose ControlNet and an appearance encoder.

Sources: MagicAnimate `pipeline_animation.py`, `animation.py`; TPC's variant of the same files.
"""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp

from tpc_jax.model import params as P
from tpc_jax.model.config import (
    Config,
    ControlNetConfig,
    MotionConfig,
    TextConfig,
    UNetConfig,
    VAEConfig,
)
from tpc_jax.model.controlnet import ControlNet
from tpc_jax.model.params import Network
from tpc_jax.model.reference_unet import AppearanceEncoder
from tpc_jax.model.text import TextEncoder
from tpc_jax.model.unet import UNet
from tpc_jax.model.vae import VAE
from tpc_jax.sampler.schedule import ScheduleConfig

EMPTY_PROMPT = "empty_prompt"


def _unet() -> UNetConfig:
    return UNetConfig(motion=MotionConfig(), norm_over_frames=True, reads="midup")


def _appearance_encoder() -> UNetConfig:
    return UNetConfig(reads="midup")


@dataclasses.dataclass(frozen=True)
class MagicAnimateConfig(Config):
    """Sizes and defaults of MagicAnimate; the defaults are those of the published files.

    Attributes:
        vae: The autoencoder.
        unet: The denoiser, spatial layers and motion modules in one tree.
        controlnet: The branch that reads the DensePose picture.
        appearance_encoder: The network whose normed tokens the denoiser reads.
        text_encoder: None leaves it out; the empty prompt's embedding is stored in any case.
        context_tokens: Tokens of a prompt's embedding.
        schedule: The diffusion process.
        image_size: Side of the square pictures in pixels.
        window_length: Frames denoised together.
        window_overlap: Frames that neighbouring windows share.
        guidance_scale: Default weight of classifier-free guidance.
        num_steps: Default number of denoising steps.
    """

    NESTED: ClassVar = {
        "vae": VAEConfig,
        "unet": UNetConfig,
        "controlnet": ControlNetConfig,
        "appearance_encoder": UNetConfig,
        "text_encoder": TextConfig,
        "schedule": ScheduleConfig,
    }

    vae: VAEConfig = dataclasses.field(default_factory=VAEConfig)
    unet: UNetConfig = dataclasses.field(default_factory=_unet)
    controlnet: ControlNetConfig = dataclasses.field(default_factory=ControlNetConfig)
    appearance_encoder: UNetConfig = dataclasses.field(default_factory=_appearance_encoder)
    text_encoder: TextConfig | None = None
    context_tokens: int = 77
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)
    image_size: int = 512
    window_length: int = 16
    window_overlap: int = 4
    guidance_scale: float = 7.5
    num_steps: int = 25


@functools.lru_cache
def networks(config: MagicAnimateConfig) -> dict[str, Network]:
    """Describe the networks that `config` wires together.

    "context" is no network but a stored array: the embedding of the empty prompt, so that a model
    runs without its text encoder.
    """
    context = (config.context_tokens, config.unet.cross_attention_dim)
    described = {
        "vae": P.abstract(VAE, config.vae),
        "unet": P.abstract(UNet, config.unet),
        "controlnet": P.abstract(ControlNet, config.controlnet),
        "appearance_encoder": P.abstract(AppearanceEncoder, config.appearance_encoder),
        "context": Network(None, {EMPTY_PROMPT: jax.ShapeDtypeStruct(context, jnp.float32)}),
    }
    if config.text_encoder is not None:
        described["text_encoder"] = P.abstract(TextEncoder, config.text_encoder)
    return described
