"""Attention of pictures over their own tokens and over reference tokens.

This is the only file that calls an attention kernel. Which query may read which key is given by
two bit vectors, never by a (queries x keys) array: a query reads a key when they share a bit.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, UInt32

from tpc_jax.conditioning.masks import EVERYONE

# Logits held at once by the XLA path: what stays in a CPU's cache, what an accelerator can hold.
CPU_LOGITS = 1 << 19
ACCELERATOR_LOGITS = 1 << 28


class ReferenceTokens(NamedTuple):
    """What one self-attention layer reads beside its own tokens.

    A part has one picture for all frames, one per frame, or any number of pictures that
    `picture_of_frame` gives to the frames; each picture is projected once.

    Attributes:
        tokens: Tokens of the pictures of each part (reference, calibrated person 1..P).
        key_bits: Per part the bits of its keys, or None where every query may read every key.
        query_bits: Bits of the queries, or None where no part is restricted.
        picture_of_frame: The picture that each frame reads, in every part with more than one;
            None: the parts have one picture per frame.
    """

    tokens: tuple[Float[Array, "batch _pictures ref_tokens channels"], ...]
    key_bits: tuple[UInt32[Array, "batch _pictures ref_tokens"] | None, ...]
    query_bits: UInt32[Array, "batch frames tokens"] | None
    picture_of_frame: Int[Array, "batch frames"] | None = None


def attend(
    query: Float[Array, "images tokens heads head_dim"],
    key: Float[Array, "images keys heads head_dim"],
    value: Float[Array, "images keys heads head_dim"],
    query_bits: UInt32[Array, "images tokens"] | None = None,
    key_bits: UInt32[Array, "images keys"] | None = None,
) -> Float[Array, "images tokens heads head_dim"]:
    """Return softmax attention; a query reads a key when their bits overlap.

    Numerics: softmax in float32. Every query must share a bit with some key: self tokens carry
    `EVERYONE`. On XLA pictures and queries go in blocks, which bounds memory and, on a CPU, keeps
    the logits in cache (three times as fast at 256 x 512 tokens).
    """
    if _use_cudnn(query, query_bits):
        return jax.nn.dot_product_attention(query, key, value, implementation="cudnn")
    images, tokens, heads, _ = query.shape
    budget = CPU_LOGITS if jax.default_backend() == "cpu" else ACCELERATOR_LOGITS
    block = max(1, budget // (heads * key.shape[1]))
    if images * tokens <= block:
        return jax.vmap(_attend_image)(query, key, value, query_bits, key_bits)
    whole = functools.partial(_attend_in_blocks, block=block) if tokens > block else _attend_image
    return jax.lax.map(
        lambda args: whole(*args),
        (query, key, value, query_bits, key_bits),
        batch_size=max(1, block // tokens),
    )


def _use_cudnn(query, query_bits) -> bool:
    if query_bits is not None or jax.default_backend() != "gpu":
        return False
    fits = query.dtype in (jnp.bfloat16, jnp.float16) and query.shape[-1] % 8 == 0
    return fits and query.shape[-1] <= 128


def _attend_image(query, key, value, query_bits, key_bits):
    scaled = query * query.shape[-1] ** -0.5
    logits = jnp.einsum("thd,shd->hts", scaled, key, preferred_element_type=jnp.float32)
    if query_bits is not None:
        # Broadcast compare: XLA fuses it into the softmax, it is never stored.
        visible = (query_bits[:, None] & key_bits[None, :]) != 0
        logits = jnp.where(visible, logits, jnp.finfo(logits.dtype).min)
    weights = jax.nn.softmax(logits, axis=-1).astype(value.dtype)
    return jnp.einsum("hts,shd->thd", weights, value)


def _attend_in_blocks(query, key, value, query_bits, key_bits, *, block: int):
    """Attend for one picture, `block` queries at a time."""
    return jax.lax.map(
        lambda q: _attend_image(
            q[0][None], key, value, None if q[1] is None else q[1][None], key_bits
        )[0],
        (query, query_bits),
        batch_size=block,
    )


def attend_causally(
    query: Float[Array, "batch tokens heads head_dim"],
    key: Float[Array, "batch tokens heads head_dim"],
    value: Float[Array, "batch tokens heads head_dim"],
) -> Float[Array, "batch tokens heads head_dim"]:
    """Return softmax attention of each token to itself and those before it; for short texts."""
    return jax.nn.dot_product_attention(query, key, value, is_causal=True, implementation="xla")


class Attention(nnx.Module):
    """Multi-head attention with the projection names of diffusers."""

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int,
        context_channels: int | None = None,
        use_bias: bool = False,
        rngs: nnx.Rngs,
    ):
        context_channels = channels if context_channels is None else context_channels
        self.num_heads = num_heads
        self.to_q = nnx.Linear(channels, channels, use_bias=use_bias, rngs=rngs)
        self.to_k = nnx.Linear(context_channels, channels, use_bias=use_bias, rngs=rngs)
        self.to_v = nnx.Linear(context_channels, channels, use_bias=use_bias, rngs=rngs)
        self.to_out = nnx.List([nnx.Linear(channels, channels, rngs=rngs)])

    def __call__(
        self,
        x: Float[Array, "images tokens channels"],
        context: Float[Array, "images keys context_channels"] | None = None,
    ) -> Float[Array, "images tokens channels"]:
        """Attend to `context`, or to `x` itself where it is None."""
        context = x if context is None else context
        out = attend(*(self._heads(p(s)) for p, s in self._projections(x, context)))
        return self.to_out[0](out.reshape(x.shape))

    def read(
        self, x: Float[Array, "images tokens channels"], references: ReferenceTokens
    ) -> Float[Array, "images tokens channels"]:
        """Attend to [self | reference | calibrated persons] with this layer's own projections.

        `images` is batch times frames, batch-major. Every picture is projected once, however many
        frames read it.

        Raises:
            ValueError: There are key bits but no query bits.
        """
        parts = [
            tuple(
                _per_image(project(t.astype(x.dtype)), x.shape[0], references.picture_of_frame)
                for project in (self.to_k, self.to_v)
            )
            for t in references.tokens
        ]
        keys, values = zip((self.to_k(x), self.to_v(x)), *parts, strict=True)
        query_bits, key_bits = _flat_bits(references, x.shape[0], x.shape[1])
        out = attend(
            self._heads(self.to_q(x)),
            self._heads(jnp.concatenate(keys, axis=1)),
            self._heads(jnp.concatenate(values, axis=1)),
            query_bits,
            key_bits,
        )
        return self.to_out[0](out.reshape(x.shape))

    def _projections(self, x, context):
        return ((self.to_q, x), (self.to_k, context), (self.to_v, context))

    def _heads(self, x):
        return x.reshape(*x.shape[:-1], self.num_heads, -1)


def _per_image(x, images: int, picture_of_frame=None):
    """Give each image its picture of [batch, pictures, ...]; flat: [images, ...]."""
    batch, pictures = x.shape[:2]
    if pictures == 1:
        x = jnp.broadcast_to(x, (batch, images // batch, *x.shape[2:]))
    elif picture_of_frame is not None:
        x = jax.vmap(lambda row, index: row[index])(x, picture_of_frame)
    return x.reshape(images, *x.shape[2:])


def _flat_bits(references: ReferenceTokens, images: int, tokens: int):
    if references.query_bits is None:
        if any(bits is not None for bits in references.key_bits):
            raise ValueError("key_bits without query_bits would leave every key visible")
        return None, None
    own = jnp.full((images, tokens), EVERYONE, jnp.uint32)
    key_bits = [own]
    for part, bits in zip(references.tokens, references.key_bits, strict=True):
        if bits is None:
            bits = jnp.full(part.shape[:3], EVERYONE, jnp.uint32)
        key_bits.append(_per_image(bits, images, references.picture_of_frame))
    return _per_image(references.query_bits, images), jnp.concatenate(key_bits, axis=1)
