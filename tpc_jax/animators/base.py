"""What all animators of this package have in common: their sizes, defaults and autoencoder."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree, UInt8

from tpc_jax.conditioning.canvas import Fit, fit_images
from tpc_jax.conditioning.masks import Routing
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.params import Network, Params
from tpc_jax.model.unet import reading_transformers, token_grids
from tpc_jax.sampler.schedule import ScheduleConfig


class ConfiguredAnimator:
    """An animator whose sizes and defaults stand in its configuration.

    Subclasses are frozen dataclasses with a field `config` and say which networks it describes.
    """

    config: Any
    routings: ClassVar[tuple[Routing, ...]] = ("composite", "open", "masked", "union", "replace")
    fit: ClassVar[Fit] = "letterbox"

    @property
    def networks(self) -> Mapping[str, Network]:
        """The networks that the configuration describes."""
        raise NotImplementedError

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the canvas in pixels."""
        size = self.config.image_size
        return size if isinstance(size, tuple) else (size, size)

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of pictures as they are read: those of the canvas."""
        return self.image_size

    @property
    def pose_channels(self) -> int:
        """Channels of a pose picture."""
        return 3

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one frame's latents."""
        height, width = (side // self.config.vae.downscale for side in self.image_size)
        return height, width, self.config.vae.latent_channels

    @property
    def token_grids(self) -> tuple[tuple[int, int], ...]:
        """Token grid of each transformer in execution order."""
        return token_grids(self.config.unet, *self.latent_shape[:2])

    @property
    def reads(self) -> tuple[bool, ...]:
        """Which of the transformers read reference features."""
        return reading_transformers(self.config.unet)

    @property
    def schedule(self) -> ScheduleConfig:
        """The diffusion process."""
        return self.config.schedule

    @property
    def window_length(self) -> int:
        """Frames denoised together."""
        return self.config.window_length

    @property
    def window_overlap(self) -> int:
        """Frames that neighbouring windows share."""
        return self.config.window_overlap

    @property
    def num_steps(self) -> int:
        """Default number of denoising steps."""
        return self.config.num_steps

    @property
    def guidance_scale(self) -> float | tuple[float, ...]:
        """Default weight of classifier-free guidance, one per condition."""
        return self.config.guidance_scale

    def with_reference(
        self,
        params: Params,
        image: UInt8[np.ndarray, "height width 3"],
        mask: Bool[np.ndarray, "height width"] | None = None,
    ) -> Params:
        """Return the parameters unchanged: nothing but its latents is read of the reference."""
        del image, mask
        return params

    def read_pictures(
        self,
        images: UInt8[np.ndarray, "*batch height width 3"],
        masks: Bool[np.ndarray, "*batch height width"] | UInt8[np.ndarray, "*batch height width"],
    ) -> np.ndarray:
        """Return pictures on the canvas, grey levels."""
        del masks
        return fit_images(images, self.image_size, fit=self.fit)

    def prepare(
        self, params: Params, images: Float[Array, "pictures height width 3"]
    ) -> Float[Array, "pictures h w channels"]:
        """Return the latents of pictures in [0, 1]."""
        return self.encode(params, 2.0 * images - 1.0)

    def pose_context(
        self, pose: Float[Array, "frames h w pose_channels"]
    ) -> Float[Array, "frames h w pose_channels"]:
        """Return the pose features themselves: a frame sees its own pose."""
        return pose

    def start(
        self,
        params: Params,
        noise: Float[Array, "frames h w channels"],
        timestep: Int[Array, ""] | int,
    ) -> Float[Array, "frames h w channels"]:
        """Return the noise itself."""
        del params, timestep
        return noise

    def encode(
        self, params: Params, images: Float[Array, "images height width 3"]
    ) -> Float[Array, "images h w channels"]:
        """Return the latents of pictures in [-1, 1]: the posterior's mean, scaled."""
        return self._bind("vae", params).encode(images)

    def decode(
        self, params: Params, latents: Float[Array, "images h w channels"]
    ) -> Float[Array, "images height width 3"]:
        """Return the pictures, nominally in [-1, 1], of latents."""
        return self._bind("vae", params).decode(latents)

    def pose_features(
        self, params: Params, pose: Float[Array, "frames height width 3"]
    ) -> Float[Array, "frames h w channels"]:
        """Return the features of pose pictures in [0, 1]."""
        return self._bind("pose_net", params)(pose)

    def control(
        self,
        params: Params,
        latents: Float[Array, "frames h w channels"],
        timestep: Float[Array, ""],
        pose: Float[Array, "frames h w pose_channels"],
    ) -> Float[Array, "frames h w pose_channels"]:
        """Return the pose features themselves, which serve all steps and both halves."""
        del params, latents, timestep
        return pose

    def _bind(self, name: str, params: Params):
        return P.bind(self.networks[name], params[name])


class ReferenceAttentionAnimator(ConfiguredAnimator):
    """An animator whose denoiser reads reference features in its self-attention."""

    def denoise(
        self,
        params: Params,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: tuple[ReferenceTokens | None, ...] | None,
        control: PyTree[Float[Array, "batch frames *_shape"]],
    ) -> Float[Array, "batch frames h w channels"]:
        """Predict for windows; None for references is the unconditional half."""
        inputs = self._inputs(params, latents, timesteps, references, control)
        return self._bind("unet", params)(**inputs)

    def denoise_branches(
        self,
        params: Params,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: tuple[ReferenceTokens | None, ...],
        control: PyTree[Float[Array, "batch frames *_shape"]],
    ) -> tuple[Float[Array, "batch frames h w channels"], ...]:
        """Predict for windows without and with references, by two calls."""
        unconditional = self.denoise(params, latents, timesteps, None, control)
        return unconditional, self.denoise(params, latents, timesteps, references, control)

    def attention_weights(
        self,
        params: Params,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: tuple[ReferenceTokens | None, ...],
        control: PyTree[Float[Array, "batch frames *_shape"]],
        image: int,
        points: Float[np.ndarray, "points 2"],
    ) -> tuple[tuple[Float[Array, "points _keys"], ...] | None, ...]:
        """Return what a few points of one frame attend to (see `UNet.attention_weights`)."""
        inputs = self._inputs(params, latents, timesteps, references, control)
        return self._bind("unet", params).attention_weights(**inputs, image=image, points=points)

    def _inputs(self, params, latents, timesteps, references, control) -> dict[str, Any]:
        """Return the arguments with which the denoiser is called."""
        raise NotImplementedError
