"""DreamPose's adapter: CLIP's tokens and a picture's latents become one cross-attention context."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.model.config import AdapterConfig


def _identity(key, shape, dtype):
    del key
    return jnp.eye(*shape, dtype=dtype)


class EmbeddingAdapter(nnx.Module):
    """Two linear layers: latents to tokens, and from all tokens to as many as CLIP has.

    In training the second one starts as the identity on CLIP's tokens.
    """

    def __init__(self, config: AdapterConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.vae2clip = nnx.Linear(config.num_pooled, config.width, rngs=rngs)
        count = config.num_tokens + config.latent_channels
        self.linear1 = nnx.Linear(count, config.num_tokens, kernel_init=_identity, rngs=rngs)

    def __call__(
        self,
        tokens: Float[Array, "pictures tokens width"],
        latents: Float[Array, "pictures h w channels"],
    ) -> Float[Array, "pictures tokens width"]:
        """Return the context.

        Args:
            tokens: The vision encoder's tokens behind its last layer, not normed.
            latents: Scaled latents of the picture; each channel becomes one token.

        Raises:
            ValueError: The latents have another area than the adapter is made for.

        Source: DreamPose `unet_dual_encoder.py`, `Embedding_Adapter`.
        """
        pooled = nnx.max_pool(latents, (2, 2), strides=(2, 2))
        cells = pooled.reshape(len(pooled), -1, pooled.shape[-1]).swapaxes(1, 2)
        if cells.shape[-1] != self.config.num_pooled:
            raise ValueError(
                f"latents must have {self.config.num_pooled} cells after pooling, "
                f"got {cells.shape[-1]} of latents {latents.shape[1:3]}"
            )
        dtype = self.vae2clip.kernel.dtype
        added = self.vae2clip(cells.astype(dtype))
        everything = jnp.concatenate([tokens.astype(dtype), added], axis=1)
        return self.linear1(everything.swapaxes(1, 2)).swapaxes(1, 2)
