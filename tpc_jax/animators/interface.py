"""What every animator offers, so that calibration, propagation and the sampler serve them all.

An animator is a set of pure functions closed over a configuration; parameters are arguments.
"""

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree, UInt8

from tpc_jax.animators.references import Features
from tpc_jax.conditioning.canvas import Fit
from tpc_jax.conditioning.masks import Routing
from tpc_jax.conditioning.pose_pictures import PoseKind
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.params import Params
from tpc_jax.sampler.schedule import ScheduleConfig


@runtime_checkable  # the type checks of the tests ask for it
class Animator(Protocol):
    """One system: its networks, their conditions and its defaults."""

    @property
    def config(self) -> Any:
        """Sizes and defaults of the networks."""
        ...

    @property
    def features_depend_on_t(self) -> bool:
        """Whether reference features must be encoded anew at every step."""
        ...

    @property
    def pose_kind(self) -> PoseKind:
        """What a pose picture shows: house colours, a rendering, or DensePose coordinates."""
        ...

    @property
    def routings(self) -> tuple[Routing, ...]:
        """What can be read of the calibrated pictures; the first one is the default."""
        ...

    @property
    def fit(self) -> Fit:
        """How pictures come onto the canvas."""
        ...

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the canvas in pixels."""
        ...

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of pictures as they are read."""
        ...

    @property
    def pose_channels(self) -> int:
        """Channels of a pose picture."""
        ...

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one frame's latents."""
        ...

    @property
    def token_grids(self) -> tuple[tuple[int, int], ...]:
        """Token grid of each reader: the transformers in execution order, or one context."""
        ...

    @property
    def reads(self) -> tuple[bool, ...]:
        """Which of the readers read reference features."""
        ...

    @property
    def schedule(self) -> ScheduleConfig:
        """The diffusion process."""
        ...

    @property
    def window_length(self) -> int:
        """Frames denoised together."""
        ...

    @property
    def window_overlap(self) -> int:
        """Frames that neighbouring windows share."""
        ...

    @property
    def num_steps(self) -> int:
        """Default number of denoising steps."""
        ...

    @property
    def guidance_scale(self) -> float | tuple[float, ...]:
        """Default weight of classifier-free guidance, one per condition; 1 means off."""
        ...

    def with_reference(
        self,
        params: Params,
        image: UInt8[np.ndarray, "height width 3"],
        mask: Bool[np.ndarray, "height width"] | None = None,
    ) -> Params:
        """Return the parameters with what the networks read of the whole reference as it came.

        Args:
            params: Parameters of all networks.
            image: The reference.
            mask: Where its people are.
        """
        ...

    def read_pictures(
        self,
        images: UInt8[np.ndarray, "*batch height width 3"],
        masks: Bool[np.ndarray, "*batch height width"] | UInt8[np.ndarray, "*batch height width"],
    ) -> np.ndarray:
        """Return pictures as `prepare` takes them, uint8 or numbers, on the host.

        Args:
            images: The reference or calibrated pictures at their full size.
            masks: Where the people are in them.
        """
        ...

    def prepare(
        self, params: Params, images: Float[Array, "pictures height width 3"]
    ) -> Float[Array, "pictures *_shape"]:
        """Return what `reference_features` takes of pictures, grey levels in [0, 1]."""
        ...

    def encode(
        self, params: Params, images: Float[Array, "images height width 3"]
    ) -> Float[Array, "images h w channels"]:
        """Return the latents of pictures in [-1, 1]."""
        ...

    def decode(
        self, params: Params, latents: Float[Array, "images h w channels"]
    ) -> Float[Array, "images height width 3"]:
        """Return the pictures, nominally in [-1, 1], of latents."""
        ...

    def pose_features(
        self, params: Params, pose: Float[Array, "frames height width 3"]
    ) -> Float[Array, "frames h w pose_channels"]:
        """Return what is computed once per clip of pose pictures in [0, 1]."""
        ...

    def pose_context(
        self, pose: Float[Array, "frames h w pose_channels"]
    ) -> Float[Array, "frames h w _channels"]:
        """Return the pose features with what a frame sees of those of its neighbours."""
        ...

    def start(
        self,
        params: Params,
        noise: Float[Array, "frames h w channels"],
        timestep: Int[Array, ""] | int,
    ) -> Float[Array, "frames h w channels"]:
        """Return the latents from which a run starts.

        Args:
            params: Parameters of all networks, with the reference.
            noise: Gaussian noise of every frame.
            timestep: The training index that is visited first.
        """
        ...

    def reference_features(
        self,
        params: Params,
        latents: Float[Array, "pictures *_shape"],
        timestep: Float[Array, ""] | float,
    ) -> Features:
        """Return what the denoiser reads of pictures, given as `prepare` returns them."""
        ...

    def control(
        self,
        params: Params,
        latents: Float[Array, "frames h w channels"],
        timestep: Float[Array, ""],
        pose: Float[Array, "frames h w pose_channels"],
    ) -> PyTree[Float[Array, "frames *_shape"]]:
        """Return what the motion adds to each frame at one step; frames stand alone."""
        ...

    def denoise(
        self,
        params: Params,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: tuple[ReferenceTokens | None, ...] | None,
        control: PyTree[Float[Array, "batch frames *_shape"]],
    ) -> Float[Array, "batch frames h w channels"]:
        """Return the network's prediction for windows of frames.

        Args:
            params: Parameters of all networks.
            latents: Noisy latents.
            timesteps: Training indices, one per window.
            references: What each transformer reads; None is the unconditional half of guidance.
            control: What `control` returned for these frames.
        """
        ...

    def denoise_branches(
        self,
        params: Params,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: tuple[ReferenceTokens | None, ...],
        control: PyTree[Float[Array, "batch frames *_shape"]],
    ) -> tuple[Float[Array, "batch frames h w channels"], ...]:
        """Return all predictions that guidance mixes, the unconditional one first.

        Each has one condition more than the one before it; `denoise` with references returns the
        last one, and without references the first one. What they have in common may run once.
        """
        ...


@runtime_checkable
class ReferenceReader(Animator, Protocol):
    """An animator whose reading of the reference can be looked at."""

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
        """Return what a few points of one frame attend to.

        Args:
            params: As for `denoise`.
            latents: As for `denoise`.
            timesteps: As for `denoise`.
            references: As for `denoise`.
            control: As for `denoise`.
            image: Number of the frame among batch times frames.
            points: (x, y) as shares of the frame's width and height, in [0, 1).

        Returns:
            Per transformer the weights of the frame's own tokens and of each part that is read,
            averaged over heads; None where nothing is read.
        """
        ...
