"""DisCo's whole loops, filled by the converter, against the original code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_loops import close, last, plan_steps, run, solved_predictions, token_conditions
from golden_model import GOLDEN, convert_golden_disco

from tpc_jax.animators.base import CONTEXT, jitted
from tpc_jax.animators.disco import Scene
from tpc_jax.animators.load import load
from tpc_jax.animators.tokens import NULL
from tpc_jax.options import Options

pytestmark = pytest.mark.slow
FOLDER = GOLDEN.parent / "disco"
STEPS = 3
# Name of the loop: (guidance, sampler, whether null tokens are zeros)
LOOPS = {
    "ddim_uncondimg": (1.5, "ddim", False),
    "ddim_zerotok": (3.0, "ddim", True),
    "ddim_nocfg": (1.0, "ddim", False),
    "pndm_uncondimg": (1.5, "plms", False),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(convert_golden_disco(tmp_path_factory.mktemp("golden")))


@pytest.fixture(scope="module")
def data(model):
    return np.load(FOLDER / "io.npz")


@pytest.fixture(scope="module")
def tpc(model):
    return np.load(FOLDER / "tpc.npz")


@pytest.fixture(scope="module")
def tokens(model):
    """From normalised pictures to tokens, by the animator's own path."""
    animator, params, _ = model
    embed = jax.jit(animator.person_tokens)
    return lambda pixels: np.asarray(embed(params, jnp.asarray(last(pixels))))


def scene(latents, tokens) -> Scene:
    """Return what is read of the reference, with the original's sample of the scene."""
    return Scene(jnp.asarray(latents), jnp.asarray(tokens))


@pytest.mark.parametrize("name", LOOPS)
def test_loops_step_by_step(model, data, tokens, name):
    """Every picture of the batch has a reference and a scene of its own: a clip each."""
    animator, params, _ = model
    scale, sampler, has_zeros = LOOPS[name]
    options = Options(tpc=False, steps=STEPS, guidance_scale=(scale,), sampler=sampler)
    read = tokens(data["loop_reference_pixel_values"])
    if has_zeros:
        params = {**params, CONTEXT: {NULL: jnp.zeros_like(read[0])}}
    pose = jitted(animator, "pose")(params, jnp.asarray(last(data["loop_pose_image"])))
    timesteps = data[f"loop_{name}_timesteps"]
    theirs = last(data[f"loop_{name}_latents"])
    noise = last(data[f"loop_{name}_guided_noise"])
    start = last(data["loop_init_latents"])
    decode = jitted(animator, "decode")
    for index in range(len(start)):
        own = slice(index, index + 1)
        latents = last(data["loop_bg_latent"])[index]
        plan = plan_steps(animator, start[own], options, timesteps)
        reading = scene(latents, read[index])
        conditions = token_conditions(reading, read[own], None, pose[own])
        ours = run(plan, params, conditions, start[own])
        close(ours, theirs[:, own], f"latents {index}")
        close(ours[-1], last(data[f"loop_{name}_final_latents"])[own], "final latents")
        predicted = solved_predictions(plan, start[own], ours)
        close(predicted, noise[:, own], "guided noise")
        shown = np.asarray(decode(params, jnp.asarray(ours[-1])))
        image = last(data[f"loop_{name}_image"])[own]
        close(np.clip(shown / 2 + 0.5, 0, 1), image, "picture")


def test_tpc_step_by_step(model, tpc, tokens):
    animator, params, _ = model
    frames = len(tpc["init_latents"])
    options = Options(routing="open", group_size=1, steps=STEPS, guidance_scale=(1.5,))
    reference = tokens(tpc["reference_pixel_values"])
    calibrated = tokens(tpc["calibrated_pixel_values"])
    for name, own in (("reference", reference), ("calibrated", calibrated)):
        halves = tpc[f"tokens_{name}_cfg"]
        close(own, halves[frames:], f"tokens of the {name}", 1e-4)
        null = np.broadcast_to(params[CONTEXT][NULL], own.shape)
        close(null, halves[:frames], "null tokens", 1e-4)
    rows = [np.concatenate([null, null], axis=1), np.concatenate([reference, calibrated], axis=1)]
    close(np.concatenate(rows), tpc["context"], "context", 1e-4)
    pose = jitted(animator, "pose")(params, jnp.asarray(last(tpc["pose_image"])))
    reading = scene(last(tpc["bg_latent"])[0], reference[0])
    conditions = token_conditions(reading, reference[:1], calibrated, pose)
    start = last(tpc["init_latents"])
    plan = plan_steps(animator, start, options, tpc["timesteps"])
    ours = run(plan, params, conditions, start)
    theirs = last(tpc["latents"])
    close(ours, theirs, "latents")
    close(ours[-1], last(tpc["final_latents"]), "final latents")
    predicted = solved_predictions(plan, start, ours)
    close(predicted, last(tpc["guided_noise"]), "guided noise")


def test_the_temporal_variant_step_by_step(tmp_path):
    animator, params, _ = load(convert_golden_disco(tmp_path, "disco/temporal"))
    data = np.load(FOLDER / "temporal" / "io.npz")
    options = Options(tpc=False, steps=STEPS, guidance_scale=(1.5,))
    pixels = jnp.asarray(last(data["loop_reference_pixel_values"]))
    read = jax.jit(animator.person_tokens)(params, pixels)

    def video(name):
        return np.moveaxis(data[name], -4, -1)

    pose = jax.jit(animator.pose)(params, jnp.asarray(video("loop_pose_video")[0]))
    reading = scene(last(data["loop_bg_latent"])[0], read[0])
    conditions = token_conditions(reading, read, None, pose)
    start, theirs = video("loop_init_latents")[0], video("loop_latents")[:, 0]
    plan = plan_steps(animator, start, options, data["loop_timesteps"])
    ours = run(plan, params, conditions, start)
    close(ours, theirs, "latents")
    close(ours[-1], video("loop_final_latents")[0], "final latents")
    close(ours[-1], last(data["loop_decoder_input"]), "decoder input")
    predicted = solved_predictions(plan, start, ours)
    close(predicted, video("loop_guided_noise")[:, 0], "guided noise")
    shown = np.asarray(jax.jit(animator.decode)(params, jnp.asarray(ours[-1])))
    close(np.clip(shown / 2 + 0.5, 0, 1), video("loop_image_seq")[0], "pictures")
