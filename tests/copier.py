"""A whole animator in a few dozen lines: it shows what it reads, so any slip in the wiring shows.

Latents are pixels, and every token reads its own place in the references.
"""

import dataclasses
from typing import ClassVar

import jax.numpy as jnp

from tpc_jax.animators.base import Animator
from tpc_jax.conditioning.pose_pictures import PoseKind
from tpc_jax.model.attention import picture_of_each
from tpc_jax.model.config import Config
from tpc_jax.sampler.schedule import ScheduleConfig

PATCH = 4


@dataclasses.dataclass(frozen=True)
class CopierConfig(Config):
    """Sizes and defaults; every animator has these."""

    schedule: ScheduleConfig = dataclasses.field(
        default_factory=lambda: ScheduleConfig(prediction_type="sample")
    )
    image_size: tuple[int, int] = (32, 32)
    window_length: int = 4
    window_overlap: int = 2
    guidance_scale: tuple[float, ...] = (1.0,)
    num_steps: int = 2


@dataclasses.dataclass(frozen=True)
class Copier(Animator):
    """Animates by copying; it has no parameters."""

    config: CopierConfig = dataclasses.field(default_factory=CopierConfig)
    pose_kind: ClassVar[PoseKind] = "house"

    @property
    def readers(self):
        height, width = self.config.image_size
        return ((height // PATCH, width // PATCH),)

    @property
    def latent_shape(self):
        return (*self.readers[0], 3 * PATCH**2)

    def networks(self):
        return {}

    def encode(self, params, images):
        height, width = self.readers[0]
        blocks = images.reshape(-1, height, PATCH, width, PATCH, 3).swapaxes(2, 3)
        return blocks.reshape(-1, *self.latent_shape)

    def decode(self, params, latents):
        blocks = latents.reshape(*latents.shape[:3], PATCH, PATCH, 3).swapaxes(2, 3)
        return blocks.reshape(-1, *self.config.image_size, 3)

    def pose(self, params, pictures):
        return self.encode(params, pictures)

    def features(self, params, reading, encoded, timestep):
        tokens = encoded.reshape(len(encoded), -1, encoded.shape[-1])
        # Hidden tokens are left out on the way, so each says where it comes from.
        places = jnp.broadcast_to(jnp.arange(tokens.shape[1])[:, None], (*tokens.shape[:2], 1))
        return (jnp.concatenate([tokens, places], axis=-1),)

    def predict(self, params, reading, latents, timesteps, references, pose, *, is_guided):
        (read,) = references
        images, queries = latents.shape[0] * latents.shape[1], latents.shape[2] * latents.shape[3]

        def keys_of(parts):
            parts = [picture_of_each(x, images, read.picture_of_frame) for x in parts]
            return jnp.concatenate(parts, axis=1)

        keys = keys_of(read.tokens)
        is_read = jnp.arange(queries)[:, None] == keys[:, None, :, -1]
        if read.query_bits is not None:
            query_bits = read.query_bits.reshape(images, queries, 1)
            is_read &= (query_bits & keys_of(read.key_bits)[:, None]) != 0
        count = jnp.maximum(is_read.sum(-1, keepdims=True), 1)
        copied = (is_read @ keys[..., :-1] / count).reshape(latents.shape)
        return (jnp.zeros_like(latents), copied) if is_guided else (copied,)
