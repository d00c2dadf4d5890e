"""DisCo: a denoiser that is told the person by tokens, pose and scene by two ControlNets.

Source: DisCo `config/ref_attn_clip_combine_controlnet/net.py`; with temporal module
`config/disco_w_tm/tem_disco_temp_attn/`.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from tpc_jax.animators.references import Features
from tpc_jax.animators.tokens import (
    CONTEXT,
    NULL,
    SCENE,
    TokenAnimator,
    frame_context,
    null_context,
)
from tpc_jax.conditioning.canvas import Fit
from tpc_jax.conditioning.clip_pixels import normalise
from tpc_jax.conditioning.foreground import foreground, scene
from tpc_jax.conditioning.pose_pictures import PoseKind
from tpc_jax.errors import UserError
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.config import Config, ControlNetConfig, UNetConfig, VAEConfig, VisionConfig
from tpc_jax.model.controlnet import ControlNet
from tpc_jax.model.params import Network, Params
from tpc_jax.model.unet import UNet
from tpc_jax.model.vae import VAE
from tpc_jax.model.vision import VisionEncoder
from tpc_jax.sampler.schedule import ScheduleConfig

LATENTS, TOKENS = "latents", "tokens"

# One array per skip connection and one for the mid block.
Residuals = tuple[Float[Array, "images _h _w _channels"], ...]


def _background_controlnet() -> ControlNetConfig:
    return ControlNetConfig(condition_in_channels=4, condition_channels=None)


@dataclasses.dataclass(frozen=True)
class DiscoConfig(Config):
    """Sizes and defaults of DisCo; the defaults are those of the published image model.

    Attributes:
        vae: The autoencoder.
        unet: The denoiser; temporal or of single pictures.
        pose_controlnet: The branch that reads the skeleton.
        background_controlnet: The branch that reads the scene's latents.
        image_encoder: CLIP's vision tower with DisCo's own projection, which goes to all tokens.
        schedule: The diffusion process.
        image_size: Side of the square pictures in pixels.
        pose_scale: Factor of the skeleton's residuals.
        background_scale: Factor of the scene's residuals.
        window_length: Frames denoised together; without temporal layers they do not see each other.
        window_overlap: Frames that neighbouring windows share.
        guidance_scale: Default weight of classifier-free guidance: 1.5 for models trained with
            dropped references, 3 for the others.
        num_steps: Default number of denoising steps.
    """

    NESTED: ClassVar = {
        "vae": VAEConfig,
        "unet": UNetConfig,
        "pose_controlnet": ControlNetConfig,
        "background_controlnet": ControlNetConfig,
        "image_encoder": VisionConfig,
        "schedule": ScheduleConfig,
    }

    vae: VAEConfig = dataclasses.field(default_factory=VAEConfig)
    unet: UNetConfig = dataclasses.field(default_factory=UNetConfig)
    pose_controlnet: ControlNetConfig = dataclasses.field(default_factory=ControlNetConfig)
    background_controlnet: ControlNetConfig = dataclasses.field(
        default_factory=_background_controlnet
    )
    image_encoder: VisionConfig = dataclasses.field(default_factory=VisionConfig)
    schedule: ScheduleConfig = dataclasses.field(
        default_factory=lambda: ScheduleConfig(
            beta_schedule="scaled_linear", set_alpha_to_one=False
        )
    )
    image_size: int = 256
    pose_scale: float = 1.0
    background_scale: float = 1.0
    window_length: int = 8
    window_overlap: int = 0
    guidance_scale: float = 1.5
    num_steps: int = 50


@functools.lru_cache
def networks(config: DiscoConfig) -> dict[str, Network]:
    """Describe the networks that `config` wires together.

    "context" is no network but a stored array: the tokens of the unconditional prediction.
    """
    shape = (config.image_encoder.num_tokens, config.unet.cross_attention_dim)
    return {
        "vae": P.abstract(VAE, config.vae),
        "unet": P.abstract(UNet, config.unet),
        "pose_controlnet": P.abstract(ControlNet, config.pose_controlnet),
        "background_controlnet": P.abstract(ControlNet, config.background_controlnet),
        "image_encoder": P.abstract(VisionEncoder, config.image_encoder),
        CONTEXT: Network(None, {NULL: jax.ShapeDtypeStruct(shape, jnp.float32)}),
    }


def person_tokens(
    config: DiscoConfig, params: Params, pixels: Float[Array, "pictures side side 3"]
) -> Float[Array, "pictures tokens width"]:
    """Return the tokens of normalised pictures in which the scene is 0."""
    encoder = P.bind(networks(config)["image_encoder"], params["image_encoder"])
    return encoder.project(encoder.hidden(pixels))


def null_tokens(config: DiscoConfig, params: Params) -> Float[Array, "tokens width"]:
    """Return the tokens of a picture without a person."""
    side = config.image_encoder.image_size
    return person_tokens(config, params, jnp.zeros((1, side, side, 3)))[0]


def combine(residuals: Sequence[Residuals], scales: Sequence[float]) -> Residuals:
    """Return the sum of several ControlNets' residuals, each with its factor."""
    pairs = list(zip(residuals, scales, strict=True))
    return tuple(
        sum(scale * own[index] for own, scale in pairs) for index in range(len(residuals[0]))
    )


