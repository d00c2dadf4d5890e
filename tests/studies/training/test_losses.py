import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_models import random_params, small_config

from tpc_jax.animators.tiny import TinyAnimator
from tpc_jax.sampler.schedule import alphas_cumprod
from tpc_jax.studies.training.batches import make_batch
from tpc_jax.studies.training.config import StageConfig, TrainConfig
from tpc_jax.studies.training.losses import denoiser_loss, to_model_range, vae_loss

CLIPS, FRAMES = 3, 2
CONFIG = TrainConfig(
    model=small_config((8,)), motion_frames=6, foreground_weight=3.0, pure_noise_share=0.0
)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def batch():
    stage = StageConfig(steps=1, clips=CLIPS, frames=FRAMES, learning_rate=1.0)
    batch = make_batch(CONFIG, stage, 0, consecutive=True)
    batch = batch._replace(is_conditional=np.array([True, False, True]))
    return jax.tree.map(jnp.asarray, batch)


class Recorder(TinyAnimator):
    """Pools pictures 4 x 4 into latents, predicts zeros, and writes down what it was asked."""

    def __init__(self, config):
        super().__init__(config)
        object.__setattr__(self, "seen", {})

    def encode(self, params, images):
        pooled = images.reshape(len(images), 4, 4, 4, 4, 3).mean((2, 4))
        return jnp.concatenate([pooled, pooled[..., :1]], axis=-1)

    def pose(self, params, pictures):
        return self.encode(params, pictures)

    def features(self, params, reading, encoded, timestep=0.0):
        return (encoded.reshape(len(encoded), 16, 4),)

    def predict(self, params, reading, latents, timesteps, references, pose, *, is_guided):
        assert not is_guided
        self.seen.update(latents=latents, timesteps=timesteps, references=references, pose=pose)
        return (jnp.zeros_like(latents),)


@pytest.mark.parametrize("use_motion", [True, False])
def test_the_target_is_the_clean_clip_weighted_towards_the_person(batch, use_motion):
    recorder = Recorder(CONFIG.model)
    loss = denoiser_loss(
        {}, batch, KEY, vae={}, animator=recorder, config=CONFIG, use_motion=use_motion
    )
    clean = np.stack([recorder.encode(None, to_model_range(f)) for f in batch.frames])
    weight = 1 + 2 * np.asarray(batch.mask).reshape(CLIPS, FRAMES, 4, 4, 4, 4).mean((3, 5))
    # Nothing was predicted, so the error is the target itself.
    expected = np.mean((weight / weight.mean())[..., None] * clean**2)
    np.testing.assert_allclose(loss, expected, rtol=1e-4)

    noisy = recorder.seen["latents"]
    timesteps = np.asarray(recorder.seen["timesteps"]).astype(int)
    if use_motion:
        assert noisy.shape == (CLIPS, FRAMES, 4, 4, 4)
        assert timesteps.shape == (CLIPS,)
        timesteps = np.repeat(timesteps, FRAMES)
    else:
        assert noisy.shape == (CLIPS * FRAMES, 1, 4, 4, 4)
        assert len(set(timesteps.tolist())) > CLIPS
    squared = alphas_cumprod(CONFIG.model.schedule)[timesteps.reshape(CLIPS, FRAMES)]
    signal, sigma = (np.sqrt(x)[..., None, None, None] for x in (squared, 1 - squared))
    noise = (np.asarray(noisy).reshape(clean.shape) - signal * clean) / sigma
    assert abs(noise.mean()) < 0.15
    assert abs(noise.std() - 1) < 0.15


def test_pure_noise_has_its_share_of_the_windows(batch):
    for share in (0.0, 0.5, 1.0):
        config = dataclasses.replace(CONFIG, pure_noise_share=share)
        recorder, are_last = Recorder(config.model), []
        for seed in range(20):
            key = jax.random.key(seed)
            denoiser_loss(
                {}, batch, key, vae={}, animator=recorder, config=config, use_motion=False
            )
            last = config.model.schedule.num_train_timesteps - 1
            are_last.extend((recorder.seen["timesteps"] == last).tolist())
        assert abs(np.mean(are_last) - share) < 0.15 * (0 < share < 1) + 0.02


@pytest.mark.parametrize("use_motion", [True, False])
def test_every_window_reads_its_own_person_unless_hidden(batch, use_motion):
    recorder = Recorder(CONFIG.model)
    denoiser_loss({}, batch, KEY, vae={}, animator=recorder, config=CONFIG, use_motion=use_motion)
    (layer,) = recorder.seen["references"]
    windows = 1 if use_motion else FRAMES
    (tokens,), (key_bits,) = layer.tokens, layer.key_bits
    pooled = recorder.encode(None, to_model_range(batch.reference))
    for window in range(CLIPS * windows):
        clip = window // windows
        np.testing.assert_allclose(tokens[window, 0], pooled[clip].reshape(16, 4), atol=1e-6)
        is_read = (layer.query_bits[window, :, :, None] & key_bits[window, :, None, :]) != 0
        assert is_read.shape == (FRAMES if use_motion else 1, 16, 16)
        assert (np.asarray(is_read) == batch.is_conditional[clip]).all()
        frame = 0 if use_motion else window % windows
        pose = recorder.encode(None, batch.pose[clip, frame][None])[0]
        np.testing.assert_allclose(recorder.seen["pose"][window, 0], pose, atol=1e-6)


@pytest.fixture(scope="module")
def gradient():
    """Compiled loss and gradient of the real networks, single pictures without motion."""
    animator = TinyAnimator(small_config(has_motion=False))
    params = random_params(animator)
    loss = functools.partial(
        denoiser_loss,
        vae=params.pop("vae"),
        animator=animator,
        config=CONFIG,
        use_motion=False,
    )
    return params, jax.jit(jax.value_and_grad(loss))


def descend(loss_and_gradient, params, batch, num_steps=8):
    """Train on one batch with one noise; return the losses on the way."""
    optimizer = optax.adam(3e-3)
    update = jax.jit(optimizer.update)
    state, losses = optimizer.init(params), []
    for _ in range(num_steps):
        loss, slope = loss_and_gradient(params, batch, KEY)
        updates, state = update(slope, state)
        params = optax.apply_updates(params, updates)
        losses.append(float(loss))
    return losses


@pytest.mark.slow
def test_a_few_steps_lower_the_loss_on_one_batch(batch, gradient):
    params, loss_and_gradient = gradient
    losses = descend(loss_and_gradient, params, batch)
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.9 * losses[0]


def test_hidden_references_teach_the_appearance_encoder_nothing(batch, gradient):
    params, loss_and_gradient = gradient
    for shown in (False, True):
        _, slope = loss_and_gradient(params, batch._replace(is_conditional=np.full(3, shown)), KEY)
        largest = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(slope["appearance_encoder"]))
        assert (largest > 0) == shown
        # Everything else learns either way.
        assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(slope["pose_net"])) > 0


def test_a_few_steps_lower_the_autoencoder_loss(batch):
    animator = TinyAnimator(CONFIG.model)
    loss = functools.partial(vae_loss, network=animator.networks()["vae"], config=CONFIG)
    params = random_params(animator)["vae"]
    losses = descend(jax.jit(jax.value_and_grad(loss)), params, batch, num_steps=12)
    assert losses[-1] < 0.9 * losses[0]


def test_pixels_map_onto_the_models_range():
    pixels = jnp.asarray([0, 51, 255], jnp.uint8)
    np.testing.assert_allclose(to_model_range(pixels), [-1.0, -0.6, 1.0], atol=1e-6)
