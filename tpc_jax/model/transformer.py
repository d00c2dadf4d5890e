"""The spatial transformer: self-attention that can read a reference, context, feed-forward."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.model.attention import Attention, ReferenceTokens
from tpc_jax.model.layers import (
    TRANSFORMER_EPS,
    conv1x1,
    frames_inside,
    frames_outside,
    group_norm,
    make_group_norm,
    make_layer_norm,
)


class GatedLinear(nnx.Module):
    """Linear layer to twice the width, half of it gated by the exact GELU of the other half."""

    def __init__(self, in_features: int, out_features: int, *, rngs: nnx.Rngs):
        self.proj = nnx.Linear(in_features, 2 * out_features, rngs=rngs)

    def __call__(self, x: Float[Array, "*batch channels"]) -> Float[Array, "*batch out"]:
        """Return value * GELU(gate), the value being the first half."""
        # Two products: splitting one product made the CPU backend three times slower.
        kernels = jnp.split(self.proj.kernel[...], 2, axis=-1)
        biases = jnp.split(self.proj.bias[...], 2)
        value, gate = (x @ kernel + bias for kernel, bias in zip(kernels, biases, strict=True))
        return value * jax.nn.gelu(gate, approximate=False)


class FeedForward(nnx.Module):
    """Gated feed-forward layer of four times the width."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        # Index 1 is dropout in the checkpoints' numbering; it has no parameters.
        self.net = nnx.Dict(
            {
                "0": GatedLinear(channels, 4 * channels, rngs=rngs),
                "2": nnx.Linear(4 * channels, channels, rngs=rngs),
            }
        )

    def __call__(self, x: Float[Array, "*batch channels"]) -> Float[Array, "*batch channels"]:
        """Transform each token by itself."""
        return self.net["2"](self.net["0"](x))


class TransformerBlock(nnx.Module):
    """Self-attention, optional cross-attention and feed-forward, each with its own norm.

    A temporal one attends over the frames at each position too, behind self-attention; it shares
    the norm of cross-attention and knows no positions.
    """

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int,
        context_channels: int | None,
        is_temporal: bool = False,
        rngs: nnx.Rngs,
    ):
        def norm():
            return make_layer_norm(channels, rngs=rngs)

        self.norm1 = norm()
        self.attn1 = Attention(channels, num_heads=num_heads, rngs=rngs)
        self.has_context = context_channels is not None
        if context_channels is not None:
            self.norm2 = norm()
            self.attn2 = Attention(
                channels, num_heads=num_heads, context_channels=context_channels, rngs=rngs
            )
        self.is_temporal = is_temporal
        if is_temporal:
            self.tem_attn = Attention(channels, num_heads=num_heads, rngs=rngs)
        self.norm3 = norm()
        self.ff = FeedForward(channels, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "images tokens channels"],
        context: Float[Array, "images ctx_tokens ctx_channels"] | None,
        references: ReferenceTokens | None,
        num_frames: int = 1,
    ) -> tuple[Float[Array, "images tokens channels"], Float[Array, "images tokens channels"]]:
        """Return the transformed tokens and the normed tokens that a denoiser can read."""
        normed = self.norm1(x)
        x = x + (self.attn1(normed) if references is None else self.attn1.read(normed, references))
        if self.is_temporal:
            sequences = frames_inside(self.norm2(x), num_frames)
            x = x + frames_outside(self.tem_attn(sequences), x.shape)
        if self.has_context:
            x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x)), normed


class SpatialTransformer(nnx.Module):
    """One transformer block over the positions of each picture, with a residual connection."""

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int,
        context_channels: int | None,
        num_groups: int,
        is_temporal: bool = False,
        rngs: nnx.Rngs,
    ):
        self.norm = make_group_norm(channels, num_groups, eps=TRANSFORMER_EPS, rngs=rngs)
        self.proj_in = conv1x1(channels, channels, rngs=rngs)
        block = TransformerBlock(
            channels, num_heads=num_heads, context_channels=context_channels,
            is_temporal=is_temporal, rngs=rngs,
        )  # fmt: skip
        self.transformer_blocks = nnx.List([block])
        self.proj_out = conv1x1(channels, channels, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "images h w channels"],
        context: Float[Array, "images ctx_tokens ctx_channels"] | None = None,
        references: ReferenceTokens | None = None,
        num_frames: int = 1,
    ) -> tuple[Float[Array, "images h w channels"], Float[Array, "images tokens channels"]]:
        """Return the transformed pictures and the tokens for a denoiser to read."""
        images, height, width, channels = x.shape
        tokens = self.proj_in(group_norm(self.norm, x)).reshape(images, height * width, channels)
        tokens, normed = self.transformer_blocks[0](tokens, context, references, num_frames)
        return self.proj_out(tokens.reshape(x.shape)) + x, normed


class NormedTokens(nnx.Module):
    """The beginning of a transformer, up to the tokens that a denoiser reads.

    The last transformer of an appearance encoder has only these layers, and changes nothing.
    """

    def __init__(self, channels: int, *, num_groups: int, rngs: nnx.Rngs):
        self.norm = make_group_norm(channels, num_groups, eps=TRANSFORMER_EPS, rngs=rngs)
        self.proj_in = conv1x1(channels, channels, rngs=rngs)
        norm1 = make_layer_norm(channels, rngs=rngs)
        self.transformer_blocks = nnx.List([nnx.Dict(norm1=norm1)])

    def __call__(
        self, x: Float[Array, "images h w channels"], *_
    ) -> tuple[Float[Array, "images h w channels"], Float[Array, "images tokens channels"]]:
        """Return the pictures as they are and the tokens for a denoiser to read."""
        tokens = self.proj_in(group_norm(self.norm, x)).reshape(x.shape[0], -1, x.shape[-1])
        return x, self.transformer_blocks[0]["norm1"](tokens)
