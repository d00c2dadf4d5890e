"""The seam between this package and a system: what an animator is.

Calibration, propagation, windows and samplers know an animator by this class alone. An animator is
a set of pure functions closed over its configuration; parameters are arguments. How to add one:
docs/adding_an_animator.md.
"""

import abc
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree, UInt8

from tpc_jax.animators.habits import Habits
from tpc_jax.conditioning.canvas import Canvas, Fit
from tpc_jax.conditioning.pose_pictures import PoseKind
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.config import Config, UNetConfig, VAEConfig
from tpc_jax.model.params import Network, Params
from tpc_jax.model.unet import reading_transformers, token_grids
from tpc_jax.options import Routing
from tpc_jax.sampler.schedule import ScheduleConfig

# One array of tokens per reader, `[pictures tokens width]`; None where nothing is read.
Features = tuple[Float[Array, "_pictures _tokens _width"] | None, ...]
# What an animator reads of a reference and a prompt; its own kind of tree.
Reading = PyTree[Array]
# What each reader reads in windows.
References = tuple[ReferenceTokens | None, ...]

_Config = TypeVar("_Config", bound="SystemConfig")


@dataclasses.dataclass(frozen=True)
class SystemConfig(Config):
    """Sizes and defaults that every animator has.

    Attributes:
        vae: The autoencoder.
        unet: The denoiser.
        schedule: The diffusion process.
        image_size: Height and width of the pictures in pixels.
        window_length: Frames denoised together.
        window_overlap: Frames that neighbouring windows share.
        guidance_scale: Default weights of classifier-free guidance, one per condition; 1 means off.
        num_steps: Default number of denoising steps.
    """

    vae: VAEConfig = dataclasses.field(default_factory=VAEConfig)
    unet: UNetConfig = dataclasses.field(default_factory=UNetConfig)
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)
    image_size: tuple[int, int] = (512, 512)
    window_length: int = 16
    window_overlap: int = 4
    guidance_scale: tuple[float, ...] = (1.0,)
    num_steps: int = 25

    @classmethod
    def from_dict(cls: type[_Config], values: Mapping[str, Any]) -> _Config:
        """As `Config.from_dict`; one number stands for a square, or for a single scale."""
        values = dict(values)
        if isinstance(side := values.get("image_size"), int):
            values["image_size"] = (side, side)
        if isinstance(scale := values.get("guidance_scale"), int | float):
            values["guidance_scale"] = (float(scale),)
        return super().from_dict(values)

    def __post_init__(self):
        """Check that pictures divide into latent cells."""
        cell = self.vae.downscale
        if any(side < cell or side % cell for side in self.image_size):
            raise ValueError(f"image_size must be multiples of {cell}, got {self.image_size}")


