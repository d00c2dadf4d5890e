import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_models import SIZE, random_params, small_config, small_model

from tpc_jax.animators.tiny import TinyAnimator, TinyConfig
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens

FRAMES = 3


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def features_at(model):
    animator, params = model
    jitted = jax.jit(animator.features)
    return lambda latents, timestep=0.0: jitted(params, (), latents, timestep)


@pytest.fixture(scope="module")
def inputs(model, features_at):
    """Latents, pose features and reference features of one window."""
    animator, params = model
    rng = np.random.default_rng(0)
    pictures = jnp.asarray(rng.uniform(-1, 1, (2, SIZE, SIZE, 3)), jnp.float32)
    encoded = jax.jit(animator.encode)(params, pictures)
    poses = jnp.asarray(rng.uniform(0, 1, (FRAMES, SIZE, SIZE, 3)), jnp.float32)
    pose = jax.jit(animator.pose)(params, poses)
    latents = jnp.asarray(rng.normal(size=(1, FRAMES, *animator.latent_shape)), jnp.float32)
    return latents, pose[None], features_at(encoded)


@pytest.fixture(scope="module")
def predict(model):
    animator, params = model
    jitted = jax.jit(animator.predict, static_argnames="is_guided")

    def run(latents, references, pose, timestep=500.0, *, is_guided=False):
        timesteps = jnp.full(latents.shape[:1], timestep)
        return jitted(params, (), latents, timesteps, references, pose, is_guided=is_guided)

    return run


@pytest.fixture(scope="module")
def denoise(predict):
    """Return the one prediction of a run without guidance."""

    def run(*args, **options):
        (prediction,) = predict(*args, **options)
        return prediction

    return run


def tokens_of(features, picture=0):
    """Let all frames read one picture."""
    return tuple(
        ReferenceTokens((tokens[None, picture : picture + 1],), (None,), None)
        for tokens in features
    )


def test_shapes():
    animator = TinyAnimator(small_config((8, 16)))
    params = {name: network.spec for name, network in animator.networks().items()}
    assert animator.latent_shape == (4, 4, 4)
    assert animator.canvas.size == (SIZE, SIZE)
    # Down 1 + 1, middle 1, up 2 + 2 transformers; every one of them is read.
    assert animator.readers == ((4, 4), (2, 2), (2, 2), (2, 2), (2, 2), (4, 4), (4, 4))

    def run(params, pictures, poses):
        encoded = animator.encode(params, pictures)
        features = animator.features(params, (), encoded)
        pose = animator.pose(params, poses)
        latents = jnp.zeros((1, FRAMES, *animator.latent_shape))
        (prediction,) = animator.predict(
            params, (), latents, jnp.zeros(1), tokens_of(features), pose[None], is_guided=False
        )
        return encoded, features, pose, prediction, animator.decode(params, prediction[0])

    pictures, poses = (
        jax.ShapeDtypeStruct((count, SIZE, SIZE, 3), jnp.float32) for count in (2, FRAMES)
    )
    encoded, features, pose, prediction, frames = jax.eval_shape(run, params, pictures, poses)
    assert encoded.shape == (2, 4, 4, 4)
    grids = [height * width for height, width in animator.readers]
    assert [f.shape[:2] for f in features] == [(2, tokens) for tokens in grids]
    assert pose.shape == (FRAMES, 4, 4, 8)
    assert prediction.shape == (1, FRAMES, 4, 4, 4)
    assert frames.shape == (FRAMES, SIZE, SIZE, 3)


def test_the_unconditional_half_reads_nothing(inputs, predict, denoise):
    latents, pose, features = inputs
    unconditional, conditional = predict(latents, tokens_of(features), pose, is_guided=True)
    # In training a reference is hidden by bits that no query shares.
    hidden = tuple(
        ReferenceTokens(
            layer.tokens,
            (jnp.zeros(layer.tokens[0].shape[:3], jnp.uint32),),
            jnp.full((1, FRAMES, layer.tokens[0].shape[2]), 3, jnp.uint32),
        )
        for layer in tokens_of(features)
    )
    np.testing.assert_allclose(denoise(latents, hidden, pose), unconditional, atol=1e-4)
    np.testing.assert_allclose(denoise(latents, tokens_of(features), pose), conditional, atol=1e-5)
    assert not np.allclose(conditional, unconditional, atol=1e-2)


def test_the_prediction_depends_on_reference_pose_and_timestep(inputs, denoise):
    latents, pose, features = inputs
    base = denoise(latents, tokens_of(features), pose)
    for other in (
        denoise(latents, tokens_of(features, picture=1), pose),
        denoise(latents, tokens_of(features), pose[:, ::-1]),
        denoise(latents, tokens_of(features), pose, timestep=10.0),
    ):
        assert not np.allclose(other, base, atol=1e-2)


def test_motion_modules_join_the_frames_and_without_them_each_stands_alone(model, inputs, denoise):
    animator, params = model
    latents, pose, features = inputs
    changed = latents.at[0, -1].add(1.0)
    joined = [denoise(x, tokens_of(features), pose)[0, 0] for x in (latents, changed)]
    assert not np.allclose(*joined, atol=1e-3)

    config = animator.config
    still = TinyAnimator(
        dataclasses.replace(config, unet=dataclasses.replace(config.unet, motion=None))
    )
    leaves = P.flatten(params["unet"]).items()
    leaves = {path: leaf for path, leaf in leaves if "motion_modules" not in path}
    still_params = {**params, "unet": P.unflatten(still.networks()["unet"], leaves)}
    alone = jax.jit(functools.partial(still.predict, is_guided=False))
    frames = [
        alone(still_params, (), x, jnp.full(1, 500.0), tokens_of(features), pose)[0][0, 0]
        for x in (latents, changed)
    ]
    np.testing.assert_array_equal(*frames)


def test_features_do_not_depend_on_the_timestep(model, inputs, features_at):
    assert not model[0].encodes_every_step
    encoded = inputs[0][0, :2]
    early, late = (features_at(encoded, timestep) for timestep in (0.0, 900.0))
    jax.tree.map(np.testing.assert_array_equal, early, late)


def test_pictures_are_encoded_one_by_one(inputs, features_at):
    one, other = inputs[0][0, :2], inputs[0][0, 1:3]
    for a, b in zip(features_at(one), features_at(other), strict=True):
        np.testing.assert_allclose(a[1], b[0], atol=1e-5)


def test_settings_survive_storage():
    config = small_config()
    assert TinyConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="unknown TinyConfig keys"):
        TinyConfig.from_dict({"size": 3})


def test_parameters_of_another_width_are_refused(model):
    animator, _ = model
    other = random_params(TinyAnimator(small_config((4,))))
    with pytest.raises(ValueError, match="do not fit the network"):
        animator.pose(other, jnp.zeros((1, SIZE, SIZE, 3)))


def test_networks_are_described_once():
    one, other = (TinyAnimator(small_config()).networks() for _ in range(2))
    assert set(one) == {"vae", "unet", "appearance_encoder", "pose_net"}
    assert all(other[name] is network for name, network in one.items())


def test_pure_noise_tells_the_network_nothing(denoise, inputs):
    latents, pose, features = inputs
    last = TinyConfig().schedule.num_train_timesteps - 1.0
    runs = [
        [denoise(scale * latents, tokens_of(features), pose, timestep) for scale in (1, -2)]
        for timestep in (last, 500.0)
    ]
    np.testing.assert_allclose(*runs[0], atol=1e-5)
    assert float(jnp.abs(runs[1][0] - runs[1][1]).max()) > 1e-2
