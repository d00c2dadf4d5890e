"""DisCo: a denoiser that is told the person by tokens, pose and scene by two ControlNets.

Source: DisCo `config/ref_attn_clip_combine_controlnet/net.py`; with temporal module
`config/disco_w_tm/tem_disco_temp_attn/`.
"""

import dataclasses
import functools
import operator
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from tpc_jax.animators.base import CONTEXT, Features, References, SystemConfig, jitted, stored_array
from tpc_jax.animators.tokens import NULL, TokenAnimator, frame_context, null_context
from tpc_jax.conditioning.canvas import Canvas, Fit
from tpc_jax.conditioning.clip_pixels import normalise
from tpc_jax.conditioning.foreground import foreground, scene
from tpc_jax.conditioning.pose_pictures import PoseKind
from tpc_jax.errors import UserError
from tpc_jax.model import params as P
from tpc_jax.model.config import ControlNetConfig, VisionConfig
from tpc_jax.model.controlnet import ControlNet
from tpc_jax.model.params import Network, Params
from tpc_jax.model.unet import UNet
from tpc_jax.model.vae import VAE
from tpc_jax.model.vision import VisionEncoder
from tpc_jax.sampler.schedule import ScheduleConfig

# One array per skip connection and one for the mid block.
Residuals = tuple[Float[Array, "images _h _w _channels"], ...]


def _background_controlnet() -> ControlNetConfig:
    return ControlNetConfig(condition_in_channels=4, condition_channels=None)


@dataclasses.dataclass(frozen=True)
class DiscoConfig(SystemConfig):
    """Sizes and defaults of DisCo; the defaults are those of the published image model.

    Guidance has 1.5 for models trained with dropped references, 3 for the others. Without temporal
    layers the frames of a window do not see each other.

    Attributes:
        pose_controlnet: The branch that reads the skeleton.
        background_controlnet: The branch that reads the scene's latents.
        image_encoder: CLIP's vision tower with DisCo's own projection, which goes to all tokens.
        pose_scale: Factor of the skeleton's residuals.
        background_scale: Factor of the scene's residuals.
    """

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
    image_size: tuple[int, int] = (256, 256)
    pose_scale: float = 1.0
    background_scale: float = 1.0
    window_length: int = 8
    window_overlap: int = 0
    guidance_scale: tuple[float, ...] = (1.5,)
    num_steps: int = 50


class Scene(NamedTuple):
    """What is read of the reference.

    Attributes:
        latents: Of the picture without its people.
        tokens: Of its people alone.
    """

    latents: Float[Array, "h w channels"]
    tokens: Float[Array, "tokens width"]


def combine(residuals: Sequence[Residuals], scales: Sequence[float]) -> Residuals:
    """Return the sum of several ControlNets' residuals, each with its factor."""
    pairs = list(zip(residuals, scales, strict=True))
    return tuple(
        functools.reduce(operator.add, (scale * own[index] for own, scale in pairs))
        for index in range(len(residuals[0]))
    )