@dataclasses.dataclass(frozen=True)
class Animator(abc.ABC):
    """One system: its networks and how it conditions them.

    Subclasses are frozen dataclasses that give `config` its type. `features` and `predict` and what
    they read are all that a new system must define; the rest has defaults.

    Attributes:
        config: Sizes and defaults.
        pose_kind: What a pose picture shows: house colours, a rendering, a skeleton, or DensePose
            coordinates.
        fit: How pictures come onto the canvas.
        routings: What can be read of the calibrated pictures; the first one is the default.
        encodes_every_step: Whether features depend on the timestep, hence are encoded anew at every
            step.
        habits: How the released sampler treats a clip (`Options.as_published`).
        fixed_size: Whether the networks make pictures of one size only.
    """

    config: Any
    pose_kind: ClassVar[PoseKind]
    fit: ClassVar[Fit] = "letterbox"
    routings: ClassVar[tuple[Routing, ...]] = ("composite", "open", "masked", "union", "replace")
    encodes_every_step: ClassVar[bool] = False
    habits: ClassVar[Habits] = Habits()
    fixed_size: ClassVar[bool] = False

    @property
    def canvas(self) -> Canvas:
        """The pictures that the networks take and make."""
        return Canvas(self.config.image_size, self.fit)

    @property
    def reading_canvas(self) -> Canvas:
        """The canvas onto which the reference is warped for `read_pictures`."""
        return self.canvas

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one frame's latents."""
        height, width = (side // self.config.vae.downscale for side in self.config.image_size)
        return height, width, self.config.vae.latent_channels

    @property
    def pose_reach(self) -> int:
        """How many poses before and after its own a frame sees, their features concatenated.

        The oldest comes first; its own pose stands for those beyond the clip's ends.
        """
        return 0

    @property
    @abc.abstractmethod
    def readers(self) -> tuple[tuple[int, int] | None, ...]:
        """Token grid of each reader of features, in order; None where it reads nothing."""

    @abc.abstractmethod
    def networks(self) -> dict[str, Network]:
        """Return the networks that the parameters fill, by name; stored arrays count too."""

    def read_reference(
        self,
        params: Params,
        image: UInt8[np.ndarray, "height width 3"],
        mask: Bool[np.ndarray, "height width"],
        prompt: Int[np.ndarray, "1 tokens"] | None = None,
    ) -> Reading:
        """Return what is read once per clip of the whole reference and of a prompt: nothing.

        Args:
            params: Parameters of all networks.
            image: The reference as it came.
            mask: Where its people are.
            prompt: Tokens of a text; None is the empty one.

        Raises:
            UserError: Something that the system must know is missing.
        """
        del params, image, mask, prompt
        return ()

    def read_pictures(
        self,
        images: UInt8[np.ndarray, "*batch height width 3"],
        masks: Bool[np.ndarray, "*batch height width"] | UInt8[np.ndarray, "*batch height width"],
    ) -> np.ndarray:
        """Return pictures as `encode_pictures` takes them, on the host: those on the canvas.

        Args:
            images: The reference at its full size, or calibrated pictures on `reading_canvas`.
            masks: Where the people are in them.

        Returns:
            Grey levels, or numbers that are pixel values already.
        """
        del masks
        return self.canvas.pictures(images)

    def encode_pictures(
        self, params: Params, pictures: Float[Array, "pictures height width 3"]
    ) -> Float[Array, "pictures *_shape"]:
        """Return what is encoded once per clip of pictures in [0, 1]: their latents."""
        return self.encode(params, 2.0 * pictures - 1.0)

    @abc.abstractmethod
    def features(
        self,
        params: Params,
        reading: Reading,
        encoded: Float[Array, "pictures *_shape"],
        timestep: Float[Array, ""] | float,
    ) -> Features:
        """Return what the denoiser reads of pictures.

        Args:
            params: Parameters of all networks.
            reading: What `read_reference` returned.
            encoded: What `encode_pictures` returned.
            timestep: Training index; without meaning unless `encodes_every_step`.
        """

    def pose(
        self, params: Params, pictures: Float[Array, "frames height width _colors"]
    ) -> Float[Array, "frames h w _channels"]:
        """Return what is computed once per clip of pose pictures in [0, 1]: the pose net's."""
        return self._bind("pose_net", params)(pictures)

    def start(
        self,
        reading: Reading,
        noise: Float[Array, "frames h w channels"],
        timestep: int,
    ) -> Float[Array, "frames h w channels"]:
        """Return the latents from which a run starts: the noise itself.

        Args:
            reading: What `read_reference` returned.
            noise: Gaussian noise of every frame.
            timestep: The training index that is visited first.
        """
        del reading, timestep
        return noise

    @abc.abstractmethod
    def predict(
        self,
        params: Params,
        reading: Reading,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: References,
        pose: Float[Array, "batch frames h w pose_channels"],
        *,
        is_guided: bool,
    ) -> tuple[Float[Array, "batch frames h w channels"], ...]:
        """Return the network's predictions for windows of frames.

        Args:
            params: Parameters of all networks.
            reading: What `read_reference` returned.
            latents: Noisy latents.
            timesteps: Training indices, one per window.
            references: What each reader reads.
            pose: Pose features of these frames, with those within `pose_reach`.
            is_guided: Whether guidance mixes predictions.

        Returns:
            All predictions that guidance mixes, the unconditional one first, each with one
            condition more than the one before it; the last one alone if it does not.
        """

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

    def _bind(self, name: str, params: Params) -> Any:
        return P.bind(self.networks()[name], params[name])


class ReferenceAttentionAnimator(Animator):
    """An animator whose denoiser reads reference features in its self-attention.

    Subclasses say with which arguments the denoiser is called.
    """

    @property
    def readers(self) -> tuple[tuple[int, int] | None, ...]:
        """Token grid of each transformer in execution order; None where it reads nothing."""
        grids = token_grids(self.config.unet, *self.latent_shape[:2])
        reads = reading_transformers(self.config.unet)
        return tuple(grid if does else None for grid, does in zip(grids, reads, strict=True))

    @abc.abstractmethod
    def _inputs(self, params, reading, latents, timesteps, references, pose) -> dict[str, Any]:
        """Return the arguments with which the denoiser is called."""

    def _without(self, reading: Reading, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of the unconditional half: nothing is read."""
        del reading
        return {**inputs, "references": None}

    def predict(
        self,
        params: Params,
        reading: Reading,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: References,
        pose: Float[Array, "batch frames h w pose_channels"],
        *,
        is_guided: bool,
    ) -> tuple[Float[Array, "batch frames h w channels"], ...]:
        """Predict for windows, by one call for each half."""
        inputs = self._inputs(params, reading, latents, timesteps, references, pose)
        unet = self._bind("unet", params)
        if not is_guided:
            return (unet(**inputs),)
        return unet(**self._without(reading, inputs)), unet(**inputs)

    def attention_weights(
        self,
        params: Params,
        reading: Reading,
        latents: Float[Array, "batch frames h w channels"],
        timesteps: Float[Array, " batch"],
        references: References,
        pose: Float[Array, "batch frames h w pose_channels"],
        *,
        image: int,
        points: Float[np.ndarray, "points 2"],
    ) -> tuple[tuple[Float[Array, "points _keys"], ...] | None, ...]:
        """Return what a few points of one frame attend to; arguments as for `predict`.

        Args:
            params: Parameters of all networks.
            reading: What `read_reference` returned.
            latents: Noisy latents.
            timesteps: Training indices, one per window.
            references: What each reader reads.
            pose: Pose features of these frames.
            image: Number of the frame among batch times frames.
            points: (x, y) as shares of the frame's width and height, in [0, 1).

        Returns:
            Per transformer the weights of the frame's own tokens and of each part that is read,
            averaged over heads; None where nothing is read.
        """
        inputs = self._inputs(params, reading, latents, timesteps, references, pose)
        return self._bind("unet", params).attention_weights(**inputs, image=image, points=points)


# The name under which arrays are stored that are no network's, such as a null context.
CONTEXT = "context"


def stored_array(name: str, *shape: int) -> Network:
    """Describe an array that is stored beside the networks."""
    return Network(None, {name: jax.ShapeDtypeStruct(shape, jnp.float32)})


def repeated(
    context: Float[Array, "tokens width"], count: int
) -> Float[Array, "{count} tokens width"]:
    """Return one context for each of several rows."""
    return jnp.broadcast_to(context, (count, *context.shape))


@functools.lru_cache(maxsize=64)
def jitted(animator: Animator, method: str) -> Callable[..., Any]:
    """Compile one of an animator's methods, once for all who call it."""
    return jax.jit(getattr(animator, method))
