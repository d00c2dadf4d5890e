"""The autoencoder's own parts: folding of pixels, scaling, sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import normal, numbers

from tpc_jax.model import params as P
from tpc_jax.model.config import PoseNetConfig, VAEConfig
from tpc_jax.model.pose_net import PoseNet
from tpc_jax.model.vae import VAE, _fold_pixels, _unfold_pixels

CONFIG = VAEConfig(
    latent_channels=5,
    block_out_channels=(4, 8),
    layers_per_block=1,
    norm_num_groups=2,
    patch_size=2,
    scaling_factor=0.5,
)
IMAGES = jnp.clip(normal(0, 2, 12, 8, 3), -1, 1)


@pytest.fixture(scope="module")
def network():
    return P.abstract(VAE, CONFIG)


@pytest.fixture(scope="module")
def params(network):
    return numbers(network)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_folding_pixels(size):
    folded = _fold_pixels(IMAGES, size)
    assert folded.shape == (2, 12 // size, 8 // size, 3 * size**2)
    np.testing.assert_array_equal(_unfold_pixels(folded, size), IMAGES)
    # A cell holds its own block of pixels, not pixels from all over the picture.
    block = np.asarray(IMAGES)[0, :size, size : 2 * size]
    np.testing.assert_array_equal(folded[0, 0, 1], block.ravel())


def test_sizes_scale_and_precision(network, params):
    @jax.jit
    def call(params, images):
        vae = P.bind(network, params)
        latents = vae.encode(images)
        return *vae.moments(images), latents, vae.decode(latents)

    mean, log_variance, latents, decoded = call(params, IMAGES)
    assert mean.shape == log_variance.shape == (2, 12 // CONFIG.downscale, 8 // CONFIG.downscale, 5)
    np.testing.assert_allclose(latents, 0.5 * mean, rtol=1e-6)
    assert decoded.shape == IMAGES.shape
    rough = jax.eval_shape(call, P.cast(params, jnp.bfloat16), IMAGES)
    assert {array.dtype for array in rough} == {jnp.dtype(jnp.bfloat16)}


def test_a_fresh_pose_net_changes_nothing():
    config = PoseNetConfig(block_out_channels=(4, 6), out_channels=10)

    @jax.jit
    def fresh(key, pose):
        return P.bind(P.abstract(PoseNet, config), P.initialize(PoseNet, config, key=key))(pose)

    features = fresh(jax.random.key(0), jnp.ones((1, 4, 4, 3)))
    assert features.shape == (1, 2, 2, 10)
    assert not np.any(features)
