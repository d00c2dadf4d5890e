"""The layers that CLIP's text and vision encoders have in common."""

from collections.abc import Callable

import jax
from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.model.config import TextConfig, VisionConfig
from tpc_jax.model.layers import make_layer_norm

Attend = Callable[..., Float[Array, "batch tokens heads head_dim"]]


class ClipAttention(nnx.Module):
    """Multi-head attention with the projection names of CLIP."""

    def __init__(self, config: TextConfig | VisionConfig, attend: Attend, *, rngs: nnx.Rngs):
        def projection():
            return nnx.Linear(config.width, config.width, rngs=rngs)

        self.num_heads = config.num_heads
        self.attend = attend
        self.q_proj, self.k_proj, self.v_proj = projection(), projection(), projection()
        self.out_proj = projection()

    def __call__(self, x: Float[Array, "batch tokens width"]) -> Float[Array, "batch tokens width"]:
        """Mix the tokens of each row."""
        heads = (p(x).reshape(*x.shape[:2], self.num_heads, -1) for p in self._inputs())
        return self.out_proj(self.attend(*heads).reshape(x.shape))

    def _inputs(self):
        return self.q_proj, self.k_proj, self.v_proj


class ClipFeedForward(nnx.Module):
    """Two linear layers around CLIP's quick GELU, x * sigmoid(1.702 x)."""

    def __init__(self, config: TextConfig | VisionConfig, *, rngs: nnx.Rngs):
        self.fc1 = nnx.Linear(config.width, config.mlp_width, rngs=rngs)
        self.fc2 = nnx.Linear(config.mlp_width, config.width, rngs=rngs)

    def __call__(self, x: Float[Array, "batch tokens width"]) -> Float[Array, "batch tokens width"]:
        """Transform each token by itself."""
        hidden = self.fc1(x)
        return self.fc2(hidden * jax.nn.sigmoid(1.702 * hidden))


class ClipLayer(nnx.Module):
    """Attention and feed-forward, each behind a norm and with a residual connection."""

    def __init__(self, config: TextConfig | VisionConfig, attend: Attend, *, rngs: nnx.Rngs):
        self.layer_norm1 = make_layer_norm(config.width, rngs=rngs)
        self.self_attn = ClipAttention(config, attend, rngs=rngs)
        self.layer_norm2 = make_layer_norm(config.width, rngs=rngs)
        self.mlp = ClipFeedForward(config, rngs=rngs)

    def __call__(self, x: Float[Array, "batch tokens width"]) -> Float[Array, "batch tokens width"]:
        """Transform the tokens."""
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class ClipLayers(nnx.Module):
    """The layers under the name that the checkpoint gives them."""

    def __init__(self, config: TextConfig | VisionConfig, attend: Attend, *, rngs: nnx.Rngs):
        self.layers = nnx.List(
            [ClipLayer(config, attend, rngs=rngs) for _ in range(config.num_layers)]
        )

    def __call__(self, x: Float[Array, "batch tokens width"]) -> Float[Array, "batch tokens width"]:
        """Apply one layer after the other."""
        for layer in self.layers:
            x = layer(x)
        return x
