"""The vision encoder against CLIP's vision model with projection, written out in torch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from PIL import Image
from torch_clip import clip_layers
from torch_oracles import BLOCK, assert_close, compiled, convert, numbers, plan, randomized, tensor

from tpc_jax.conditioning.clip_pixels import clip_pixels
from tpc_jax.convert.configs import Settings, vision_config
from tpc_jax.convert.tables import VISION, vision_tower
from tpc_jax.errors import UserError
from tpc_jax.model import params as P
from tpc_jax.model.config import VisionConfig
from tpc_jax.model.vision import VisionEncoder

pytestmark = pytest.mark.torch

CONFIG = VisionConfig(
    width=12, mlp_width=20, num_layers=2, num_heads=3, image_size=20, patch_size=5,
    projection_width=7,
)  # fmt: skip


class ClipVision(torch.nn.Module):
    """The vision tower under the names of the published files, and its projection."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        inner, width, size = torch.nn.Module(), config.width, config.patch_size
        inner.embeddings = torch.nn.ModuleDict(
            {
                "patch_embedding": torch.nn.Conv2d(3, width, size, stride=size, bias=False),
                "position_embedding": torch.nn.Embedding(config.num_tokens, width),
            }
        )
        inner.embeddings.class_embedding = torch.nn.Parameter(torch.zeros(width))
        inner.pre_layrnorm = torch.nn.LayerNorm(width, eps=1e-5)
        inner.encoder = clip_layers(config, is_causal=False)
        inner.post_layernorm = torch.nn.LayerNorm(width, eps=1e-5)
        self.vision_model = inner
        self.visual_projection = torch.nn.Linear(width, config.projection_width, bias=False)

    def forward(self, pixels):
        inner = self.vision_model
        patches = inner.embeddings["patch_embedding"](pixels).flatten(2).transpose(1, 2)
        whole = inner.embeddings.class_embedding.expand(len(pixels), 1, -1)
        x = torch.cat([whole, patches], dim=1) + inner.embeddings["position_embedding"].weight
        x = inner.pre_layrnorm(x)
        for layer in inner.encoder["layers"]:
            x = layer(x)
        return x, self.visual_projection(inner.post_layernorm(x[:, 0]))


@pytest.fixture(scope="module")
def pair():
    oracle = randomized(ClipVision(CONFIG))
    network = P.abstract(VisionEncoder, CONFIG)
    params = convert(VISION, numbers(oracle), network)
    return oracle, network, params


def test_features_and_embedding(pair):
    oracle, network, params = pair
    pixels = np.random.default_rng(0).normal(size=(2, 20, 20, 3)).astype(np.float32)
    with torch.no_grad():
        hidden, embedding = oracle(tensor(pixels))

    @compiled
    def ours(params, pixels):
        encoder = P.bind(network, params)
        return encoder.hidden(pixels), encoder(pixels)

    for mine, theirs, name in zip(ours(params, pixels), (hidden, embedding), "he", strict=True):
        assert_close(mine, theirs, BLOCK, name)


def test_old_names(pair):
    """Old files hold a table of positions; single files of the tower leave its prefix out."""
    oracle, network, params = pair
    state = numbers(oracle)
    old = {**state, "vision_model.embeddings.position_ids": np.arange(17)[None]}
    short = {name.removeprefix("vision_model."): array for name, array in state.items()}
    for other in (old, short):
        jax.tree.map(np.testing.assert_array_equal, convert(VISION, other, network), params)


def test_all_tokens_can_be_projected(pair):
    """CLIP projects the class token only, DisCo all of them."""
    _, network, params = pair
    pixels = np.random.default_rng(0).normal(size=(2, 20, 20, 3)).astype(np.float32)
    encoder = P.bind(network, params)
    tokens = encoder.project(encoder.hidden(jnp.asarray(pixels)))
    assert tokens.shape == (2, CONFIG.num_tokens, 7)
    np.testing.assert_allclose(tokens[:, 0], encoder(jnp.asarray(pixels)), atol=1e-5)
    assert np.abs(tokens[:, 1:] - tokens[:, :1]).max() > 0.1


def test_a_tower_out_of_a_file_of_all_of_clip(pair):
    oracle, network, params = pair
    text = {"text_model.final_layer_norm.weight": np.ones(3), "logit_scale": np.ones(())}
    everything = {**numbers(oracle), **text, "text_projection.weight": np.ones((3, 3))}
    same = convert(vision_tower(CONFIG), everything, network)
    jax.tree.map(np.testing.assert_array_equal, same, params)
    plain = dataclasses.replace(CONFIG, projection_width=None)
    without = convert(vision_tower(plain), everything, P.abstract(VisionEncoder, plain))
    assert "visual_projection" not in without


def test_published_configs(tmp_path):
    inner = {
        "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
        "num_attention_heads": 16, "image_size": 224, "patch_size": 14, "projection_dim": 768,
        "hidden_act": "quick_gelu",
    }  # fmt: skip
    path = tmp_path / "config.json"
    assert vision_config(Settings(path, inner)) == VisionConfig()
    assert vision_config(Settings(path, {"vision_config": inner})) == VisionConfig()
    small = vision_config(Settings(path, {"vision_config": {}}), is_projected=False)
    assert small == VisionConfig(768, 3072, 12, 12, 224, 32, None)
    with pytest.raises(UserError, match="hidden_act 'gelu'"):
        vision_config(Settings(path, {**inner, "hidden_act": "gelu"}))


def test_the_published_encoder_is_covered():
    with torch.device("meta"):
        theirs = ClipVision(VisionConfig())
    network = P.abstract(VisionEncoder, VisionConfig())
    shapes = {name: tuple(t.shape) for name, t in theirs.state_dict().items()}
    assert len(plan(VISION, shapes, network).fillings) == 392
    assert P.count(network.spec) == 303_966_208


def test_pictures_of_another_size_are_refused(pair):
    _, network, params = pair
    with pytest.raises(ValueError, match=r"must have size \(20, 20\), got \(20, 25\)"):
        P.bind(network, params)(jnp.zeros((1, 20, 25, 3)))


@pytest.mark.parametrize("size", [(300, 200), (150, 110), (224, 224)])
def test_pixels_are_those_of_pillow_and_the_processor(size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    # In two calls, for new versions of Pillow may begin with the other axis.
    wide = Image.fromarray(image).resize((224, size[0]), Image.Resampling.BICUBIC)
    resized = np.asarray(wide.resize((224, 224), Image.Resampling.BICUBIC)).astype(np.float64)
    mean, deviation = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    expected = (resized / 255 - np.array(mean)) / np.array(deviation)
    np.testing.assert_allclose(clip_pixels(image, 224), expected, atol=1e-5)
