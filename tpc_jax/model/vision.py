"""The vision encoder: a picture becomes patch tokens, or one embedding, for cross-attention."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.model.attention import attend
from tpc_jax.model.clip_layers import ClipLayers
from tpc_jax.model.config import VisionConfig
from tpc_jax.model.layers import make_layer_norm


class Embeddings(nnx.Module):
    """Patches as tokens behind a token for the whole picture, with their positions."""

    def __init__(self, config: VisionConfig, *, rngs: nnx.Rngs):
        patch = (config.patch_size, config.patch_size)
        self.class_embedding = nnx.Param(jnp.zeros(config.width))
        self.patch_embedding = nnx.Conv(
            3, config.width, patch, strides=patch, padding="VALID", use_bias=False, rngs=rngs
        )
        self.position_embedding = nnx.Embed(config.num_tokens, config.width, rngs=rngs)

    def __call__(
        self, pixels: Float[Array, "images height width 3"]
    ) -> Float[Array, "images tokens features"]:
        """Cut pictures into tokens, row-major, the class token first."""
        patches = self.patch_embedding(pixels)
        patches = patches.reshape(len(pixels), -1, patches.shape[-1])
        whole = jnp.broadcast_to(
            self.class_embedding[...], (len(pixels), 1, patches.shape[-1])
        ).astype(patches.dtype)
        tokens = jnp.concatenate([whole, patches], axis=1)
        return tokens + self.position_embedding(jnp.arange(tokens.shape[1]))


class VisionEncoder(nnx.Module):
    """CLIP's vision transformer and, where the config has one, its projection without bias."""

    def __init__(self, config: VisionConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.embeddings = Embeddings(config, rngs=rngs)
        # The published files spell it so.
        self.pre_layrnorm = make_layer_norm(config.width, rngs=rngs)
        self.encoder = ClipLayers(config, attend, rngs=rngs)
        self.post_layernorm = make_layer_norm(config.width, rngs=rngs)
        if config.projection_width is not None:
            self.visual_projection = nnx.Linear(
                config.width, config.projection_width, use_bias=False, rngs=rngs
            )

    def hidden(
        self, pixels: Float[Array, "images height width 3"]
    ) -> Float[Array, "images tokens features"]:
        """Return the features of every token behind the last layer, not normed.

        Args:
            pixels: Square pictures of the config's size, as `conditioning.clip_pixels` makes them.

        Raises:
            ValueError: The pictures have another size.

        Source: transformers `CLIPVisionModel`, `last_hidden_state`.
        """
        side = self.config.image_size
        if pixels.shape[1:3] != (side, side):
            raise ValueError(f"pixels must have size {(side, side)}, got {pixels.shape[1:3]}")
        tokens = self.embeddings(pixels.astype(self.embeddings.patch_embedding.kernel.dtype))
        return self.encoder(self.pre_layrnorm(tokens))

    def project(
        self, tokens: Float[Array, "images *tokens features"]
    ) -> Float[Array, "images *tokens projection"]:
        """Return the projection of what `hidden` returned, token by token.

        Source: CLIP does so with the class token only, DisCo with every token.
        """
        return self.visual_projection(self.post_layernorm(tokens))

    def __call__(
        self, pixels: Float[Array, "images height width 3"]
    ) -> Float[Array, "images projection"]:
        """Return the projected embedding of each picture, of any length.

        Args:
            pixels: As for `hidden`.

        Source: transformers `CLIPVisionModelWithProjection`, `image_embeds`.
        """
        return self.project(self.hidden(pixels)[:, 0])
