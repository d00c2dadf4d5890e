"""Properties of the denoiser and the appearance encoder that need no oracle."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_networks import (
    BATCH,
    CONFIG,
    FRAMES,
    HIDDEN,
    LATENTS,
    POSE,
    SIZE,
    TIMES,
    WITH_CONTEXT,
    encoder,
    normal,
    numbers,
    references,
    unet,
)

from tpc_jax.model import params as P
from tpc_jax.model.reference_unet import AppearanceEncoder


@pytest.fixture(scope="module")
def params():
    return numbers(unet())


@jax.jit
def read(params, latents, times, pose, references):
    return P.bind(unet(), params)(latents, times, pose=pose, references=references)


@pytest.fixture(scope="module")
def plain():
    @jax.jit
    @chex.assert_max_traces(n=1)
    def call(params, latents, times, pose):
        return P.bind(unet(), params)(latents, times, pose=pose)

    return call


def test_hidden_references_are_the_unconditional_pass(params, plain):
    unconditional = plain(params, LATENTS, TIMES, POSE)
    hidden = read(params, LATENTS, TIMES, POSE, references(HIDDEN))
    np.testing.assert_allclose(hidden, unconditional, atol=1e-5)
    shown = read(params, LATENTS, TIMES, POSE, references())
    assert np.abs(shown - unconditional).max() > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("reads", ["full", "midup"])
def test_both_rows_of_guidance_are_two_calls(params, plain, reads):
    """With midup the down path reads nothing, and is shared."""
    parts = references() if reads == "full" else (None, *references()[1:])
    shapes = [(*SIZE, 8), (*SIZE, 8), (2, 3, 8), (2, 3, 12), (2, 3, 12)]
    residuals = tuple(normal(i, BATCH * FRAMES, *shape) for i, shape in enumerate(shapes))

    @jax.jit
    def both(params):
        return P.bind(unet(), params).without_and_with(
            LATENTS, TIMES, pose=POSE, references=parts, residuals=residuals
        )

    @jax.jit
    def one(params, references):
        return P.bind(unet(), params)(
            LATENTS, TIMES, pose=POSE, references=references, residuals=residuals
        )

    without, with_references = both(params)
    np.testing.assert_allclose(without, one(params, None), atol=1e-5)
    np.testing.assert_allclose(with_references, one(params, parts), atol=1e-5)
    assert np.abs(without - with_references).max() > 0.01


def test_one_trace_serves_every_step(params, plain):
    outs = [plain(params, LATENTS, TIMES + step, POSE) for step in range(3)]
    other = plain(jax.tree.map(lambda x: x * 0.5, params), LATENTS, TIMES, POSE)
    assert np.abs(outs[0] - outs[1]).max() > 1e-4
    assert np.abs(outs[0] - other).max() > 1e-2


def test_rows_of_a_batch_are_independent(params, plain):
    changed = plain(params, LATENTS.at[1].add(1.0), TIMES, POSE)
    before = plain(params, LATENTS, TIMES, POSE)
    np.testing.assert_allclose(changed[0], before[0], atol=1e-6)
    assert np.abs(changed[1] - before[1]).max() > 0.05


def test_frames_of_a_window_influence_each_other(params, plain):
    changed = plain(params, LATENTS.at[0, 0].add(1.0), TIMES, POSE)
    assert np.abs(changed - plain(params, LATENTS, TIMES, POSE))[0, 1:].max() > 1e-3


@pytest.mark.slow
def test_gradients_are_finite_and_reach_every_parameter(params):
    @jax.jit
    def gradients(params, times):
        def loss(params):
            denoise = P.bind(unet(), params)
            return jnp.mean(denoise(LATENTS, times, pose=POSE, references=references()) ** 2)

        return jax.grad(loss)(params)

    for path, gradient in P.flatten(gradients(params, TIMES)).items():
        assert np.all(np.isfinite(gradient)), path
        assert np.abs(gradient).max() > 0, path


@pytest.mark.slow
def test_bfloat16_is_close_and_stays_bfloat16(params):
    exact = read(params, LATENTS, TIMES, POSE, references())
    # Inputs are float32: one of them alone would otherwise turn the whole run into float32.
    rough = read(P.cast(params, jnp.bfloat16), LATENTS, TIMES, POSE, references())
    assert rough.dtype == jnp.bfloat16
    error = np.asarray(rough, np.float32) - np.asarray(exact)
    assert np.sqrt(np.mean(error**2)) < 0.03 * np.std(exact)


def test_a_wrong_number_of_references(params):
    with pytest.raises(ValueError, match="references must have 4 entries, got 3"):
        jax.eval_shape(read, params, LATENTS, TIMES, POSE, references()[:-1])


@pytest.mark.parametrize("config", [CONFIG, WITH_CONTEXT], ids=["surplus", "missing"])
def test_context_must_be_given_exactly_if_configured(config):
    network = unet(config)
    context = normal(0, 2, 1, 8) if config.cross_attention_dim is None else None

    def call(params):
        return P.bind(network, params)(LATENTS, TIMES, context=context)

    with pytest.raises(ValueError, match="context must be given exactly if"):
        jax.eval_shape(call, network.spec)


def test_a_window_may_not_exceed_the_position_table(params):
    latents = jnp.zeros((1, 7, *SIZE, 3))
    with pytest.raises(ValueError, match="at most 6 frames, got 7"):
        jax.eval_shape(lambda p: P.bind(unet(), p)(latents, TIMES[:1]), params)


def test_encoder_makes_what_the_denoiser_reads():
    features = jax.eval_shape(
        lambda params, x, t: P.bind(encoder(), params)(x, t),
        encoder().spec,
        jax.ShapeDtypeStruct((5, *SIZE, 3), jnp.float32),
        jax.ShapeDtypeStruct((5,), jnp.float32),
    )
    wanted = [part.tokens[0].shape[2:] for part in references()]
    assert [feature.shape[1:] for feature in features] == wanted
    assert all(feature.shape[0] == 5 for feature in features)


def test_encoder_needs_attention_at_the_finest_level():
    config = dataclasses.replace(CONFIG, attention_levels=(False, True))
    with pytest.raises(ValueError, match="attention at the finest level"):
        P.abstract(AppearanceEncoder, config)


def test_key_bits_without_query_bits(params):
    parts = tuple(part._replace(query_bits=None) for part in references())
    with pytest.raises(ValueError, match="key_bits without query_bits"):
        jax.eval_shape(read, params, LATENTS, TIMES, POSE, parts)