@dataclasses.dataclass(frozen=True)
class DiscoAnimator(TokenAnimator):
    """The pure functions of DisCo, closed over its configuration.

    Attributes:
        config: Sizes and defaults.
        pose_kind: The ControlNet reads skeletons as OpenPose draws them.
        fit: Of every picture the central square is taken.
    """

    config: DiscoConfig = dataclasses.field(default_factory=DiscoConfig)
    pose_kind: ClassVar[PoseKind] = "openpose"
    fit: ClassVar[Fit] = "crop"

    @property
    def networks(self) -> dict[str, Network]:
        """The networks that the configuration describes."""
        return networks(self.config)

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of pictures as they are read: those that CLIP takes."""
        side = self.config.image_encoder.image_size
        return side, side

    def with_reference(
        self,
        params: Params,
        image: UInt8[np.ndarray, "height width 3"],
        mask: Bool[np.ndarray, "height width"] | None = None,
    ) -> Params:
        """Return the parameters with the scene's latents and the person's tokens.

        Raises:
            UserError: It is not known where the person is.
        """
        if mask is None or not mask.any():
            raise UserError(
                "this model reads person and scene apart; say where the person is by "
                "--reference-keypoints, and --reference-mask for its outline"
            )
        pixels = jnp.asarray(scene(image, mask, self.image_size))[None]
        person = jnp.asarray(self.read_pictures(image[None], mask[None]))
        latents = jax.jit(lambda params, x: self.encode({"vae": params}, x))(params["vae"], pixels)
        (tokens,) = jax.jit(self.reference_features)(params, person)
        return {**params, SCENE: {LATENTS: latents[0], TOKENS: tokens[0]}}

    def read_pictures(
        self,
        images: UInt8[np.ndarray, "*batch height width 3"],
        masks: Bool[np.ndarray, "*batch height width"] | UInt8[np.ndarray, "*batch height width"],
    ) -> Float[np.ndarray, "*batch side side 3"]:
        """Return the people of pictures before CLIP's mean colour."""
        return foreground(images, masks, self.config.image_encoder.image_size)

    def prepare(
        self, params: Params, images: Float[Array, "pictures side side 3"]
    ) -> Float[Array, "pictures side side 3"]:
        """Return the pictures themselves."""
        del params
        return images

    def pose_features(
        self, params: Params, pose: Float[Array, "frames height width 3"]
    ) -> Float[Array, "frames h w pose_channels"]:
        """Return the pose ControlNet's features of skeletons in [0, 1]."""
        return self._bind("pose_controlnet", params).embed_condition(pose)

    def reference_features(
        self,
        params: Params,
        latents: Float[Array, "pictures side side 3"],
        timestep: Float[Array, ""] | float = 0.0,
    ) -> Features:
        """Return the tokens of people before CLIP's mean colour."""
        del timestep
        return (person_tokens(self.config, params, normalise(latents)),)

    def control(
        self,
        params: Params,
        latents: Float[Array, "frames h w channels"],
        timestep: Float[Array, ""],
        pose: Float[Array, "frames h w pose_channels"],
    ) -> Float[Array, "frames h w pose_channels"]:
        """Return the skeletons' features: both ControlNets read tokens, hence run in `denoise`."""
        del params, latents, timestep
        return pose

    def denoise(
        self,
        params: Params,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: tuple[ReferenceTokens | None, ...] | None,
        control: Float[Array, "batch frames h w pose_channels"],
    ) -> Float[Array, "batch frames h w channels"]:
        """Predict the noise of windows; None for references is the unconditional half."""
        if references is None:
            own = params[CONTEXT][NULL]
            context = jnp.broadcast_to(own, (*latents.shape[:2], *own.shape))
        else:
            own = params[SCENE][TOKENS]
            context = frame_context(references, latents.shape[1])
        own = jnp.broadcast_to(own, (len(latents), *own.shape))
        return self.predict(params, latents, timesteps, context, own, control)

    def denoise_branches(
        self,
        params: Params,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: tuple[ReferenceTokens | None, ...],
        control: Float[Array, "batch frames h w pose_channels"],
    ) -> tuple[Float[Array, "batch frames h w channels"], ...]:
        """Predict the noise of windows without and with references, by one call."""
        context = frame_context(references, latents.shape[1])
        context = jnp.concatenate([null_context(params, context).astype(context.dtype), context])
        halves = (params[CONTEXT][NULL], params[SCENE][TOKENS])
        own = jnp.stack([half.astype(context.dtype) for half in halves])
        predicted = self.predict(
            params, jnp.concatenate([latents] * 2), jnp.tile(timesteps, 2), context,
            jnp.repeat(own, len(latents), axis=0), jnp.concatenate([control] * 2),
        )  # fmt: skip
        return tuple(jnp.split(predicted, 2))

    def predict(
        self,
        params: Params,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        context: Float[Array, "batch frames tokens width"],
        background_context: Float[Array, "batch own_tokens width"],
        pose: Float[Array, "batch frames h w pose_channels"],
    ) -> Float[Array, "batch frames h w channels"]:
        """Predict the noise of windows.

        Args:
            params: Parameters with the reference's scene.
            latents: Noisy latents.
            timesteps: Training indices, one per window.
            context: What denoiser and pose ControlNet read.
            background_context: What the background ControlNet reads: no calibrated pictures, for
                the scene stays where it is.
            pose: Features of the skeletons.
        """
        frames = latents.shape[1]
        images = latents.reshape(-1, *latents.shape[2:])
        times = jnp.repeat(timesteps, frames)
        pose_net = self._bind("pose_controlnet", params)
        of_pose = pose_net.residuals(
            images, times, pose.reshape(-1, *pose.shape[2:]),
            context.reshape(-1, *context.shape[2:]), frames,
        )  # fmt: skip
        background_net = self._bind("background_controlnet", params)
        features = background_net.embed_condition(params[SCENE][LATENTS][None])
        of_background = background_net.residuals(
            images, times, jnp.broadcast_to(features, (len(images), *features.shape[1:])),
            jnp.repeat(background_context, frames, axis=0), frames,
        )  # fmt: skip
        scales = (self.config.pose_scale, self.config.background_scale)
        return self._bind("unet", params)(
            latents, timesteps, context=context,
            residuals=combine((of_pose, of_background), scales),
        )  # fmt: skip
