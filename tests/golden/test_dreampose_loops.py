"""DreamPose's whole loops, filled by the converter, against the original code."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_loops import close, last, plan_steps, run, solved_predictions, token_conditions
from golden_model import GOLDEN, convert_golden_dreampose

from tpc_jax.animators.base import CONTEXT
from tpc_jax.animators.load import load
from tpc_jax.animators.tokens import NULL
from tpc_jax.conditioning.levels import stretch_levels
from tpc_jax.options import Options

pytestmark = pytest.mark.slow
FOLDER = GOLDEN.parent / "dreampose"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(convert_golden_dreampose(tmp_path_factory.mktemp("golden")))


@pytest.fixture(scope="module")
def data(model):
    return np.load(FOLDER / "io.npz")


@pytest.fixture(scope="module")
def settings(model):
    config = json.loads((FOLDER / "config.json").read_text())
    scales = float(config["s1"]), float(config["s2"])
    return Options(
        tpc=False, group_size=1, steps=config["num_inference_steps"], guidance_scale=scales
    )


def filled(model, null):
    """Return the parameters with the original's sample in place of our posterior mean."""
    return {**model.params, CONTEXT: {NULL: jnp.asarray(null)}}


@pytest.mark.parametrize("sampler", ["pndm", "ddim"])
def test_loops_step_by_step(model, data, settings, sampler):
    animator = model.animator
    options = dataclasses.replace(settings, sampler="plms" if sampler == "pndm" else "ddim")
    params, reading = (
        filled(model, data["context"][0]),
        jnp.asarray(last(data["vae_init_latent"]))[0],
    )
    cell = animator.config.vae.downscale
    pose = np.moveaxis(data["pose"], 1, -1)[:, ::cell, ::cell]
    timesteps = data[f"loop_{sampler}_timesteps"]
    noise = jnp.asarray(last(data["fixed_noise"]))
    start = animator.start(reading, noise, int(timesteps[0]))
    first = last(data[f"loop_{sampler}_init_latents"])
    close(start, first, "start")
    plan = plan_steps(animator, start, options, timesteps)
    reads = token_conditions(reading, data["context"][2:], None, pose)
    latents = run(plan, params, reads, start)
    theirs = last(data[f"loop_{sampler}_latents"])
    close(latents, theirs, "latents")
    close(latents[-1], last(data[f"loop_{sampler}_final_latents"]), "final latents")
    ours = solved_predictions(plan, first, latents)
    close(ours, last(data[f"loop_{sampler}_guided_noise"]), "guided noise")
    decode = jax.jit(animator.decode)(params, jnp.asarray(latents[-1]))
    image = np.clip(np.asarray(decode) / 2 + 0.5, 0, 1)
    close(image, data[f"loop_{sampler}_image"], "picture")
    # Pictures are rounded to grey levels before they are stretched.
    stretched = stretch_levels(np.rint(255 * image).astype(np.uint8))[0].astype(int)
    saved = data[f"loop_{sampler}_image_saved_u8"]
    assert np.abs(stretched - saved).max() <= 1


@pytest.fixture(scope="module")
def tpc(model):
    return np.load(FOLDER / "tpc.npz")


def test_tokens_of_calibrated_pictures(model, tpc):
    animator, params, _ = model

    @jax.jit
    def adapt(params, pixels, latents):
        encoder, adapter = (animator._bind(name, params) for name in ("image_encoder", "adapter"))
        return adapter(encoder.hidden(pixels), latents)

    inputs = (tpc[f"calibrated_{name}"] for name in ("pixel_values", "vae_latent"))
    tokens = adapt(params, *(jnp.asarray(last(array)) for array in inputs))
    close(tokens, tpc["tokens_calibrated"], "tokens", 1e-4)


def test_context_of_calibrated_pictures(tpc):
    """The golden context: two null rows, then reference and calibrated picture of each frame."""
    null, reference, calibrated = (
        tpc[f"tokens_{name}"] for name in ("uncond", "reference", "calibrated")
    )
    frames = [np.concatenate([reference[0], own]) for own in calibrated]
    twice = np.concatenate([null[0]] * 2)
    np.testing.assert_allclose(np.stack([twice, twice, *frames, *frames]), tpc["context"])


def test_tpc_step_by_step(model, tpc, settings):
    animator = model.animator
    options = dataclasses.replace(settings, tpc=True, routing="open", sampler="ddim")
    params = filled(model, tpc["tokens_uncond"][0])
    # A run from given latents reads the reference by its tokens only.
    reading = jnp.zeros(animator.latent_shape)
    pose = last(tpc["pose_latent_res"])
    reads = token_conditions(reading, tpc["tokens_reference"], tpc["tokens_calibrated"], pose)
    start = last(tpc["init_latents"])
    plan = plan_steps(animator, start, options, tpc["timesteps"])
    latents = run(plan, params, reads, start)
    close(latents, last(tpc["latents"]), "latents")
    close(latents[-1], last(tpc["final_latents"]), "final latents")
    ours = solved_predictions(plan, start, latents)
    close(ours, last(tpc["guided_noise"]), "guided noise")
