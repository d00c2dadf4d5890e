"""The text encoder: token ids become the context that the denoiser cross-attends to."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from tpc_jax.model.attention import attend_causally
from tpc_jax.model.config import TextConfig

TEXT_EPS = 1e-5


class CausalAttention(nnx.Module):
    """Multi-head attention to the tokens so far, with the projection names of CLIP."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        def projection():
            return nnx.Linear(config.width, config.width, rngs=rngs)

        self.num_heads = config.num_heads
        self.q_proj, self.k_proj, self.v_proj = projection(), projection(), projection()
        self.out_proj = projection()

    def __call__(self, x: Float[Array, "batch tokens width"]) -> Float[Array, "batch tokens width"]:
        """Mix the tokens of each text."""
        heads = (p(x).reshape(*x.shape[:2], self.num_heads, -1) for p in self._inputs())
        return self.out_proj(attend_causally(*heads).reshape(x.shape))

    def _inputs(self):
        return self.q_proj, self.k_proj, self.v_proj


class FeedForward(nnx.Module):
    """Two linear layers around CLIP's quick GELU, x * sigmoid(1.702 x)."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        self.fc1 = nnx.Linear(config.width, config.mlp_width, rngs=rngs)
        self.fc2 = nnx.Linear(config.mlp_width, config.width, rngs=rngs)

    def __call__(self, x: Float[Array, "batch tokens width"]) -> Float[Array, "batch tokens width"]:
        """Transform each token by itself."""
        hidden = self.fc1(x)
        return self.fc2(hidden * jax.nn.sigmoid(1.702 * hidden))


class TextLayer(nnx.Module):
    """Attention and feed-forward, each behind a norm and with a residual connection."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        self.layer_norm1 = nnx.LayerNorm(config.width, epsilon=TEXT_EPS, rngs=rngs)
        self.self_attn = CausalAttention(config, rngs=rngs)
        self.layer_norm2 = nnx.LayerNorm(config.width, epsilon=TEXT_EPS, rngs=rngs)
        self.mlp = FeedForward(config, rngs=rngs)

    def __call__(self, x: Float[Array, "batch tokens width"]) -> Float[Array, "batch tokens width"]:
        """Transform the tokens."""
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Embeddings(nnx.Module):
    """Token and position tables."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        self.token_embedding = nnx.Embed(config.vocab_size, config.width, rngs=rngs)
        self.position_embedding = nnx.Embed(config.max_tokens, config.width, rngs=rngs)

    def __call__(self, ids: Int[Array, "batch tokens"]) -> Float[Array, "batch tokens width"]:
        """Look up the tokens and add the positions."""
        return self.token_embedding(ids) + self.position_embedding(jnp.arange(ids.shape[1]))


class Layers(nnx.Module):
    """The layers under the name that the checkpoint gives them."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        self.layers = nnx.List([TextLayer(config, rngs=rngs) for _ in range(config.num_layers)])


class TextEncoder(nnx.Module):
    """CLIP's text transformer without its pooled output."""

    def __init__(self, config: TextConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.embeddings = Embeddings(config, rngs=rngs)
        self.encoder = Layers(config, rngs=rngs)
        self.final_layer_norm = nnx.LayerNorm(config.width, epsilon=TEXT_EPS, rngs=rngs)

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
        x = self.embeddings(ids)
        for layer in self.encoder.layers:
            x = layer(x)
        return self.final_layer_norm(x)


def empty_prompt(config: TextConfig) -> Int[np.ndarray, "1 tokens"]:
    """Return the ids of the empty prompt: the start token, then end tokens only."""
    ids = np.full((1, config.max_tokens), config.end_token, np.int32)
    ids[0, 0] = config.start_token
    return ids
