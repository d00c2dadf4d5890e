"""A transformer in the very last layer only."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import CONFIG, LATENTS, POSE, SIZE, TIMES, compiled, encoder, numbers, unet

from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.unet import num_transformers, token_grids

LAST = dataclasses.replace(CONFIG, attention_levels=(False, True), last_attention=True)
BOTH = dataclasses.replace(LAST, attention_levels=(True, True), last_attention=False)


def test_layout():
    assert num_transformers(LAST) == (1, 1, 3)
    assert token_grids(LAST, *SIZE) == ((2, 3), (2, 3), (2, 3), (2, 3), (4, 6))
    assert not [name for name in P.flatten(unet(LAST).spec) if "down_blocks.0.attentions" in name]


def surplus(name: str) -> bool:
    """Tell whether a parameter of `BOTH` belongs to a transformer that `LAST` lacks."""
    return any(part in name for part in ("down_blocks.0.attentions", "up_blocks.1.attentions.0"))


def test_equals_a_network_whose_other_fine_transformers_add_nothing():
    full = P.flatten(numbers(unet(BOTH)))
    muted = {
        name: jnp.zeros_like(x) if surplus(name) and "proj_out" in name else x
        for name, x in full.items()
    }
    kept = {
        name.replace("up_blocks.1.attentions.1", "up_blocks.1.attentions.0"): x
        for name, x in full.items()
        if not surplus(name)
    }
    references = [tokens(grid, LAST) for grid in token_grids(LAST, *SIZE)]
    wide = [references[-1], *references[:4], None, references[-1]]

    @compiled
    def call(params, references):
        network = unet(LAST if len(references) == len(token_grids(LAST, *SIZE)) else BOTH)
        return P.bind(network, P.unflatten(network, params))(
            LATENTS, TIMES, pose=POSE, references=references
        )

    ours = call(kept, references)
    np.testing.assert_allclose(ours, call(muted, wide), atol=1e-5)
    assert np.abs(ours - call(kept, [*references[:-1], None])).max() > 0.01


def tokens(grid, config) -> ReferenceTokens:
    width = config.block_out_channels[0 if grid == SIZE else 1]
    numbers = np.random.default_rng(grid).normal(size=(len(LATENTS), 1, grid[0] * grid[1], width))
    return ReferenceTokens((jnp.asarray(numbers, jnp.float32),), (None,), None)


def test_the_encoder_makes_what_the_last_layer_reads():
    features = jax.eval_shape(
        lambda params, x, t: P.bind(encoder(LAST), params)(x, t),
        encoder(LAST).spec,
        jax.ShapeDtypeStruct((5, *SIZE, 3), jnp.float32),
        jax.ShapeDtypeStruct((5,), jnp.float32),
    )
    assert [f.shape for f in features] == [(5, 6, 12)] * 4 + [(5, 24, 8)]


def test_the_finest_level_may_not_have_both():
    with pytest.raises(ValueError, match="last_attention needs attention_levels to begin with"):
        dataclasses.replace(CONFIG, last_attention=True)
