"""`tiny`: the embedded model, a small reference-attention animator trained by this project.

It has the parts of AnimateAnyone at a small size (autoencoder, denoiser with motion modules,
appearance encoder at timestep 0, pose net) and no text or image context.
"""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from tpc_jax.animators.base import (
    Features,
    Reading,
    ReferenceAttentionAnimator,
    SystemConfig,
)
from tpc_jax.conditioning.pose_pictures import PoseKind
from tpc_jax.model import params as P
from tpc_jax.model.config import MotionConfig, PoseNetConfig, UNetConfig, VAEConfig
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
class TinyConfig(SystemConfig):
    """Sizes and defaults of `tiny`: those of every animator, and its pose branch.

    One step scores best.

    Attributes:
        pose_net: The pose branch.
    """

    vae: VAEConfig = dataclasses.field(default_factory=_vae)
    unet: UNetConfig = dataclasses.field(default_factory=_unet)
    pose_net: PoseNetConfig = dataclasses.field(default_factory=_pose_net)
    schedule: ScheduleConfig = dataclasses.field(default_factory=_schedule)
    image_size: tuple[int, int] = (64, 64)
    window_length: int = 8
    num_steps: int = 1


@dataclasses.dataclass(frozen=True)
class TinyAnimator(ReferenceAttentionAnimator):
    """`tiny`; its pose net reads poses in the house colours."""

    config: TinyConfig = dataclasses.field(default_factory=TinyConfig)
    pose_kind: ClassVar[PoseKind] = "house"
    # The table of positions has the size of the latents.
    fixed_size: ClassVar[bool] = True

    def networks(self) -> dict[str, Network]:
        """Describe autoencoder, denoiser, appearance encoder and pose net."""
        return {
            "vae": P.abstract(VAE, self.config.vae),
            "unet": P.abstract(UNet, self.config.unet),
            "appearance_encoder": P.abstract(AppearanceEncoder, self.config.unet),
            "pose_net": P.abstract(PoseNet, self.config.pose_net),
        }

    def features(
        self,
        params: Params,
        reading: Reading,
        encoded: Float[Array, "pictures h w channels"],
        timestep: Float[Array, ""] | float = 0.0,
    ) -> Features:
        """Return what the denoiser reads of clean latents; always encoded at timestep 0."""
        del reading, timestep
        encoder = self._bind("appearance_encoder", params)
        return encoder(encoded, jnp.zeros(len(encoded)))

    def _inputs(self, params, reading, latents, timesteps, references, pose):
        """Hand the network the best linear guess of the clean latents.

        Unscaled noise, which says nothing, would drown the pose and the position in its first
        features.
        """
        del params, reading
        signal = jnp.asarray(np.sqrt(alphas_cumprod(self.config.schedule)), latents.dtype)
        guess = latents * signal[timesteps.astype(jnp.int32)][:, None, None, None, None]
        return {"latents": guess, "timesteps": timesteps, "pose": pose, "references": references}
