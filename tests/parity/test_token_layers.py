"""Layers of DreamPose and DisCo against torch on random weights: no golden data needed."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch_oracles import BLOCK, LAYER, assert_close, compiled, load, randomized, tensor

from tpc_jax.convert.tables import ADAPTER, TEMPORAL, UNET
from tpc_jax.model.adapter import EmbeddingAdapter
from tpc_jax.model.config import AdapterConfig, ControlNetConfig, UNetConfig
from tpc_jax.model.layers import ResnetBlock
from tpc_jax.model.transformer import TransformerBlock

pytestmark = pytest.mark.torch
FRAMES = 3


class TorchAdapter(torch.nn.Module):
    def __init__(self, pooled: int, width: int, tokens: int):
        super().__init__()
        self.vae2clip = torch.nn.Linear(pooled, width)
        self.linear1 = torch.nn.Linear(tokens + 4, tokens)

    def forward(self, tokens, latents):
        pooled = torch.nn.functional.max_pool2d(latents, 2).flatten(2)
        everything = torch.cat([tokens, self.vae2clip(pooled)], dim=1)
        return self.linear1(everything.transpose(1, 2)).transpose(1, 2)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_adapter():
    config = AdapterConfig(num_pooled=6, width=8, num_tokens=5)
    oracle = randomized(TorchAdapter(6, 8, 5))
    ours = load(ADAPTER, oracle, lambda rngs: EmbeddingAdapter(config, rngs=rngs))
    tokens, latents = normal(0, 2, 5, 8), normal(1, 2, 6, 4, 4)
    out = ours(jnp.asarray(tokens), jnp.asarray(latents))
    assert_close(out, oracle(torch.from_numpy(tokens), tensor(latents)), LAYER)
    with pytest.raises(ValueError, match="must have 6 cells after pooling, got 8"):
        ours(jnp.asarray(tokens), jnp.asarray(normal(1, 2, 8, 4, 4)))


class TemporalResnet(torch.nn.Module):
    """A residual block over videos [batch, channels, frames, h, w]; norms span time."""

    def __init__(self, channels: int, out: int, groups: int, time: int):
        super().__init__()
        self.norm1 = torch.nn.GroupNorm(groups, channels, eps=1e-5)
        self.conv1 = torch.nn.Conv2d(channels, out, 3, padding=1)
        self.time_emb_proj = torch.nn.Linear(time, out)
        self.norm2 = torch.nn.GroupNorm(groups, out, eps=1e-5)
        self.conv2 = torch.nn.Conv2d(out, out, 3, padding=1)
        self.tem_norm = torch.nn.GroupNorm(groups, out, eps=1e-5)
        self.tem_conv = torch.nn.Conv1d(out, out, 3, padding=1)
        self.conv_shortcut = torch.nn.Conv2d(channels, out, 1)

    def forward(self, x, time):
        silu = torch.nn.functional.silu

        def spatial(layer, video):
            batch, _, frames = video.shape[:3]
            flat = layer(video.transpose(1, 2).flatten(0, 1))
            return flat.unflatten(0, (batch, frames)).transpose(1, 2)

        hidden = spatial(self.conv1, silu(self.norm1(x)))
        hidden = hidden + self.time_emb_proj(silu(time))[:, :, None, None, None]
        hidden = spatial(self.conv2, silu(self.norm2(hidden)))
        normed = silu(self.tem_norm(hidden))
        batch, channels, frames, height, width = normed.shape
        series = normed.permute(0, 3, 4, 1, 2).reshape(-1, channels, frames)
        mixed = self.tem_conv(series).reshape(batch, height, width, channels, frames)
        hidden = hidden + mixed.permute(0, 3, 4, 1, 2)
        return hidden + spatial(self.conv_shortcut, x)


def test_temporal_residual_block():
    oracle = randomized(TemporalResnet(8, 12, 4, 6))

    def make(rngs):
        return ResnetBlock(8, 12, num_groups=4, time_features=6, is_temporal=True, rngs=rngs)

    ours = load((*UNET, *TEMPORAL), oracle, make, inside="mid_block.resnets.0.")
    video, time = normal(0, 2, FRAMES, 4, 5, 8), normal(1, 2, 6)
    with torch.no_grad():
        theirs = oracle(torch.from_numpy(np.moveaxis(video, -1, 1)), torch.from_numpy(time))
    flat = jnp.asarray(video.reshape(-1, 4, 5, 8))
    times = jnp.repeat(jnp.asarray(time), FRAMES, axis=0)
    out = compiled(lambda x, t: ours(x, t, FRAMES))(flat, times)
    assert_close(out.reshape(2, FRAMES, 4, 5, 12), np.moveaxis(theirs.numpy(), 1, -1), BLOCK)


def test_temporal_attention_is_attention_over_frames():
    """By hand: the block with one frame, plus attention of each position over its frames."""

    def make(is_temporal):
        return lambda rngs: TransformerBlock(
            8, num_heads=2, context_channels=6, is_temporal=is_temporal, rngs=rngs
        )

    rng = np.random.default_rng(3)
    shapes = {f"attn{i}.to_{n}.weight": (8, 6 if i == 2 and n in "kv" else 8)
              for i in (1, 2) for n in "qkv"}  # fmt: skip
    shapes |= {f"tem_attn.to_{n}.weight": (8, 8) for n in "qkv"}
    for name in ("attn1", "attn2", "tem_attn"):
        shapes |= {f"{name}.to_out.0.weight": (8, 8), f"{name}.to_out.0.bias": (8,)}
    for name in ("norm1", "norm2", "norm3", "tem_norm"):
        shapes |= {f"{name}.weight": (8,), f"{name}.bias": (8,)}
    shapes |= {"ff.net.0.proj.weight": (64, 8), "ff.net.0.proj.bias": (64,)}
    shapes |= {"ff.net.2.weight": (8, 32), "ff.net.2.bias": (8,)}
    state = {n: rng.normal(size=s).astype(np.float32) / 3 for n, s in shapes.items()}
    inside = "mid_block.attentions.0.transformer_blocks.0."
    ours = load((*UNET, *TEMPORAL), state, make(True), inside=inside)
    x, context = jnp.asarray(normal(0, FRAMES, 5, 8)), jnp.asarray(normal(1, FRAMES, 4, 6))
    out, _ = ours(x, context, None, FRAMES)
    normed = ours.norm1(x)
    hidden = x + ours.attn1(normed)
    weights = {n: state[f"tem_attn.to_{n}.weight"] for n in "qkv"}
    series = np.asarray(ours.norm2(hidden)).transpose(1, 0, 2)
    q, k, v = (torch.from_numpy(series @ weights[n].T).unflatten(-1, (2, 4)) for n in "qkv")
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    mixed = mixed.numpy() @ state["tem_attn.to_out.0.weight"].T + state["tem_attn.to_out.0.bias"]
    hidden = hidden + mixed.transpose(1, 0, 2)
    hidden = hidden + ours.attn2(ours.norm2(hidden), context)
    expected = hidden + ours.ff(ours.norm3(hidden))
    assert_close(out, np.asarray(expected), BLOCK)


def test_temporal_layers_need_pooled_norms():
    with pytest.raises(ValueError, match="temporal needs norm_over_frames True"):
        UNetConfig(temporal=True)
    trunk = UNetConfig(temporal=True, norm_over_frames=True)
    assert ControlNetConfig(trunk).trunk.temporal
