"""The text encoder against CLIP's text model, written out in torch."""

import jax
import numpy as np
import pytest
import torch
from torch_clip import clip_layers
from torch_oracles import BLOCK, assert_close, compiled, convert, numbers, plan, randomized

from tpc_jax.convert.tables import TEXT
from tpc_jax.model import params as P
from tpc_jax.model.config import TextConfig
from tpc_jax.model.text import TextEncoder, empty_prompt

pytestmark = pytest.mark.torch

CONFIG = TextConfig(vocab_size=50, width=12, mlp_width=20, num_layers=2, num_heads=3, max_tokens=9)


class ClipText(torch.nn.Module):
    """The text model, ending behind the final norm."""

    def __init__(self, config: TextConfig):
        super().__init__()
        inner = torch.nn.Module()
        inner.embeddings = torch.nn.ModuleDict(
            {
                "token_embedding": torch.nn.Embedding(config.vocab_size, config.width),
                "position_embedding": torch.nn.Embedding(config.max_tokens, config.width),
            }
        )
        inner.encoder = clip_layers(config, is_causal=True)
        inner.final_layer_norm = torch.nn.LayerNorm(config.width, eps=1e-5)
        self.text_model = inner

    def forward(self, ids):
        inner = self.text_model
        x = inner.embeddings["token_embedding"](ids)
        x = x + inner.embeddings["position_embedding"].weight[: ids.shape[1]]
        for layer in inner.encoder["layers"]:
            x = layer(x)
        return inner.final_layer_norm(x)


@pytest.fixture(scope="module")
def pair():
    oracle = randomized(ClipText(CONFIG))
    network = P.abstract(TextEncoder, CONFIG)
    params = convert(TEXT, numbers(oracle), network)
    return oracle, compiled(lambda ids: P.bind(network, params)(ids))


@pytest.mark.parametrize("tokens", [9, 4])
def test_features(pair, tokens):
    oracle, ours = pair
    ids = np.random.default_rng(0).integers(0, 50, (2, tokens)).astype(np.int32)
    with torch.no_grad():
        theirs = oracle(torch.from_numpy(ids).long())
    assert_close(ours(ids), theirs, BLOCK)


def test_a_token_does_not_see_later_ones(pair):
    ids = np.random.default_rng(1).integers(0, 49, (1, 9)).astype(np.int32)
    changed = ids.copy()
    changed[0, 5] += 1
    before, after = pair[1](ids), pair[1](changed)
    np.testing.assert_allclose(after[0, :5], before[0, :5], atol=1e-6)
    assert np.abs(after - before)[0, 5:].max(-1).min() > 1e-3


def test_old_and_new_names(pair):
    """Old files hold a table of positions; single files of the encoder leave the prefix out."""
    network = P.abstract(TextEncoder, CONFIG)
    state = numbers(pair[0])
    old = {**state, "text_model.embeddings.position_ids": np.arange(9)[None]}
    short = {name.removeprefix("text_model."): array for name, array in state.items()}
    ours = [P.flatten(convert(TEXT, s, network)) for s in (state, old, short)]
    for path, array in ours[0].items():
        for other in ours[1:]:
            np.testing.assert_array_equal(other[path], array, err_msg=path)


def test_the_published_encoder_is_covered():
    with torch.device("meta"):
        theirs = ClipText(TextConfig())
    network = P.abstract(TextEncoder, TextConfig())
    shapes = {name: tuple(t.shape) for name, t in theirs.state_dict().items()}
    assert len(plan(TEXT, shapes, network).fillings) == 196
    assert P.count(network.spec) == 123_060_480


def test_empty_prompt():
    ids = empty_prompt(TextConfig())
    assert ids.shape == (1, 77)
    assert ids[0, 0] == 49406
    assert (ids[0, 1:] == 49407).all()


def test_a_text_longer_than_the_table_is_refused():
    network = P.abstract(TextEncoder, CONFIG)
    ids = jax.ShapeDtypeStruct((1, 10), np.int32)
    with pytest.raises(ValueError, match="at most 9 tokens, got 10"):
        jax.eval_shape(lambda params, ids: P.bind(network, params)(ids), network.spec, ids)