@dataclasses.dataclass(frozen=True)
class DiscoAnimator(TokenAnimator):
    """DisCo; its pose ControlNet reads skeletons as OpenPose draws them.

    Of every picture the central square is taken.
    """

    config: DiscoConfig = dataclasses.field(default_factory=DiscoConfig)
    pose_kind: ClassVar[PoseKind] = "openpose"
    fit: ClassVar[Fit] = "crop"

    def networks(self) -> dict[str, Network]:
        """Describe the networks; "context" holds the tokens of the unconditional prediction."""
        config = self.config
        shape = (config.image_encoder.num_tokens, config.unet.context_width)
        return {
            "vae": P.abstract(VAE, config.vae),
            "unet": P.abstract(UNet, config.unet),
            "pose_controlnet": P.abstract(ControlNet, config.pose_controlnet),
            "background_controlnet": P.abstract(ControlNet, config.background_controlnet),
            "image_encoder": P.abstract(VisionEncoder, config.image_encoder),
            CONTEXT: stored_array(NULL, *shape),
        }

    @property
    def reading_canvas(self) -> Canvas:
        """The square that the image encoder sees."""
        side = self.config.image_encoder.image_size
        return Canvas((side, side), self.fit)

    def read_reference(
        self,
        params: Params,
        image: UInt8[np.ndarray, "height width 3"],
        mask: Bool[np.ndarray, "height width"],
        prompt: Int[np.ndarray, "1 tokens"] | None = None,
    ) -> Scene:
        """Return the scene's latents and the person's tokens.

        Raises:
            UserError: It is not known where the person is.
        """
        del prompt
        if not mask.any():
            raise UserError(
                "this model reads person and scene apart; say where the person is by "
                "--reference-keypoints, and --reference-mask for its outline"
            )
        pixels = scene(image, mask, self.canvas)[None]
        person = self.read_pictures(image[None], mask[None])
        latents = jitted(self, "encode")(params, pixels)
        return Scene(
            latents[0], jitted(self, "person_tokens")(params, normalise(jnp.asarray(person)))[0]
        )

    def read_pictures(
        self,
        images: UInt8[np.ndarray, "*batch height width 3"],
        masks: Bool[np.ndarray, "*batch height width"] | UInt8[np.ndarray, "*batch height width"],
    ) -> Float[np.ndarray, "*batch side side 3"]:
        """Return the people of pictures before CLIP's mean colour."""
        return foreground(images, masks, self.config.image_encoder.image_size)

    def encode_pictures(
        self, params: Params, pictures: Float[Array, "pictures side side 3"]
    ) -> Float[Array, "pictures side side 3"]:
        """Return the pictures themselves."""
        del params
        return pictures

    def features(
        self,
        params: Params,
        reading: Scene,
        encoded: Float[Array, "pictures side side 3"],
        timestep: Float[Array, ""] | float = 0.0,
    ) -> Features:
        """Return the tokens of people before CLIP's mean colour."""
        del reading, timestep
        return (self.person_tokens(params, normalise(encoded)),)

    def person_tokens(
        self, params: Params, pixels: Float[Array, "pictures side side 3"]
    ) -> Float[Array, "pictures tokens width"]:
        """Return the tokens of normalised pictures in which the scene is 0."""
        encoder = self._bind("image_encoder", params)
        return encoder.project(encoder.hidden(pixels))

    def null_tokens(self, params: Params) -> Float[Array, "tokens width"]:
        """Return the tokens of a picture without a person, those that are stored."""
        side = self.config.image_encoder.image_size
        return self.person_tokens(params, jnp.zeros((1, side, side, 3)))[0]

    def pose(
        self, params: Params, pictures: Float[Array, "frames height width 3"]
    ) -> Float[Array, "frames h w channels"]:
        """Return the pose ControlNet's features of skeletons in [0, 1]."""
        return self._bind("pose_controlnet", params).embed_condition(pictures)

    def predict(
        self,
        params: Params,
        reading: Scene,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: References,
        pose: Float[Array, "batch frames h w pose_channels"],
        *,
        is_guided: bool,
    ) -> tuple[Float[Array, "batch frames h w channels"], ...]:
        """Predict the noise of windows; both halves of guidance are one batch."""
        batch, frames = latents.shape[:2]
        context = frame_context(references, frames)
        own = reading.tokens[None].astype(context.dtype)
        if is_guided:
            context = jnp.concatenate([null_context(params, context), context])
            own = jnp.concatenate([params[CONTEXT][NULL][None].astype(own.dtype), own])
        halves = len(own)
        predicted = self._denoise(
            params, reading.latents, jnp.concatenate([latents] * halves),
            jnp.tile(timesteps, halves), context, jnp.repeat(own, batch, axis=0),
            jnp.concatenate([pose] * halves),
        )  # fmt: skip
        return tuple(jnp.split(predicted, halves))

    def _denoise(self, params, background, latents, timesteps, context, own, pose):
        """Predict the noise of windows.

        Denoiser and pose ControlNet read `context`, which each frame has for itself; the background
        ControlNet reads `own`, without calibrated pictures, for the scene stays where it is.
        """
        frames = latents.shape[1]
        images = latents.reshape(-1, *latents.shape[2:])
        times = jnp.repeat(timesteps, frames)
        of_pose = self._bind("pose_controlnet", params).residuals(
            images, times, pose.reshape(-1, *pose.shape[2:]),
            context.reshape(-1, *context.shape[2:]), frames,
        )  # fmt: skip
        controlnet = self._bind("background_controlnet", params)
        features = controlnet.embed_condition(background[None])
        of_background = controlnet.residuals(
            images, times, jnp.broadcast_to(features, (len(images), *features.shape[1:])),
            jnp.repeat(own, frames, axis=0), frames,
        )  # fmt: skip
        scales = (self.config.pose_scale, self.config.background_scale)
        return self._bind("unet", params)(
            latents, timesteps, context=context,
            residuals=combine((of_pose, of_background), scales),
        )  # fmt: skip
