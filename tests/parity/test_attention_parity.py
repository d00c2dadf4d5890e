"""Attention, transformer blocks and reference attention against diffusers and dense masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention as TorchAttention
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch_oracles import (
    BLOCK,
    LAYER,
    assert_close,
    channels_last,
    compiled,
    load,
    randomized,
    tensor,
)

from tpc_jax.convert.tables import UNET
from tpc_jax.model import attention
from tpc_jax.model.attention import Attention, ReferenceTokens, attend
from tpc_jax.model.transformer import SpatialTransformer, TransformerBlock

pytestmark = pytest.mark.torch

INNER = "mid_block.attentions.0.transformer_blocks.0."
CHANNELS, HEADS, CONTEXT = 12, 3, 10


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def softmax_attention(query, key, value, visible=None):
    """Attend in float64 with a dense (queries x keys) table of minus infinities."""
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    logits = np.einsum("nthd,nshd->nhts", query, key) / np.sqrt(query.shape[-1])
    if visible is not None:
        logits = np.where(visible[:, None], logits, -np.inf)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("nhts,nshd->nthd", weights, value)


def attention_pair(context_channels=None):
    oracle = randomized(
        TorchAttention(
            CHANNELS,
            cross_attention_dim=context_channels,
            heads=HEADS,
            dim_head=CHANNELS // HEADS,
        )
    )

    def make(rngs):
        return Attention(CHANNELS, num_heads=HEADS, context_channels=context_channels, rngs=rngs)

    return oracle, load(UNET, oracle, make, inside=INNER + "attn1.")


def test_self_attention():
    oracle, ours = attention_pair()
    x = normal(0, 2, 7, CHANNELS)
    assert_close(ours(jnp.asarray(x)), oracle(torch.tensor(x)), LAYER)


def test_cross_attention():
    oracle, ours = attention_pair(CONTEXT)
    x, context = normal(0, 2, 7, CHANNELS), normal(1, 2, 4, CONTEXT)
    theirs = oracle(torch.tensor(x), torch.tensor(context))
    assert_close(ours(jnp.asarray(x), jnp.asarray(context)), theirs, LAYER)


def test_reading_a_reference_that_all_frames_share():
    """Unmasked reading is attention to [own tokens | reference], repeated over the frames."""
    oracle, ours = attention_pair()
    batch, frames = 2, 3
    x, bank = normal(0, batch * frames, 5, CHANNELS), normal(1, batch, 1, 7, CHANNELS)
    repeated = np.repeat(bank[:, 0], frames, axis=0)
    theirs = oracle(torch.tensor(x), torch.tensor(np.concatenate([x, repeated], axis=1)))
    references = ReferenceTokens((jnp.asarray(bank),), (None,), None)
    assert_close(ours.read(jnp.asarray(x), references), theirs, LAYER)


def test_a_context_of_one_token_is_seen_by_all():
    oracle, ours = attention_pair(CONTEXT)
    x, context = normal(0, 2, 7, CHANNELS), normal(1, 2, 1, CONTEXT)
    theirs = oracle(torch.tensor(x), torch.tensor(context))
    assert_close(ours(jnp.asarray(x), jnp.asarray(context)), theirs, LAYER)


def masked_case(seed=0, batch=2, frames=2, tokens=6, ref_tokens=5):
    """A shared reference and one calibrated person per frame, with random bits."""
    rng = np.random.default_rng(seed)
    bank = rng.normal(size=(batch, 1, ref_tokens, CHANNELS)).astype(np.float32)
    person = rng.normal(size=(batch, frames, ref_tokens, CHANNELS)).astype(np.float32)
    bank_bits = rng.choice(np.array([0, 2, 4], np.uint32), (batch, 1, ref_tokens))
    person_bits = rng.choice(np.array([0, 2, 4], np.uint32), (batch, frames, ref_tokens))
    query_bits = rng.integers(0, 8, (batch, frames, tokens)).astype(np.uint32) | 1
    x = rng.normal(size=(batch * frames, tokens, CHANNELS)).astype(np.float32)
    references = ReferenceTokens(
        (jnp.asarray(bank), jnp.asarray(person)),
        (jnp.asarray(bank_bits), jnp.asarray(person_bits)),
        jnp.asarray(query_bits),
    )
    spread = [np.broadcast_to(b, (batch, frames, ref_tokens)) for b in (bank_bits, person_bits)]
    own = np.ones((batch, frames, tokens), np.uint32)
    keys = np.concatenate([own, *spread], axis=-1).reshape(batch * frames, 1, -1)
    visible = (query_bits.reshape(batch * frames, -1, 1) & keys) != 0
    banks = np.broadcast_to(bank, person.shape).reshape(batch * frames, ref_tokens, CHANNELS)
    everything = np.concatenate([x, banks, person.reshape(banks.shape)], axis=1)
    return x, references, everything, visible


def test_masked_reading():
    oracle, ours = attention_pair()
    x, references, everything, visible = masked_case()
    assert 0.1 < visible.mean() < 0.9
    mask = torch.where(torch.tensor(visible), 0.0, -torch.inf)
    mask = mask.repeat_interleave(HEADS, dim=0)  # diffusers wants one mask per picture and head
    theirs = oracle(torch.tensor(x), torch.tensor(everything), attention_mask=mask)
    assert_close(ours.read(jnp.asarray(x), references), theirs, LAYER)


@pytest.mark.parametrize("is_masked", [True, False])
def test_weights_are_those_of_reading(is_masked):
    """Values that are their own keys' numbers turn weights into what is read."""
    _, ours = attention_pair()
    x, references, everything, visible = masked_case()
    if not is_masked:
        references = references._replace(key_bits=(None, None), query_bits=None)
        visible = np.ones_like(visible)
    queries = np.array([4, 1])
    for image in range(len(x)):
        parts = ours.weights(jnp.asarray(x), references, image, jnp.asarray(queries))
        assert [part.shape for part in parts] == [(2, 6), (2, 5), (2, 5)]
        heads = lambda a: np.asarray(a).reshape(1, -1, HEADS, CHANNELS // HEADS)  # noqa: E731
        keys = heads(ours.to_k(jnp.asarray(everything[image])))
        numbers = np.broadcast_to(np.eye(keys.shape[1])[None, :, None], (1, 16, HEADS, 16))
        query = heads(ours.to_q(jnp.asarray(x[image])))
        seen = np.broadcast_to(visible[image : image + 1], (1, 6, 16))
        expected = softmax_attention(query, keys, numbers, seen)[0].mean(1)[queries]
        np.testing.assert_allclose(np.concatenate(parts, axis=1), expected, atol=1e-5)


def test_key_bits_need_query_bits():
    _, ours = attention_pair()
    x, references, *_ = masked_case()
    with pytest.raises(ValueError, match="query_bits"):
        ours.read(jnp.asarray(x), references._replace(query_bits=None))


# Budgets that give: one block, blocks of heads, blocks of queries (11 is no multiple of 4), one
# query at a time.
@pytest.mark.parametrize("budget", [10**6, 2 * 11 * 22, 4 * 22, 1])
@pytest.mark.parametrize("masked", [False, True])
def test_blocks_do_not_change_attention(monkeypatch, budget, masked):
    monkeypatch.setattr(attention, "CPU_LOGITS", budget)
    monkeypatch.setattr(attention, "ACCELERATOR_LOGITS", budget)
    images, tokens, keys, heads, width = 3, 11, 22, 3, 4
    query, key, value = (normal(s, images, n, heads, width) for s, n in enumerate([11, 22, 22]))
    rng = np.random.default_rng(3)
    query_bits = rng.integers(0, 4, (images, tokens)).astype(np.uint32) | 1
    key_bits = rng.choice(np.array([0, 1, 2], np.uint32), (images, keys))
    key_bits[:, :tokens] = 1
    visible = (query_bits[:, :, None] & key_bits[:, None]) != 0
    bits = (jnp.asarray(query_bits), jnp.asarray(key_bits)) if masked else (None, None)
    # Not `attend` itself: a compiled function would not see the budget change.
    ours = jax.jit(lambda *args: attend(*args))(*map(jnp.asarray, (query, key, value)), *bits)
    theirs = softmax_attention(query, key, value, visible if masked else None)
    assert_close(ours, theirs, LAYER)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("num_bits", [6, 32])
def test_appended_bits_hide_keys(monkeypatch, dtype, num_bits):
    """The operands of the flash kernel, given to XLA's kernel, hide what the bits hide."""
    kernel = jax.nn.dot_product_attention

    def instead(query, key, value, *, scale, implementation):
        assert implementation == "cudnn"
        assert query.shape[-1] == key.shape[-1] == value.shape[-1] == 8 + -(-num_bits // 8) * 8
        return kernel(query, key, value, scale=scale, implementation="xla")

    monkeypatch.setattr(attention, "choose_kernel", lambda *args: "cudnn")
    monkeypatch.setattr(jax.nn, "dot_product_attention", instead)
    images, tokens, keys, heads, width = 2, 9, 27, 2, 8
    # Logits of hidden keys up to 30 above the visible ones.
    query = jnp.asarray(3 * normal(0, images, tokens, heads, width), dtype)
    key = jnp.asarray(3 * normal(1, images, keys, heads, width), dtype)
    value = jnp.asarray(normal(2, images, keys, heads, width), dtype)
    rng = np.random.default_rng(3)
    query_bits = rng.integers(0, 2**6, (images, tokens)).astype(np.uint32) | 1
    key_bits = rng.choice(np.array([0, 2, 4, 32], np.uint32), (images, keys))
    key_bits[:, :tokens] = 1
    visible = (query_bits[:, :, None] & key_bits[:, None]) != 0
    assert 0.2 < visible.mean() < 0.8
    ours = attend(query, key, value, jnp.asarray(query_bits), jnp.asarray(key_bits), num_bits)
    assert ours.dtype == dtype
    theirs = softmax_attention(*(np.asarray(x, np.float32) for x in (query, key, value)), visible)
    assert_close(ours, theirs, 2e-2 if dtype == jnp.bfloat16 else 1e-4)


def test_pictures_serve_several_frames():
    """Reading representatives by index is reading a copy of them for every frame."""
    _, ours = attention_pair()
    x, references, *_ = masked_case(frames=3)
    index = jnp.asarray([[0, 0, 1], [1, 0, 0]])
    bank, person = references.tokens
    bank_bits, person_bits = references.key_bits

    def spread(part):
        return jnp.stack([row[i] for row, i in zip(part, index, strict=True)])

    few = ReferenceTokens(
        (bank, person[:, :2]), (bank_bits, person_bits[:, :2]), references.query_bits, index
    )
    many = ReferenceTokens(
        (bank, spread(person)), (bank_bits, spread(person_bits)), references.query_bits
    )
    x = jnp.asarray(x)
    np.testing.assert_allclose(ours.read(x, few), ours.read(x, many), atol=1e-6)
    shuffled = few._replace(picture_of_frame=1 - index)
    assert np.abs(ours.read(x, few) - ours.read(x, shuffled)).max() > 0.01


@pytest.mark.parametrize(
    ("dtype", "head_dim", "capability", "kernel"),
    [
        (jnp.bfloat16, 40, "8.0", "cudnn"),
        (jnp.bfloat16, 160, "8.0", "xla"),
        (jnp.bfloat16, 168, "9.0", "cudnn"),
        (jnp.bfloat16, 512, "9.0", "xla"),
        (jnp.bfloat16, 12, "9.0", "xla"),
        (jnp.float32, 40, "9.0", "xla"),
    ],
)
def test_kernel_on_a_gpu(monkeypatch, caplog, dtype, head_dim, capability, kernel):
    device = type("Device", (), {"compute_capability": capability})()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    attention.choose_kernel.cache_clear()
    with caplog.at_level("INFO", logger=attention.__name__):
        names = [attention.choose_kernel(jnp.dtype(dtype), head_dim) for _ in range(3)]
    attention.choose_kernel.cache_clear()
    assert names == [kernel] * 3
    assert len(caplog.records) == 1


def test_kernel_on_a_cpu():
    assert attention.choose_kernel(jnp.dtype(jnp.bfloat16), 40) == "xla"


def transformer_block(context_channels=CONTEXT):
    oracle = BasicTransformerBlock(
        CHANNELS, HEADS, CHANNELS // HEADS, cross_attention_dim=context_channels
    )
    return randomized(oracle), load(
        UNET,
        oracle,
        lambda rngs: TransformerBlock(
            CHANNELS, num_heads=HEADS, context_channels=context_channels, rngs=rngs
        ),
        inside=INNER,
    )


@pytest.mark.parametrize("context_channels", [None, CONTEXT])
def test_transformer_block(context_channels):
    oracle, ours = transformer_block(context_channels)
    x = 0.01 * normal(0, 2, 7, CHANNELS)  # small numbers, so that the wrong eps shows
    context = None if context_channels is None else normal(1, 2, 4, context_channels)
    theirs = oracle(
        torch.tensor(x),
        encoder_hidden_states=None if context is None else torch.tensor(context),
    )
    out, normed = ours(jnp.asarray(x), None if context is None else jnp.asarray(context), None)
    assert_close(out, theirs, LAYER)
    assert_close(normed, oracle.norm1(torch.tensor(x)), LAYER)


def test_transformer_block_reads():
    """Reading changes the first attention only, and takes the reader's own projections."""
    oracle, ours = transformer_block()
    x, references, everything, visible = masked_case()
    context = normal(1, len(x), 4, CONTEXT)
    out, normed = ours(jnp.asarray(x), jnp.asarray(context), references)
    everything = np.concatenate([normed, everything[:, x.shape[1] :]], axis=1)
    with torch.no_grad():
        mask = torch.where(torch.tensor(visible), 0.0, -torch.inf).repeat_interleave(HEADS, dim=0)
        hidden = torch.tensor(x)
        hidden = hidden + oracle.attn1(
            oracle.norm1(hidden), torch.tensor(everything), attention_mask=mask
        )
        hidden = hidden + oracle.attn2(oracle.norm2(hidden), torch.tensor(context))
        hidden = hidden + oracle.ff(oracle.norm3(hidden))
    assert_close(out, hidden, LAYER)


@pytest.mark.filterwarnings("ignore:.*Transformer2DModelOutput.*:FutureWarning")
def test_spatial_transformer():
    oracle = Transformer2DModel(
        HEADS,
        CHANNELS // HEADS,
        in_channels=CHANNELS,
        norm_num_groups=4,
        cross_attention_dim=CONTEXT,
    )
    ours = load(
        UNET,
        randomized(oracle),
        lambda rngs: SpatialTransformer(
            CHANNELS, num_heads=HEADS, context_channels=CONTEXT, num_groups=4, rngs=rngs
        ),
        inside="mid_block.attentions.0.",
    )
    x, context = 0.01 * normal(0, 2, 3, 5, CHANNELS), normal(1, 2, 4, CONTEXT)
    theirs = oracle(tensor(x), encoder_hidden_states=torch.tensor(context)).sample
    out, _ = compiled(ours)(jnp.asarray(x), jnp.asarray(context))
    assert_close(out, channels_last(theirs), BLOCK)
