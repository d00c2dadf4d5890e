"""DreamPose's whole loops, filled by the converter, against the original code."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_model import GOLDEN, convert_golden_dreampose

from tpc_jax.animators.clip import AnimateOptions, ClipConditions, clip_table, sample_clip
from tpc_jax.animators.load import load_animator
from tpc_jax.animators.references import ClipReferences
from tpc_jax.animators.tokens import CONTEXT, NULL, SCENE
from tpc_jax.conditioning.levels import stretch_levels
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.sampler.guidance import guide_all

pytestmark = pytest.mark.slow
FOLDER = GOLDEN.parent / "dreampose"


def last(array):
    """Return pictures [..., channels, h, w] with channels last."""
    return np.moveaxis(array, -3, -1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_animator(convert_golden_dreampose(tmp_path_factory.mktemp("golden")))


@pytest.fixture(scope="module")
def data(model):
    return np.load(FOLDER / "io.npz")


@pytest.fixture(scope="module")
def settings(model):
    config = json.loads((FOLDER / "config.json").read_text())
    options = AnimateOptions(
        None, group_size=1, steps=config["num_inference_steps"],
        guidance_scale=(config["s1"], config["s2"]),
    )  # fmt: skip
    return options


def conditions(shared, calibrated, pose) -> ClipConditions:
    per_frame = () if calibrated is None else ((jnp.asarray(calibrated),),)
    references = ClipReferences((jnp.asarray(shared),), per_frame, (None,))
    return ClipConditions(references, jnp.asarray(pose))


def filled(model, data_null, start):
    """Return the parameters with the original's samples in place of our posterior means."""
    context = {NULL: jnp.asarray(data_null)}
    return {**model.params, CONTEXT: context, SCENE: jnp.asarray(start)}


def close(ours, theirs, what: str, tolerance=1e-3) -> None:
    """Compare relative to the largest magnitude."""
    ours, size = np.asarray(ours), np.abs(theirs).max()
    assert ours.shape == theirs.shape
    error = np.abs(ours - theirs).max() / size
    print(f"{what}: {error:.1e} of {size:.2g}")
    assert error <= tolerance, what


def guided(model, params, options, before, timesteps, read, pose):
    """Return the guided predictions from the original's latents before every step."""

    @jax.jit
    def predict(params, latents, timestep):
        branches = model.animator.denoise_branches(
            params, latents[None], timestep[None], (read,), pose[None]
        )
        return guide_all([b[0] for b in branches], options.guidance_scale)

    times = jnp.asarray(timesteps, jnp.float32)
    return np.stack(
        [predict(params, jnp.asarray(x), t) for x, t in zip(before, times, strict=True)]
    )


@pytest.mark.parametrize("sampler", ["pndm", "ddim"])
def test_loops_step_by_step(model, data, settings, sampler):
    animator = model.animator
    options = dataclasses.replace(settings, sampler="plms" if sampler == "pndm" else "ddim")
    params = filled(model, data["context"][0], last(data["vae_init_latent"])[0])
    pose = np.moveaxis(data["pose"], 1, -1)[:, ::8, ::8]
    table = clip_table(animator, options)
    np.testing.assert_array_equal(table.timestep, data[f"loop_{sampler}_timesteps"])
    noise = jnp.asarray(last(data["fixed_noise"]))
    start = animator.start(params, noise, int(table.timestep[0]))
    first = last(data[f"loop_{sampler}_init_latents"])
    close(start, first, "start")
    reads = conditions(data["context"][2:], None, pose)
    steps = sample_clip(animator, params, reads, options, jnp.array(start))
    latents = np.stack([np.asarray(x) for x in steps])
    theirs = last(data[f"loop_{sampler}_latents"])
    close(latents, theirs, "latents")
    close(latents[-1], last(data[f"loop_{sampler}_final_latents"]), "final latents")
    read = ReferenceTokens((jnp.asarray(data["context"][2:])[None],), (None,), None, None)
    before = np.concatenate([first[None], theirs[:-1]])
    ours = guided(model, params, options, before, table.timestep, read, jnp.asarray(pose))
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
    animator, params = model
    encoder, adapter = (animator._bind(name, params) for name in ("image_encoder", "adapter"))
    hidden = encoder.hidden(jnp.asarray(last(tpc["calibrated_pixel_values"])))
    tokens = adapter(hidden, jnp.asarray(last(tpc["calibrated_vae_latent"])))
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
    options = dataclasses.replace(settings, routing="open", sampler="ddim")
    params = filled(model, tpc["tokens_uncond"][0], np.zeros(animator.latent_shape, np.float32))
    pose = last(tpc["pose_latent_res"])
    reads = conditions(tpc["tokens_reference"], tpc["tokens_calibrated"], pose)
    table = clip_table(animator, options)
    np.testing.assert_array_equal(table.timestep, tpc["timesteps"])
    start = last(tpc["init_latents"])
    steps = sample_clip(animator, params, reads, options, jnp.asarray(start))
    latents = np.stack([np.asarray(x) for x in steps])
    close(latents, last(tpc["latents"]), "latents")
    close(latents[-1], last(tpc["final_latents"]), "final latents")
    parts = (
        jnp.asarray(tpc["tokens_reference"])[None],
        jnp.asarray(tpc["tokens_calibrated"])[None],
    )
    read = ReferenceTokens(parts, (None, None), None, jnp.arange(2)[None])
    before = np.concatenate([start[None], last(tpc["latents"])[:-1]])
    ours = guided(model, params, options, before, table.timestep, read, jnp.asarray(pose))
    close(ours, last(tpc["guided_noise"]), "guided noise")
