"""AnimateAnyone: a video denoiser steered by a skeleton and by a reference network run once.

Source: Moore-AnimateAnyone `pose2vid.py`, `pipeline_pose2vid_long.py`, `unet_3d.py`,
`mutual_self_attention.py`.
"""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, UInt8

from tpc_jax.animators.base import ReferenceAttentionAnimator
from tpc_jax.animators.references import Features
from tpc_jax.conditioning.clip_pixels import clip_pixels
from tpc_jax.conditioning.pose_pictures import PoseKind
from tpc_jax.model import params as P
from tpc_jax.model.config import (
    Config,
    MotionConfig,
    PoseNetConfig,
    UNetConfig,
    VAEConfig,
    VisionConfig,
)
from tpc_jax.model.params import Network, Params
from tpc_jax.model.pose_net import PoseNet
from tpc_jax.model.reference_unet import AppearanceEncoder
from tpc_jax.model.unet import UNet
from tpc_jax.model.vae import VAE
from tpc_jax.model.vision import VisionEncoder
from tpc_jax.sampler.schedule import ScheduleConfig

# Where the embedding of the reference stands among the parameters.
CONTEXT = "context"


def published_motion() -> MotionConfig:
    """Return the sizes of the published motion modules."""
    return MotionConfig(max_frames=32, use_mid_block=True)


def published_schedule() -> ScheduleConfig:
    """Return the published noise schedule of inference."""
    return ScheduleConfig(
        rescale_zero_terminal_snr=True,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )


@dataclasses.dataclass(frozen=True)
class AnimateAnyoneConfig(Config):
    """Sizes and defaults of AnimateAnyone; the defaults are those of the published files.

    Attributes:
        vae: The autoencoder.
        unet: The denoiser, spatial layers and motion modules in one tree.
        appearance_encoder: The network whose normed tokens the denoiser reads.
        pose_net: The branch that reads the skeleton (the pose guider).
        image_encoder: The encoder whose embedding of the reference is the only context token.
        schedule: The diffusion process.
        image_size: Height and width of the pictures in pixels.
        window_length: Frames denoised together.
        window_overlap: Frames that neighbouring windows share.
        guidance_scale: Default weight of classifier-free guidance.
        num_steps: Default number of denoising steps.
    """

    NESTED: ClassVar = {
        "vae": VAEConfig,
        "unet": UNetConfig,
        "appearance_encoder": UNetConfig,
        "pose_net": PoseNetConfig,
        "image_encoder": VisionConfig,
        "schedule": ScheduleConfig,
    }

    vae: VAEConfig = dataclasses.field(default_factory=VAEConfig)
    unet: UNetConfig = dataclasses.field(
        default_factory=lambda: UNetConfig(motion=published_motion())
    )
    appearance_encoder: UNetConfig = dataclasses.field(default_factory=UNetConfig)
    pose_net: PoseNetConfig = dataclasses.field(default_factory=PoseNetConfig)
    image_encoder: VisionConfig = dataclasses.field(default_factory=VisionConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=published_schedule)
    image_size: tuple[int, int] = (784, 512)
    window_length: int = 24
    window_overlap: int = 4
    guidance_scale: float = 3.5
    num_steps: int = 30

    def __post_init__(self):
        """Check that pictures divide into latent cells."""
        cell = self.vae.downscale
        if any(side < cell or side % cell for side in self.image_size):
            raise ValueError(f"image_size must be multiples of {cell}, got {self.image_size}")


@functools.lru_cache
def networks(config: AnimateAnyoneConfig) -> dict[str, Network]:
    """Describe the networks that `config` wires together."""
    return {
        "vae": P.abstract(VAE, config.vae),
        "unet": P.abstract(UNet, config.unet),
        "appearance_encoder": P.abstract(AppearanceEncoder, config.appearance_encoder),
        "pose_net": P.abstract(PoseNet, config.pose_net),
        "image_encoder": P.abstract(VisionEncoder, config.image_encoder),
    }


@functools.lru_cache
def _jit_embed(config: AnimateAnyoneConfig):
    network = networks(config)["image_encoder"]
    return jax.jit(lambda params, pixels: P.bind(network, params)(pixels))


@dataclasses.dataclass(frozen=True)
class AnimateAnyoneAnimator(ReferenceAttentionAnimator):
    """The pure functions of AnimateAnyone, closed over its configuration.

    The embedding of the reference comes with the parameters (see `with_reference`); the
    unconditional half has zeros in its place.

    Attributes:
        config: Sizes and defaults.
        features_depend_on_t: The appearance encoder always sees timestep 0, so that features serve
            all steps.
        pose_kind: The pose net reads the skeleton as the DWPose annotator draws it.
    """

    config: AnimateAnyoneConfig = dataclasses.field(default_factory=AnimateAnyoneConfig)
    features_depend_on_t: ClassVar[bool] = False
    pose_kind: ClassVar[PoseKind] = "dwpose"

    @property
    def networks(self) -> dict[str, Network]:
        """The networks that the configuration describes."""
        return networks(self.config)

    def with_reference(
        self,
        params: Params,
        image: UInt8[np.ndarray, "height width 3"],
        mask: Bool[np.ndarray, "height width"] | None = None,
    ) -> Params:
        """Return the parameters with the reference's embedding in place of its encoder."""
        del mask
        pixels = clip_pixels(image[None], self.config.image_encoder.image_size)
        embedding = _jit_embed(self.config)(params["image_encoder"], jnp.asarray(pixels))
        rest = {name: part for name, part in params.items() if name != "image_encoder"}
        return {**rest, CONTEXT: embedding}

    def reference_features(
        self,
        params: Params,
        latents: Float[Array, "pictures h w channels"],
        timestep: Float[Array, ""] | float = 0.0,
    ) -> Features:
        """Return what the denoiser reads of clean latents; always encoded at timestep 0.

        Calibrated pictures too are encoded beside the embedding of the reference as it came.
        """
        del timestep
        count = len(latents)
        encoder = self._bind("appearance_encoder", params)
        return encoder(latents, jnp.zeros(count), _repeat(params[CONTEXT], count))

    def _inputs(self, params, latents, timesteps, references, control):
        """Leave the unconditional half without the reference's embedding, but not the pose."""
        embedding = params[CONTEXT]
        context = jnp.zeros_like(embedding) if references is None else embedding
        return {
            "latents": latents,
            "timesteps": timesteps,
            "context": _repeat(context, len(latents)),
            "pose": control,
            "references": references,
        }


def _repeat(context: Float[Array, "tokens width"], count: int):
    return jnp.broadcast_to(context, (count, *context.shape))
