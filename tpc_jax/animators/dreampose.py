"""DreamPose: a denoiser of single pictures that is told the reference by tokens and five poses.

Source: DreamPose `pipelines/dual_encoder_pipeline.py`, `models/unet_dual_encoder.py`, `test.py`.
"""

import dataclasses
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from tpc_jax.animators.base import CONTEXT, Features, References, SystemConfig, jitted, stored_array
from tpc_jax.animators.habits import Habits
from tpc_jax.animators.tokens import NULL, TokenAnimator, frame_context, null_context
from tpc_jax.conditioning.canvas import Fit
from tpc_jax.conditioning.clip_pixels import centre_pixels
from tpc_jax.conditioning.pose_pictures import PoseKind
from tpc_jax.model import params as P
from tpc_jax.model.adapter import EmbeddingAdapter
from tpc_jax.model.config import AdapterConfig, UNetConfig, VAEConfig, VisionConfig
from tpc_jax.model.params import Network, Params
from tpc_jax.model.unet import UNet
from tpc_jax.model.vae import VAE
from tpc_jax.model.vision import VisionEncoder
from tpc_jax.options import Routing
from tpc_jax.sampler.schedule import ScheduleConfig, alphas_cumprod

_UV = 2  # channels of a pose
# What reads pictures.
_READERS = ("image_encoder", "adapter", "vae")


def published_schedule() -> ScheduleConfig:
    """Return Stable Diffusion 1.4's own schedule and sampler."""
    return ScheduleConfig(beta_schedule="scaled_linear", set_alpha_to_one=False, sampler="plms")


@dataclasses.dataclass(frozen=True)
class DreamPoseConfig(SystemConfig):
    """Sizes and defaults of DreamPose; the defaults are those of the published files.

    Guidance has two weights: of the reference and of the pose. The frames of a window do not see
    each other; the adapter fits pictures of one area only.

    Attributes:
        image_encoder: CLIP's vision tower, of which the tokens behind the last layer are read.
        adapter: What joins these tokens with a picture's latents.
        num_poses: Poses that a frame sees, its own in the middle.
        pose_range: "signed" maps poses to [-1, 1], as the release does at test time; "unit" leaves
            them in [0, 1], as it does in training.
    """

    # The denoiser takes the poses as further channels of its input.
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
        super().__post_init__()
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


