"""DreamPose: a denoiser of single pictures that is told the reference by tokens and five poses.

Source: DreamPose `pipelines/dual_encoder_pipeline.py`, `models/unet_dual_encoder.py`, `test.py`.
"""

import dataclasses
import functools
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from tpc_jax.animators.references import Features
from tpc_jax.animators.tokens import (
    CONTEXT,
    NULL,
    SCENE,
    TokenAnimator,
    frame_context,
    null_context,
)
from tpc_jax.conditioning.canvas import Fit, fit_images
from tpc_jax.conditioning.clip_pixels import centre_pixels
from tpc_jax.conditioning.masks import Routing
from tpc_jax.conditioning.pose_pictures import PoseKind
from tpc_jax.model import params as P
from tpc_jax.model.adapter import EmbeddingAdapter
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.config import AdapterConfig, Config, UNetConfig, VAEConfig, VisionConfig
from tpc_jax.model.params import Network, Params
from tpc_jax.model.unet import UNet
from tpc_jax.model.vae import VAE
from tpc_jax.model.vision import VisionEncoder
from tpc_jax.sampler.schedule import ScheduleConfig, alphas_cumprod

_UV = 2  # channels of a pose


def published_schedule() -> ScheduleConfig:
    """Return Stable Diffusion 1.4's own schedule and sampler."""
    return ScheduleConfig(beta_schedule="scaled_linear", set_alpha_to_one=False, sampler="plms")


@dataclasses.dataclass(frozen=True)
class DreamPoseConfig(Config):
    """Sizes and defaults of DreamPose; the defaults are those of the published files.

    Attributes:
        vae: The autoencoder.
        unet: The denoiser, which takes the poses as further channels of its input.
        image_encoder: CLIP's vision tower, of which the tokens behind the last layer are read.
        adapter: What joins these tokens with a picture's latents.
        schedule: The diffusion process.
        image_size: Height and width of the pictures in pixels; the adapter fits one area only.
        num_poses: Poses that a frame sees, its own in the middle.
        pose_range: "signed" maps poses to [-1, 1], as the release does at test time; "unit" leaves
            them in [0, 1], as it does in training.
        window_length: Frames denoised together; they do not see each other.
        window_overlap: Frames that neighbouring windows share.
        guidance_scale: Default weights of guidance: of the reference, of the pose.
        num_steps: Default number of denoising steps.
    """

    NESTED: ClassVar = {
        "vae": VAEConfig,
        "unet": UNetConfig,
        "image_encoder": VisionConfig,
        "adapter": AdapterConfig,
        "schedule": ScheduleConfig,
    }

    vae: VAEConfig = dataclasses.field(default_factory=VAEConfig)
    unet: UNetConfig = dataclasses.field(default_factory=lambda: UNetConfig(in_channels=14))
    image_encoder: VisionConfig = dataclasses.field(
        default_factory=lambda: VisionConfig(768, 3072, 12, 12, 224, 32, None)
    )
    adapter: AdapterConfig = dataclasses.field(default_factory=AdapterConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=published_schedule)
    image_size: tuple[int, int] = (640, 512)
    num_poses: int = 5
    pose_range: Literal["signed", "unit"] = "signed"
    window_length: int = 4
    window_overlap: int = 0
    guidance_scale: tuple[float, ...] = (8.0, 3.0)
    num_steps: int = 100

    def __post_init__(self):
        """Check that the parts fit each other."""
        cells = pooled_cells(self.image_size, self.vae)
        if cells != self.adapter.num_pooled:
            raise ValueError(
                f"image_size {self.image_size} gives {cells} pooled cells, but the adapter is made "
                f"for {self.adapter.num_pooled}"
            )
        wanted = self.vae.latent_channels + _UV * self.num_poses
        if self.unet.in_channels != wanted:
            raise ValueError(f"unet must have {wanted} channels, got {self.unet.in_channels}")
        if self.num_poses % 2 == 0:
            raise ValueError(f"num_poses must be odd, got {self.num_poses}")


