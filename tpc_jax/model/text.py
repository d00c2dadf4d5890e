"""The text encoder: token ids become the context that the denoiser cross-attends to."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from tpc_jax.model.attention import attend_causally
from tpc_jax.model.clip_layers import ClipLayers
from tpc_jax.model.config import TextConfig
from tpc_jax.model.layers import make_layer_norm


class Embeddings(nnx.Module):
    """Token and position tables."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        self.token_embedding = nnx.Embed(config.vocab_size, config.width, rngs=rngs)
        self.position_embedding = nnx.Embed(config.max_tokens, config.width, rngs=rngs)

    def __call__(self, ids: Int[Array, "batch tokens"]) -> Float[Array, "batch tokens width"]:
        """Look up the tokens and add the positions."""
        return self.token_embedding(ids) + self.position_embedding(jnp.arange(ids.shape[1]))


class TextEncoder(nnx.Module):
    """CLIP's text transformer without its pooled output."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.embeddings = Embeddings(config, rngs=rngs)
        self.encoder = ClipLayers(config, attend_causally, rngs=rngs)
        self.final_layer_norm = make_layer_norm(config.width, rngs=rngs)

    def __call__(self, ids: Int[Array, "batch tokens"]) -> Float[Array, "batch tokens width"]:
        """Return the features of every token behind the final norm.

        Args:
            ids: Token ids with start, end and padding, as `io.tokenizer` or `empty_prompt` make
                them. An id outside the table gives NaN.

        Raises:
            ValueError: There are more tokens than positions.

        Source: transformers `CLIPTextModel`, `last_hidden_state`.
        """
        if ids.shape[1] > self.config.max_tokens:
            raise ValueError(
                f"ids must have at most {self.config.max_tokens} tokens, got {ids.shape[1]}"
            )
        return self.final_layer_norm(self.encoder(self.embeddings(ids)))


def empty_prompt(config: TextConfig) -> Int[np.ndarray, "1 tokens"]:
    """Return the ids of the empty prompt: the start token, then end tokens only."""
    ids = np.full((1, config.max_tokens), config.end_token, np.int32)
    ids[0, 0] = config.start_token
    return ids
