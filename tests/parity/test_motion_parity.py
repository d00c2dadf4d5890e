"""The motion module against AnimateDiff's block in diffusers."""

import jax.numpy as jnp
import numpy as np
import pytest
from diffusers.models.embeddings import SinusoidalPositionalEmbedding
from torch_animator import MotionModule, published_state
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

from tpc_jax.convert.tables import MOTION
from tpc_jax.model.config import MotionConfig, UNetConfig
from tpc_jax.model.motion import TemporalTransformer, position_table

pytestmark = pytest.mark.torch

CONFIG = MotionConfig(num_heads=2, norm_num_groups=4, max_frames=6)


def test_position_table():
    oracle = SinusoidalPositionalEmbedding(12, 24)
    assert_close(position_table(24, 12), oracle.pe[0], LAYER)


@pytest.fixture(scope="module")
def pair():
    oracle = randomized(MotionModule(12, UNetConfig(motion=CONFIG)))
    ours = load(
        MOTION,
        published_state(oracle),
        lambda rngs: TemporalTransformer(12, CONFIG, rngs=rngs),
        inside="mid_block.motion_modules.0.",
    )
    return oracle, ours


def test_motion_module(pair):
    oracle, ours = pair
    oracle.frames = 5
    # Small numbers, so that the wrong eps shows.
    x = np.random.default_rng(0).normal(0, 0.01, (2 * 5, 3, 2, 12)).astype(np.float32)
    theirs = oracle(tensor(x))
    out = compiled(lambda y: ours(y, 5))(jnp.asarray(x))
    assert_close(out, channels_last(theirs), BLOCK)


def test_a_window_longer_than_the_table_is_refused(pair):
    with pytest.raises(ValueError, match="at most 6 frames, got 7"):
        pair[1](jnp.zeros((7, 2, 2, 12)), 7)