@dataclasses.dataclass(frozen=True)
class DreamPoseAnimator(TokenAnimator):
    """DreamPose; its denoiser reads DensePose coordinates, and pictures are stretched.

    Attributes:
        routings: As of every animator that reads tokens; and `composite` reads the calibrated
            person before the reference's scene in place of the reference.
    """

    config: DreamPoseConfig = dataclasses.field(default_factory=DreamPoseConfig)
    pose_kind: ClassVar[PoseKind] = "uv"
    routings: ClassVar[tuple[Routing, ...]] = (*TokenAnimator.routings, "composite")
    fit: ClassVar[Fit] = "stretch"
    habits: ClassVar[Habits] = Habits(stretch_levels=True)

    def networks(self) -> dict[str, Network]:
        """Describe the networks; "context" holds the tokens of the empty picture."""
        config = self.config
        return {
            "vae": P.abstract(VAE, config.vae),
            "unet": P.abstract(UNet, config.unet),
            "image_encoder": P.abstract(VisionEncoder, config.image_encoder),
            "adapter": P.abstract(EmbeddingAdapter, config.adapter),
            CONTEXT: stored_array(NULL, config.adapter.num_tokens, config.adapter.width),
        }

    @property
    def pose_reach(self) -> int:
        """How many poses before and after its own a frame sees."""
        return self.config.num_poses // 2

    def read_reference(
        self,
        params: Params,
        image: UInt8[np.ndarray, "height width 3"],
        mask: Bool[np.ndarray, "height width"],
        prompt: Int[np.ndarray, "1 tokens"] | None = None,
    ) -> Float[Array, "h w channels"]:
        """Return the reference's latents, from which a run starts."""
        del mask, prompt
        pixels = self.canvas.pictures(image[None]).astype(np.float32)
        return jitted(self, "encode")(params, pixels / np.float32(127.5) - 1)[0]

    def encode_pictures(
        self, params: Params, pictures: Float[Array, "pictures height width 3"]
    ) -> Float[Array, "pictures height width 3"]:
        """Return the pictures themselves: both encoders have their own ranges."""
        del params
        return pictures

    def features(
        self,
        params: Params,
        reading: Float[Array, "h w channels"],
        encoded: Float[Array, "pictures height width 3"],
        timestep: Float[Array, ""] | float = 0.0,
    ) -> Features:
        """Return the context tokens of pictures in [0, 1]."""
        del reading, timestep
        return (self.picture_tokens(params, encoded),)

    def picture_tokens(
        self, params: Params, pictures: Float[Array, "pictures height width 3"]
    ) -> Float[Array, "pictures tokens features"]:
        """Return the context tokens of pictures in [0, 1].

        Numerics: the autoencoder sees grey levels 0...255, as in the original; its posterior's mean
            stands in for the original's sample.
        """
        pixels = centre_pixels(pictures, self.config.image_encoder.image_size)
        tokens = self._bind("image_encoder", params).hidden(pixels)
        return self._bind("adapter", params)(tokens, self.encode(params, 255.0 * pictures))

    def null_tokens(self, params: Params) -> Float[Array, "tokens width"]:
        """Return the tokens of the empty picture, whose axes the original swaps."""
        height, width = self.config.image_size
        return self.picture_tokens(params, jnp.zeros((1, width, height, 3)))[0]

    def stored_null_tokens(self, params: Params) -> Float[np.ndarray, "tokens width"]:
        """Return the tokens of the empty picture in the precision in which they are stored.

        Numerics: in double precision: sums over a picture of one colour round in one direction,
            which the norms of the autoencoder magnify to errors of 1e-3 in single precision.
        """
        with jax.default_device(jax.devices("cpu")[0]), jax.enable_x64(True):
            readers = {name: params[name] for name in _READERS}
            exact = jax.tree.map(lambda x: jnp.asarray(np.asarray(x, np.float64)), readers)
            return np.asarray(jax.jit(self.null_tokens)(exact), np.float32)

    def pose(
        self, params: Params, pictures: Float[Array, "frames height width 2"]
    ) -> Float[Array, "frames h w 2"]:
        """Return coordinates in [0, 1] at the latents' size, of the first pixel of every cell."""
        del params
        cell = self.config.vae.downscale
        small = pictures[:, ::cell, ::cell]
        return 2.0 * small - 1.0 if self.config.pose_range == "signed" else small

    def start(
        self,
        reading: Float[Array, "h w channels"],
        noise: Float[Array, "frames h w channels"],
        timestep: int,
    ) -> Float[Array, "frames h w channels"]:
        """Return the reference's latents under the noise of the first frame, for all frames."""
        signal = np.sqrt(alphas_cumprod(self.config.schedule)).astype(noise.dtype)[timestep]
        still = signal * reading.astype(noise.dtype) + np.sqrt(1 - signal**2) * noise[0]
        return jnp.broadcast_to(still, noise.shape)

    def predict(
        self,
        params: Params,
        reading: Float[Array, "h w channels"],
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: References,
        pose: Float[Array, "batch frames h w pose_channels"],
        *,
        is_guided: bool,
    ) -> tuple[Float[Array, "batch frames h w channels"], ...]:
        """Predict the noise of windows: of nothing, of the reference, of reference and pose.

        A pose that is left out is 0 everywhere, not the empty pose. One call for all three.
        """
        del reading
        context = frame_context(references, latents.shape[1])
        poses, contexts = [pose], [context]
        if is_guided:
            nothing = jnp.zeros_like(pose)
            poses, contexts = (
                [nothing, nothing, pose],
                [null_context(params, context), context, context],
            )
        inputs = [jnp.concatenate([latents, p.astype(latents.dtype)], axis=-1) for p in poses]
        predicted = self._bind("unet", params)(
            jnp.concatenate(inputs), jnp.tile(timesteps, len(poses)),
            context=jnp.concatenate(contexts),
        )  # fmt: skip
        return tuple(jnp.split(predicted, len(poses)))