def pooled_cells(image_size: tuple[int, int], vae: VAEConfig) -> int:
    """Return how many cells a picture's latents have after the adapter's pooling."""
    height, width = (side // vae.downscale // 2 for side in image_size)
    return height * width


@functools.lru_cache
def networks(config: DreamPoseConfig) -> dict[str, Network]:
    """Describe the networks that `config` wires together.

    "context" is no network but a stored array: the tokens of the empty picture.
    """
    null = jax.ShapeDtypeStruct((config.adapter.num_tokens, config.adapter.width), jnp.float32)
    return {
        "vae": P.abstract(VAE, config.vae),
        "unet": P.abstract(UNet, config.unet),
        "image_encoder": P.abstract(VisionEncoder, config.image_encoder),
        "adapter": P.abstract(EmbeddingAdapter, config.adapter),
        CONTEXT: Network(None, {NULL: null}),
    }


def picture_tokens(
    config: DreamPoseConfig, params: Params, images: Float[Array, "pictures height width 3"]
) -> Float[Array, "pictures tokens features"]:
    """Return the context tokens of pictures in [0, 1].

    Numerics: the autoencoder sees grey levels 0...255, as in the original; its posterior's mean
        stands in for the original's sample.
    """
    bound = {name: P.bind(networks(config)[name], params[name]) for name in _READERS}
    pixels = centre_pixels(images, config.image_encoder.image_size)
    tokens = bound["image_encoder"].hidden(pixels)
    return bound["adapter"](tokens, bound["vae"].encode(255.0 * images))


_READERS = ("image_encoder", "adapter", "vae")


def null_tokens(config: DreamPoseConfig, params: Params) -> Float[Array, "tokens width"]:
    """Return the tokens of the empty picture, whose axes the original swaps for the autoencoder."""
    height, width = config.image_size
    return picture_tokens(config, params, jnp.zeros((1, width, height, 3)))[0]


def stored_null_tokens(
    config: DreamPoseConfig, params: Params
) -> Float[np.ndarray, "tokens width"]:
    """Return the tokens of the empty picture in the precision in which they are stored.

    Numerics: in double precision: sums over a picture of one colour round in one direction, which
        the norms of the autoencoder magnify to errors of 1e-3 in single precision.
    """
    with jax.default_device(jax.devices("cpu")[0]), jax.enable_x64(True):
        readers = {name: params[name] for name in _READERS}
        exact = jax.tree.map(lambda x: jnp.asarray(np.asarray(x, np.float64)), readers)
        compute = jax.jit(lambda params: null_tokens(config, params))
        return np.asarray(compute(exact), np.float32)


@dataclasses.dataclass(frozen=True)
class DreamPoseAnimator(TokenAnimator):
    """The pure functions of DreamPose, closed over its configuration.

    Attributes:
        config: Sizes and defaults.
        pose_kind: The denoiser reads DensePose coordinates.
        routings: As of every animator that reads tokens; and `composite` reads the calibrated
            person before the reference's scene in place of the reference.
        fit: Pictures are stretched.
    """

    config: DreamPoseConfig = dataclasses.field(default_factory=DreamPoseConfig)
    pose_kind: ClassVar[PoseKind] = "uv"
    routings: ClassVar[tuple[Routing, ...]] = (*TokenAnimator.routings, "composite")
    fit: ClassVar[Fit] = "stretch"

    @property
    def networks(self) -> dict[str, Network]:
        """The networks that the configuration describes."""
        return networks(self.config)

    @property
    def pose_channels(self) -> int:
        """Channels of a pose picture: U and V."""
        return _UV

    def with_reference(
        self,
        params: Params,
        image: UInt8[np.ndarray, "height width 3"],
        mask: Bool[np.ndarray, "height width"] | None = None,
    ) -> Params:
        """Return the parameters with the reference's latents, from which a run starts."""
        del mask
        pixels = jnp.asarray(fit_images(image[None], self.image_size, fit=self.fit), jnp.float32)
        encode = jax.jit(lambda params, pixels: self.encode({"vae": params}, pixels / 127.5 - 1.0))
        return {**params, SCENE: encode(params["vae"], pixels)[0]}

    def prepare(
        self, params: Params, images: Float[Array, "pictures height width 3"]
    ) -> Float[Array, "pictures height width 3"]:
        """Return the pictures themselves: both encoders have their own ranges."""
        del params
        return images

    def pose_features(
        self, params: Params, pose: Float[Array, "frames height width 2"]
    ) -> Float[Array, "frames h w 2"]:
        """Return coordinates in [0, 1] at the latents' size, of the first pixel of every cell."""
        del params
        cell = self.config.vae.downscale
        small = pose[:, ::cell, ::cell]
        return 2.0 * small - 1.0 if self.config.pose_range == "signed" else small

    def pose_context(
        self, pose: Float[Array, "frames h w 2"]
    ) -> Float[Array, "frames h w pose_channels"]:
        """Return the poses about each frame, the oldest first; its own for those that lack."""
        count, reach = len(pose), self.config.num_poses // 2
        places = np.arange(count)[:, None] + np.arange(-reach, reach + 1)
        exists = (places >= 0) & (places < count)
        windows = pose[np.where(exists, places, np.arange(count)[:, None])]
        return jnp.moveaxis(windows, 1, -2).reshape(*pose.shape[:-1], -1)

    def start(
        self,
        params: Params,
        noise: Float[Array, "frames h w channels"],
        timestep: Int[Array, ""] | int,
    ) -> Float[Array, "frames h w channels"]:
        """Return the reference's latents under the noise of the first frame, for all frames."""
        signal = jnp.asarray(np.sqrt(alphas_cumprod(self.schedule)), noise.dtype)[timestep]
        level = jnp.sqrt(1.0 - signal**2)
        still = signal * params[SCENE].astype(noise.dtype) + level * noise[0]
        return jnp.broadcast_to(still, noise.shape)

    def reference_features(
        self,
        params: Params,
        latents: Float[Array, "pictures height width 3"],
        timestep: Float[Array, ""] | float = 0.0,
    ) -> Features:
        """Return the context tokens of pictures in [0, 1]."""
        del timestep
        return (picture_tokens(self.config, params, latents),)

    def control(
        self,
        params: Params,
        latents: Float[Array, "frames h w channels"],
        timestep: Float[Array, ""],
        pose: Float[Array, "frames h w pose_channels"],
    ) -> Float[Array, "frames h w pose_channels"]:
        """Return the poses themselves, which serve all steps."""
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
        """Predict the noise of windows; without references, without pose too."""
        if references is None:
            null = params[CONTEXT][NULL]
            context = jnp.broadcast_to(null, (len(latents), *null.shape))
            control = jnp.zeros_like(control)
        else:
            context = frame_context(references, latents.shape[1])
        joined = jnp.concatenate([latents, control.astype(latents.dtype)], axis=-1)
        return self._bind("unet", params)(joined, timesteps, context=context)

    def denoise_branches(
        self,
        params: Params,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: tuple[ReferenceTokens | None, ...],
        control: Float[Array, "batch frames h w pose_channels"],
    ) -> tuple[Float[Array, "batch frames h w channels"], ...]:
        """Predict the noise of windows: of nothing, of the reference, of reference and pose.

        A pose that is left out is 0 everywhere, not the empty pose. One call for all three.
        """
        context = frame_context(references, latents.shape[1])
        null, nothing = null_context(params, context), jnp.zeros_like(control)
        inputs = [
            jnp.concatenate([latents, pose.astype(latents.dtype)], axis=-1)
            for pose in (nothing, nothing, control)
        ]
        predicted = self._bind("unet", params)(
            jnp.concatenate(inputs), jnp.tile(timesteps, 3),
            context=jnp.concatenate([null.astype(context.dtype), context, context]),
        )  # fmt: skip
        return tuple(jnp.split(predicted, 3))
