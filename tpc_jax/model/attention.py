"""Attention of pictures over their own tokens and over reference tokens.

This is the only file that calls an attention kernel. Which query may read which key is given by
two bit vectors, never by a (queries x keys) array: a query reads a key when they share a bit.
"""

import functools
import logging
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, UInt32

from tpc_jax.conditioning.masks import EVERYONE, SHARED_BITS

# Logits held at once by the XLA path: what stays in a CPU's cache, what an accelerator can hold.
CPU_LOGITS = 1 << 17
ACCELERATOR_LOGITS = 1 << 28
# A shared bit adds the square of this to a product of query and key; exact in bfloat16.
_BIT_FEATURE = 64.0
_MAX_BITS = 32

_log = logging.getLogger(__name__)


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
    num_bits: int = _MAX_BITS,
) -> Float[Array, "images tokens heads head_dim"]:
    """Return softmax attention; a query reads a key when their bits overlap.

    Args:
        query: What reads.
        key: What is compared with the queries.
        value: What is read.
        query_bits: Bits of the queries, or None where every query reads every key.
        key_bits: Bits of the keys, at most one each.
        num_bits: How many of the lowest bits are in use.

    Numerics: softmax in float32. Every query must share a bit with some key: self tokens carry
    `EVERYONE`. On XLA heads and queries go in blocks, which bounds memory and, on a CPU, keeps the
    logits in cache.
    """
    features = 0 if query_bits is None else -(-num_bits // 8) * 8
    if choose_kernel(query.dtype, query.shape[-1] + features) == "xla":
        return _attend_in_blocks(query, key, value, query_bits, key_bits)
    scale = query.shape[-1] ** -0.5
    if query_bits is not None:
        query = _append_bits(query, query_bits, features)
        key = _append_bits(key, key_bits, features)
        padded = jnp.pad(value, ((0, 0),) * 3 + ((0, features),))
    else:
        padded = value
    out = jax.nn.dot_product_attention(query, key, padded, scale=scale, implementation="cudnn")
    return out[..., : value.shape[-1]]


@functools.cache
def choose_kernel(dtype: jnp.dtype, head_dim: int) -> Literal["cudnn", "xla"]:
    """Return the kernel for heads of a width, visibility features included; logged once.

    cuDNN takes half precision and widths that are multiples of 8, up to 128 or, from compute
    capability 9 on, 256; everything else goes to XLA.
    """
    kernel = "xla"
    if jax.default_backend() == "gpu" and dtype in (jnp.bfloat16, jnp.float16):
        capability = float(getattr(jax.local_devices()[0], "compute_capability", 0.0))
        if head_dim % 8 == 0 and head_dim <= (256 if capability >= 9.0 else 128):
            kernel = "cudnn"
    _log.info("attention with heads of %d in %s runs on %s", head_dim, dtype, kernel)
    return kernel


def _append_bits(x, bits, features: int):
    """Append one feature per bit, so that a shared bit raises the logit out of reach of the rest.

    A flash kernel then hides keys without an array of queries x keys: the constant that all
    visible keys share cancels in the softmax, and hidden ones underflow to zero.
    """
    bit = jnp.uint32(1) << jnp.arange(features, dtype=jnp.uint32)
    flags = jnp.where(bits[..., None, None] & bit != 0, _BIT_FEATURE, 0.0).astype(x.dtype)
    return jnp.concatenate([x, jnp.broadcast_to(flags, (*x.shape[:-1], features))], axis=-1)


def _attend_in_blocks(query, key, value, query_bits, key_bits):
    """Attend with XLA, as many (picture, head) pairs or queries at a time as the budget allows."""
    images, tokens, heads, _ = query.shape
    keys = key.shape[1]
    query = (query * query.shape[-1] ** -0.5).transpose(0, 2, 1, 3)
    inputs = [query, key.transpose(0, 2, 3, 1), value.transpose(0, 2, 1, 3)]
    inputs = [x.reshape(images * heads, *x.shape[2:]) for x in inputs]
    inputs += [None if b is None else jnp.repeat(b, heads, 0) for b in (query_bits, key_bits)]
    budget = CPU_LOGITS if jax.default_backend() == "cpu" else ACCELERATOR_LOGITS
    at_once = budget // (tokens * keys)
    if at_once >= images * heads:
        out = jax.vmap(_attend_head)(*inputs)
    elif at_once:
        out = jax.lax.map(lambda args: _attend_head(*args), inputs, batch_size=at_once)
    else:
        out = jax.lax.map(lambda args: _attend_by_queries(*args, max(1, budget // keys)), inputs)
    return out.reshape(images, heads, tokens, -1).transpose(0, 2, 1, 3)


def _attend_by_queries(query, key, value, query_bits, key_bits, block: int):
    """Attend for one head, at most `block` queries at a time."""
    tokens = query.shape[0]
    blocks = -(-tokens // block)
    block = -(-tokens // blocks)  # even blocks need the least padding
    pad = blocks * block - tokens

    def cut(x):
        widths = ((0, pad),) + ((0, 0),) * (x.ndim - 1)
        return jnp.pad(x, widths).reshape(blocks, block, *x.shape[1:])

    # Gradients compute the weights again, which is cheaper than to store them.
    attend_head = jax.checkpoint(_attend_head)
    queries = jax.tree.map(cut, (query, query_bits))
    out = jax.lax.map(lambda q: attend_head(q[0], key, value, q[1], key_bits), queries)
    return out.reshape(blocks * block, -1)[:tokens]


def _attend_head(query, key, value, query_bits, key_bits):
    """Attend for one head: scaled query [tokens d], key [d keys], value [keys d]."""
    logits = jnp.matmul(query, key, preferred_element_type=jnp.float32)
    if query_bits is not None:
        # Broadcast compare: XLA fuses it into the softmax, it is never stored.
        visible = (query_bits[:, None] & key_bits[None, :]) != 0
        logits = jnp.where(visible, logits, jnp.finfo(logits.dtype).min)
    weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True)))
    total = weights.sum(-1, keepdims=True)
    # Dividing the sum and not the weights saves a pass over the logits.
    out = jnp.matmul(weights.astype(value.dtype), value, preferred_element_type=jnp.float32)
    return (out / total).astype(value.dtype)


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
        if context.shape[1] == 1:  # the softmax over one key is 1
            return jnp.broadcast_to(self.to_out[0](self.to_v(context)), x.shape)
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
                picture_of_each(project(t.astype(x.dtype)), x.shape[0], references.picture_of_frame)
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
            SHARED_BITS + len(references.tokens),
        )
        return self.to_out[0](out.reshape(x.shape))

    def weights(
        self,
        x: Float[Array, "images tokens channels"],
        references: ReferenceTokens,
        image: int,
        queries: Int[Array, " queries"],
    ) -> tuple[Float[Array, "queries _keys"], ...]:
        """Return how `read` weighs what a few queries of one image see, averaged over heads.

        Args:
            x: The images' own tokens.
            references: What they read.
            image: Number of the image.
            queries: Numbers of its tokens.

        Returns:
            Weights of the image's own tokens, then of each part's tokens; all of a query's weights
            sum to 1.
        """
        frames = len(x) // len(references.tokens[0])
        row, frame = divmod(image, frames)

        def of_image(part):
            """Take what one image reads of [batch, pictures or frames, ...]."""
            index = references.picture_of_frame
            if part.shape[1] == 1:
                return part[row, 0]
            return part[row, frame if index is None else index[row, frame]]

        parts = [x[image], *(of_image(tokens).astype(x.dtype) for tokens in references.tokens)]
        keys = self._heads(self.to_k(jnp.concatenate(parts)))
        query = self._heads(self.to_q(x[image, queries]))
        logits = jnp.einsum("qhd,khd->hqk", query, keys, preferred_element_type=jnp.float32)
        logits = logits * query.shape[-1] ** -0.5
        if _has_bits(references):
            own = jnp.full(x.shape[1], EVERYONE, jnp.uint32)
            key_bits = jnp.concatenate([own, *map(of_image, _bits(references))])
            query_bits = references.query_bits[row, frame][queries]
            visible = (query_bits[:, None] & key_bits) != 0
            logits = jnp.where(visible, logits, jnp.finfo(logits.dtype).min)
        weights = jax.nn.softmax(logits, axis=-1).mean(axis=0)
        ends = np.cumsum([len(part) for part in parts])[:-1]
        return tuple(jnp.split(weights, ends.tolist(), axis=-1))

    def _projections(self, x, context):
        return ((self.to_q, x), (self.to_k, context), (self.to_v, context))

    def _heads(self, x):
        return x.reshape(*x.shape[:-1], self.num_heads, -1)


def picture_of_each(x, images: int, picture_of_frame=None):
    """Give each image its picture of [batch, pictures, ...]; flat: [images, ...].

    Args:
        x: Something of every picture.
        images: Frames of all windows, batch-major.
        picture_of_frame: As in `ReferenceTokens`.
    """
    batch, pictures = x.shape[:2]
    if pictures == 1:
        x = jnp.broadcast_to(x, (batch, images // batch, *x.shape[2:]))
    elif picture_of_frame is not None:
        x = jax.vmap(lambda row, index: row[index])(x, picture_of_frame)
    return x.reshape(images, *x.shape[2:])


def _flat_bits(references: ReferenceTokens, images: int, tokens: int):
    """Return bits of queries and keys per image, or None where nothing is restricted."""
    if not _has_bits(references):
        return None, None
    own = jnp.full((images, tokens), EVERYONE, jnp.uint32)
    key_bits = [
        own,
        *(picture_of_each(b, images, references.picture_of_frame) for b in _bits(references)),
    ]
    return picture_of_each(references.query_bits, images), jnp.concatenate(key_bits, axis=1)


def _has_bits(references: ReferenceTokens) -> bool:
    if references.query_bits is not None:
        return True
    if any(bits is not None for bits in references.key_bits):
        raise ValueError("key_bits without query_bits would leave every key visible")
    return False


def _bits(references: ReferenceTokens):
    """Return the bits of every part's keys."""
    pairs = zip(references.tokens, references.key_bits, strict=True)
    everyone = functools.partial(jnp.full, fill_value=EVERYONE, dtype=jnp.uint32)
    return [everyone(part.shape[:3]) if bits is None else bits for part, bits in pairs]
