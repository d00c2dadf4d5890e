"""MagicAnimate: a video denoiser steered by a DensePose ControlNet and an appearance encoder.

Sources: MagicAnimate `pipeline_animation.py`, `animation.py`; TPC's variant of the same files.
"""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from tpc_jax.animators.base import ReferenceAttentionAnimator
from tpc_jax.animators.references import Features
from tpc_jax.conditioning.pose_pictures import PoseKind
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.config import (
    Config,
    ControlNetConfig,
    MotionConfig,
    TextConfig,
    UNetConfig,
    VAEConfig,
)
from tpc_jax.model.controlnet import ControlNet
from tpc_jax.model.params import Network, Params
from tpc_jax.model.reference_unet import AppearanceEncoder
from tpc_jax.model.text import TextEncoder
from tpc_jax.model.unet import UNet
from tpc_jax.model.vae import VAE
from tpc_jax.sampler.schedule import ScheduleConfig

EMPTY_PROMPT = "empty_prompt"
PROMPT = "prompt"

# One array per skip connection and one for the mid block.
Residuals = tuple[Float[Array, "batch frames _h _w _channels"], ...]


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


def with_prompt(
    config: MagicAnimateConfig, params: Params, ids: Int[np.ndarray, "1 tokens"]
) -> Params:
    """Return the parameters with a prompt's embedding, which the conditional half then reads.

    Args:
        config: A configuration with a text encoder.
        params: Parameters with a text encoder.
        ids: The prompt's tokens.
    """
    encoder = networks(config)["text_encoder"]
    embed = jax.jit(lambda params, ids: P.bind(encoder, params)(ids)[0])
    prompt = embed(params["text_encoder"], jnp.asarray(ids))
    return {**params, "context": {**params["context"], PROMPT: prompt}}


@dataclasses.dataclass(frozen=True)
class MagicAnimateAnimator(ReferenceAttentionAnimator):
    """The pure functions of MagicAnimate, closed over its configuration.

    Texts come with the parameters: `params["context"]` holds the empty prompt and, where one was
    given, the prompt (see `with_prompt`). The unconditional half reads the empty prompt.

    Attributes:
        config: Sizes and defaults.
        features_depend_on_t: The appearance encoder sees the timestep, so features are encoded
            anew at every step.
        pose_kind: The ControlNet reads the DensePose rendering itself.
    """

    config: MagicAnimateConfig = dataclasses.field(default_factory=MagicAnimateConfig)
    features_depend_on_t: ClassVar[bool] = True
    pose_kind: ClassVar[PoseKind] = "densepose"

    @property
    def networks(self) -> dict[str, Network]:
        """The networks that the configuration describes."""
        return networks(self.config)

    def pose_features(
        self, params: Params, pose: Float[Array, "frames height width 3"]
    ) -> Float[Array, "frames h w pose_channels"]:
        """Return the ControlNet's features of DensePose pictures in [0, 1]."""
        return self._bind("controlnet", params).embed_condition(pose)

    def reference_features(
        self,
        params: Params,
        latents: Float[Array, "pictures h w channels"],
        timestep: Float[Array, ""] | float,
    ) -> Features:
        """Return what the denoiser reads of clean latents at one timestep."""
        count = len(latents)
        encoder = self._bind("appearance_encoder", params)
        return encoder(latents, jnp.full(count, timestep), _repeat(self._prompt(params), count))

    def control(
        self,
        params: Params,
        latents: Float[Array, "frames h w channels"],
        timestep: Float[Array, ""],
        pose: Float[Array, "frames h w pose_channels"],
    ) -> tuple[Float[Array, "frames _h _w _channels"], ...]:
        """Return the ControlNet's residuals, which both halves of guidance share."""
        count = len(latents)
        context = _repeat(self._prompt(params), count)
        controlnet = self._bind("controlnet", params)
        return controlnet.residuals(latents, jnp.full(count, timestep), pose, context)

    def denoise_branches(
        self,
        params: Params,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: tuple[ReferenceTokens | None, ...],
        control: Residuals,
    ) -> tuple[
        Float[Array, "batch frames h w channels"], Float[Array, "batch frames h w channels"]
    ]:
        """Predict the noise of windows without and with references.

        Without a prompt both halves read the same text, hence share the way down.
        """
        if PROMPT in params["context"]:
            unconditional = self.denoise(params, latents, timesteps, None, control)
            return unconditional, self.denoise(params, latents, timesteps, references, control)
        return self._bind("unet", params).without_and_with(
            latents, timesteps, context=_repeat(self._prompt(params), len(latents)),
            references=references, residuals=_per_image(control),
        )  # fmt: skip

    def _inputs(self, params, latents, timesteps, references, control):
        """Give the unconditional half the empty prompt."""
        text = params["context"][EMPTY_PROMPT] if references is None else self._prompt(params)
        return {
            "latents": latents,
            "timesteps": timesteps,
            "context": _repeat(text, len(latents)),
            "references": references,
            "residuals": _per_image(control),
        }

    def _prompt(self, params: Params) -> Float[Array, "tokens width"]:
        return params["context"].get(PROMPT, params["context"][EMPTY_PROMPT])


def _repeat(context: Float[Array, "tokens width"], count: int):
    return jnp.broadcast_to(context, (count, *context.shape))


def _per_image(control: Residuals):
    return tuple(r.reshape(-1, *r.shape[2:]) for r in control)
