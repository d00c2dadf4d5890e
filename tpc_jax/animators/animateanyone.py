"""AnimateAnyone: a video denoiser steered by a skeleton and by a reference network run once.

Source: Moore-AnimateAnyone `pose2vid.py`, `pipeline_pose2vid_long.py`, `unet_3d.py`,
`mutual_self_attention.py`.
"""

import dataclasses
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from tpc_jax.animators.base import (
    Features,
    ReferenceAttentionAnimator,
    SystemConfig,
    jitted,
    repeated,
)
from tpc_jax.animators.habits import Habits
from tpc_jax.conditioning.clip_pixels import clip_pixels
from tpc_jax.conditioning.pose_pictures import PoseKind
from tpc_jax.model import params as P
from tpc_jax.model.config import MotionConfig, PoseNetConfig, UNetConfig, VisionConfig
from tpc_jax.model.params import Network, Params
from tpc_jax.model.pose_net import PoseNet
from tpc_jax.model.reference_unet import AppearanceEncoder
from tpc_jax.model.unet import UNet
from tpc_jax.model.vae import VAE
from tpc_jax.model.vision import VisionEncoder
from tpc_jax.sampler.schedule import ScheduleConfig


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
class AnimateAnyoneConfig(SystemConfig):
    """Sizes and defaults of AnimateAnyone; the defaults are those of the published files.

    Attributes:
        appearance_encoder: The network whose normed tokens the denoiser reads.
        pose_net: The branch that reads the skeleton (the pose guider).
        image_encoder: The encoder whose embedding of the reference is the only context token.
    """

    unet: UNetConfig = dataclasses.field(
        default_factory=lambda: UNetConfig(motion=published_motion())
    )
    appearance_encoder: UNetConfig = dataclasses.field(default_factory=UNetConfig)
    pose_net: PoseNetConfig = dataclasses.field(default_factory=PoseNetConfig)
    image_encoder: VisionConfig = dataclasses.field(default_factory=VisionConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=published_schedule)
    image_size: tuple[int, int] = (784, 512)
    window_length: int = 24
    guidance_scale: tuple[float, ...] = (3.5,)
    num_steps: int = 30


# The reference's embedding by CLIP, the only token of the context.
Embedding = Float[Array, "1 features"]


@dataclasses.dataclass(frozen=True)
class AnimateAnyoneAnimator(ReferenceAttentionAnimator):
    """AnimateAnyone; its pose net reads the skeleton as the DWPose annotator draws it."""

    config: AnimateAnyoneConfig = dataclasses.field(default_factory=AnimateAnyoneConfig)
    pose_kind: ClassVar[PoseKind] = "dwpose"
    habits: ClassVar[Habits] = Habits(closed_windows=True)

    def networks(self) -> dict[str, Network]:
        """Describe the networks that the configuration wires together."""
        config = self.config
        return {
            "vae": P.abstract(VAE, config.vae),
            "unet": P.abstract(UNet, config.unet),
            "appearance_encoder": P.abstract(AppearanceEncoder, config.appearance_encoder),
            "pose_net": P.abstract(PoseNet, config.pose_net),
            "image_encoder": P.abstract(VisionEncoder, config.image_encoder),
        }

    def read_reference(
        self,
        params: Params,
        image: UInt8[np.ndarray, "height width 3"],
        mask: Bool[np.ndarray, "height width"],
        prompt: Int[np.ndarray, "1 tokens"] | None = None,
    ) -> Embedding:
        """Return the reference's embedding; zeros stand for it in the unconditional half."""
        del mask, prompt
        pixels = clip_pixels(image[None], self.config.image_encoder.image_size)
        return jitted(self, "_embed")(params, pixels)

    def _embed(self, params: Params, pixels) -> Embedding:
        return self._bind("image_encoder", params)(pixels)

    def features(
        self,
        params: Params,
        reading: Embedding,
        encoded: Float[Array, "pictures h w channels"],
        timestep: Float[Array, ""] | float = 0.0,
    ) -> Features:
        """Return what the denoiser reads of clean latents; always encoded at timestep 0.

        Calibrated pictures too are encoded beside the embedding of the reference as it came.
        """
        del timestep
        count = len(encoded)
        encoder = self._bind("appearance_encoder", params)
        return encoder(encoded, jnp.zeros(count), repeated(reading, count))

    def _inputs(self, params, reading: Embedding, latents, timesteps, references, pose):
        del params
        return {
            "latents": latents,
            "timesteps": timesteps,
            "context": repeated(reading, len(latents)),
            "pose": pose,
            "references": references,
        }

    def _without(self, reading: Embedding, inputs: dict[str, Any]) -> dict[str, Any]:
        """Leave the unconditional half without the reference's embedding, but not the pose."""
        return {**inputs, "references": None, "context": jnp.zeros_like(inputs["context"])}
