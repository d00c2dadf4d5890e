"""`tiny`: the embedded model, a small reference-attention animator trained by this project.

It has the parts of AnimateAnyone at a small size (autoencoder, denoiser with motion modules,
appearance encoder at timestep 0, pose net) and no text or image context.
"""

import dataclasses
import functools
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tpc_jax.animators.base import ReferenceAttentionAnimator
from tpc_jax.animators.references import Features
from tpc_jax.conditioning.pose_pictures import PoseKind
from tpc_jax.model import params as P
from tpc_jax.model.config import Config, MotionConfig, PoseNetConfig, UNetConfig, VAEConfig
from tpc_jax.model.params import Network, Params
from tpc_jax.model.pose_net import PoseNet
from tpc_jax.model.reference_unet import AppearanceEncoder
from tpc_jax.model.unet import UNet
from tpc_jax.model.vae import VAE
from tpc_jax.sampler.schedule import ScheduleConfig, alphas_cumprod

_LATENT_CHANNELS = 32
_WIDTHS = (96, 128)
_GROUPS = 8
_HEADS = 4


def _vae() -> VAEConfig:
    return VAEConfig(
        latent_channels=_LATENT_CHANNELS,
        block_out_channels=(64,),
        layers_per_block=1,
        norm_num_groups=_GROUPS,
        patch_size=4,
        has_shortcut=True,
    )


def _unet() -> UNetConfig:
    return UNetConfig(
        in_channels=_LATENT_CHANNELS,
        out_channels=_LATENT_CHANNELS,
        block_out_channels=_WIDTHS,
        layers_per_block=1,
        attention_levels=(True, True),
        num_heads=_HEADS,
        cross_attention_dim=None,
        norm_num_groups=_GROUPS,
        motion=MotionConfig(num_heads=_HEADS, norm_num_groups=_GROUPS, max_frames=24),
        position_grid=(16, 16),
    )


def _pose_net() -> PoseNetConfig:
    return PoseNetConfig(block_out_channels=(16, 32, 64), out_channels=_WIDTHS[0])


def _schedule() -> ScheduleConfig:
    return ScheduleConfig(
        beta_schedule="cosine",
        rescale_zero_terminal_snr=True,
        prediction_type="sample",
        timestep_spacing="trailing",
    )


@dataclasses.dataclass(frozen=True)
class TinyConfig(Config):
    """Sizes and defaults of `tiny`.

    Attributes:
        image_size: Side of the square pictures in pixels.
        vae: The autoencoder.
        unet: The denoiser and, without motion, the appearance encoder.
        pose_net: The pose branch.
        schedule: The diffusion process it is trained on.
        window_length: Frames denoised together.
        window_overlap: Frames that neighbouring windows share.
        guidance_scale: Default weight of classifier-free guidance; 1 means off.
        num_steps: Default number of denoising steps; one scores best.
    """

    NESTED: ClassVar = {
        "vae": VAEConfig,
        "unet": UNetConfig,
        "pose_net": PoseNetConfig,
        "schedule": ScheduleConfig,
    }

    image_size: int = 64
    vae: VAEConfig = dataclasses.field(default_factory=_vae)
    unet: UNetConfig = dataclasses.field(default_factory=_unet)
    pose_net: PoseNetConfig = dataclasses.field(default_factory=_pose_net)
    schedule: ScheduleConfig = dataclasses.field(default_factory=_schedule)
    window_length: int = 8
    window_overlap: int = 4
    guidance_scale: float = 1.0
    num_steps: int = 1


@functools.lru_cache
def networks(config: TinyConfig) -> dict[str, Network]:
    """Describe the networks that `config` wires together."""
    return {
        "vae": P.abstract(VAE, config.vae),
        "unet": P.abstract(UNet, config.unet),
        "appearance_encoder": P.abstract(AppearanceEncoder, config.unet),
        "pose_net": P.abstract(PoseNet, config.pose_net),
    }


@dataclasses.dataclass(frozen=True)
class TinyAnimator(ReferenceAttentionAnimator):
    """The pure functions of `tiny`, closed over its configuration; parameters are arguments.

    Attributes:
        config: Sizes and defaults.
        features_depend_on_t: The appearance encoder always sees timestep 0, so that features serve
            all steps.
        pose_kind: The pose net reads poses in the house colours.
    """

    config: TinyConfig = dataclasses.field(default_factory=TinyConfig)
    features_depend_on_t: ClassVar[bool] = False
    pose_kind: ClassVar[PoseKind] = "house"

    @property
    def networks(self) -> dict[str, Network]:
        """The networks that the configuration describes."""
        return networks(self.config)

    def reference_features(
        self,
        params: Params,
        latents: Float[Array, "pictures h w channels"],
        timestep: Float[Array, ""] | float = 0.0,
    ) -> Features:
        """Return what the denoiser reads of clean latents; always encoded at timestep 0."""
        del timestep
        encoder = self._bind("appearance_encoder", params)
        return encoder(latents, jnp.zeros(latents.shape[0]))

    def _inputs(self, params, latents, timesteps, references, control):
        """Hand the network the best linear guess of the clean latents.

        Unscaled noise, which says nothing, would drown the pose and the position in its first
        features.
        """
        del params
        signal = jnp.asarray(np.sqrt(alphas_cumprod(self.schedule)), latents.dtype)
        guess = latents * signal[timesteps.astype(jnp.int32)][:, None, None, None, None]
        return {"latents": guess, "timesteps": timesteps, "pose": control, "references": references}
