"""The autoencoder against diffusers, under both namings of its attention."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from torch_oracles import BLOCK, assert_close, channels_last, compiled, convert, numbers, randomized

from tpc_jax.convert.tables import VAE as RULES
from tpc_jax.model import params as P
from tpc_jax.model.config import VAEConfig
from tpc_jax.model.vae import VAE

pytestmark = pytest.mark.torch

CONFIG = VAEConfig(block_out_channels=(8, 8, 12), layers_per_block=1, norm_num_groups=4)
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, 24, 20, 3)).astype(np.float32)
LATENTS = np.random.default_rng(1).normal(size=(2, 6, 5, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def oracle():
    levels = len(CONFIG.block_out_channels)
    return randomized(
        AutoencoderKL(
            block_out_channels=CONFIG.block_out_channels,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            layers_per_block=CONFIG.layers_per_block,
            norm_num_groups=CONFIG.norm_num_groups,
        )
    )


@pytest.fixture(scope="module")
def network():
    return P.abstract(VAE, CONFIG)


@pytest.fixture(scope="module")
def params(oracle, network):
    return convert(RULES, numbers(oracle), network)


def test_encoder(oracle, network, params):
    posterior = oracle.encode(torch.from_numpy(IMAGES).permute(0, 3, 1, 2)).latent_dist
    mean, log_variance = compiled(lambda p, x: P.bind(network, p).moments(x))(params, IMAGES)
    assert_close(mean, channels_last(posterior.mean), BLOCK, "mean")
    assert_close(log_variance, channels_last(posterior.logvar), BLOCK, "log variance")


def test_decoder(oracle, network, params):
    scaled = torch.from_numpy(LATENTS).permute(0, 3, 1, 2)
    theirs = oracle.decode(scaled / CONFIG.scaling_factor).sample
    ours = compiled(lambda p, x: P.bind(network, p).decode(x))(params, LATENTS)
    assert_close(ours, channels_last(theirs), BLOCK)


def test_old_names_give_the_same_parameters(oracle, network, params):
    state = {}
    for name, array in numbers(oracle).items():
        for new, old in OLD_NAMES.items():
            name = name.replace(f".{new}.", f".{old}.")
        state[name] = array
    assert set(state) != set(numbers(oracle))
    old = P.flatten(convert(RULES, state, network))
    for path, array in P.flatten(params).items():
        np.testing.assert_array_equal(old[path], array, err_msg=path)
