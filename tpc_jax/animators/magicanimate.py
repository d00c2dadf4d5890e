"""MagicAnimate: a video denoiser steered by a DensePose ControlNet and an appearance encoder.

Sources: MagicAnimate `pipeline_animation.py`, `animation.py`; TPC's variant of the same files.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from tpc_jax.animators.base import (
    CONTEXT,
    Features,
    ReferenceAttentionAnimator,
    References,
    SystemConfig,
    jitted,
    repeated,
    stored_array,
)
from tpc_jax.animators.habits import Habits
from tpc_jax.conditioning.pose_pictures import PoseKind
from tpc_jax.model import params as P
from tpc_jax.model.config import ControlNetConfig, MotionConfig, TextConfig, UNetConfig
from tpc_jax.model.controlnet import ControlNet
from tpc_jax.model.params import Network, Params
from tpc_jax.model.reference_unet import AppearanceEncoder
from tpc_jax.model.text import TextEncoder
from tpc_jax.model.unet import UNet
from tpc_jax.model.vae import VAE

EMPTY_PROMPT = "empty_prompt"


def _unet() -> UNetConfig:
    return UNetConfig(motion=MotionConfig(), norm_over_frames=True, reads="midup")


def _appearance_encoder() -> UNetConfig:
    return UNetConfig(reads="midup")


@dataclasses.dataclass(frozen=True)
class MagicAnimateConfig(SystemConfig):
    """Sizes and defaults of MagicAnimate; the defaults are those of the published files.

    Attributes:
        controlnet: The branch that reads the DensePose picture.
        appearance_encoder: The network whose normed tokens the denoiser reads.
        text_encoder: None leaves it out; the empty prompt's embedding is stored in any case.
        context_tokens: Tokens of a prompt's embedding.
    """

    unet: UNetConfig = dataclasses.field(default_factory=_unet)
    controlnet: ControlNetConfig = dataclasses.field(default_factory=ControlNetConfig)
    appearance_encoder: UNetConfig = dataclasses.field(default_factory=_appearance_encoder)
    text_encoder: TextConfig | None = None
    context_tokens: int = 77
    guidance_scale: tuple[float, ...] = (7.5,)


class Texts(NamedTuple):
    """The embeddings of two texts.

    Attributes:
        empty: Of the empty prompt, which the unconditional half reads.
        prompt: Of a prompt, which the conditional half and the pictures read; None: the empty one.
    """

    empty: Float[Array, "tokens width"]
    prompt: Float[Array, "tokens width"] | None = None

    @property
    def read(self) -> Float[Array, "tokens width"]:
        """What the conditional half reads."""
        return self.empty if self.prompt is None else self.prompt


@dataclasses.dataclass(frozen=True)
class MagicAnimateAnimator(ReferenceAttentionAnimator):
    """MagicAnimate; its ControlNet reads the DensePose rendering itself.

    The appearance encoder sees the timestep, so features are encoded anew at every step.
    """

    config: MagicAnimateConfig = dataclasses.field(default_factory=MagicAnimateConfig)
    pose_kind: ClassVar[PoseKind] = "densepose"
    encodes_every_step: ClassVar[bool] = True
    habits: ClassVar[Habits] = Habits(closed_windows=True, tiled_noise=True, pad_to_window=True)

    def networks(self) -> dict[str, Network]:
        """Describe the networks; "context" is the stored embedding of the empty prompt.

        With it a model runs without its text encoder.
        """
        config = self.config
        described = {
            "vae": P.abstract(VAE, config.vae),
            "unet": P.abstract(UNet, config.unet),
            "controlnet": P.abstract(ControlNet, config.controlnet),
            "appearance_encoder": P.abstract(AppearanceEncoder, config.appearance_encoder),
            CONTEXT: stored_array(EMPTY_PROMPT, config.context_tokens, config.unet.context_width),
        }
        if config.text_encoder is not None:
            described["text_encoder"] = P.abstract(TextEncoder, config.text_encoder)
        return described

    def read_reference(
        self,
        params: Params,
        image: UInt8[np.ndarray, "height width 3"],
        mask: Bool[np.ndarray, "height width"],
        prompt: Int[np.ndarray, "1 tokens"] | None = None,
    ) -> Texts:
        """Return the embeddings of the prompt and of the empty one; a prompt needs its encoder."""
        del image, mask
        empty = params[CONTEXT][EMPTY_PROMPT]
        if prompt is None:
            return Texts(empty)
        return Texts(empty, jitted(self, "_embed")(params, prompt)[0])

    def _embed(self, params: Params, prompt) -> Float[Array, "1 tokens width"]:
        return self._bind("text_encoder", params)(prompt)

    def features(
        self,
        params: Params,
        reading: Texts,
        encoded: Float[Array, "pictures h w channels"],
        timestep: Float[Array, ""] | float,
    ) -> Features:
        """Return what the denoiser reads of clean latents at one timestep."""
        count = len(encoded)
        encoder = self._bind("appearance_encoder", params)
        return encoder(encoded, jnp.full(count, timestep), repeated(reading.read, count))

    def pose(
        self, params: Params, pictures: Float[Array, "frames height width 3"]
    ) -> Float[Array, "frames h w channels"]:
        """Return the ControlNet's features of DensePose pictures in [0, 1]."""
        return self._bind("controlnet", params).embed_condition(pictures)

    def predict(
        self,
        params: Params,
        reading: Texts,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: References,
        pose: Float[Array, "batch frames h w pose_channels"],
        *,
        is_guided: bool,
    ) -> tuple[Float[Array, "batch frames h w channels"], ...]:
        """Predict the noise of windows; both halves share the ControlNet's residuals.

        Without a prompt both halves read the same text, hence share the way down too.
        """
        if not is_guided or reading.prompt is not None:
            return super().predict(
                params, reading, latents, timesteps, references, pose, is_guided=is_guided
            )
        inputs = self._inputs(params, reading, latents, timesteps, references, pose)
        return self._bind("unet", params).without_and_with(**inputs)

    def _inputs(self, params, reading: Texts, latents, timesteps, references, pose):
        batch, frames = latents.shape[:2]
        controlnet = self._bind("controlnet", params)
        residuals = controlnet.residuals(
            latents.reshape(-1, *latents.shape[2:]), jnp.repeat(timesteps, frames),
            pose.reshape(-1, *pose.shape[2:]), repeated(reading.read, batch * frames),
        )  # fmt: skip
        return {
            "latents": latents,
            "timesteps": timesteps,
            "context": repeated(reading.read, batch),
            "references": references,
            "residuals": residuals,
        }

    def _without(self, reading: Texts, inputs: dict[str, Any]) -> dict[str, Any]:
        """Give the unconditional half the empty prompt."""
        context = repeated(reading.empty, len(inputs["latents"]))
        return {**inputs, "references": None, "context": context}
