"""DreamPose's networks, filled by the converter, and its inputs against the original code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import ConvertedModel, Golden
from golden_model import convert_golden_dreampose
from torch_oracles import assert_close, compiled

from tpc_jax.animators.reading import with_neighbours
from tpc_jax.conditioning.canvas import Canvas
from tpc_jax.conditioning.clip_pixels import centre_pixels
from tpc_jax.conditioning.uv import fit_uv
from tpc_jax.model import params as P

pytestmark = pytest.mark.slow
DATA = Golden("dreampose")
PREPROCESS = np.load(DATA.folder / "preprocess.npz")
LEVEL = 2 / 255 / 0.26  # one grey level of a normalised picture


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return ConvertedModel(convert_golden_dreampose(tmp_path_factory.mktemp("golden")))


def test_adapter(model):
    inputs = (DATA.raw("adapter_clip_in"), DATA["adapter_vae_in"])
    out = model.run("adapter", lambda adapter, *x: adapter(*x), *inputs)
    assert_close(out, DATA.raw("adapter_out"), 1e-4)


def test_image_encoder(model):
    out = model.run("image_encoder", lambda net, x: net.hidden(x), DATA["clip_pixel_values"])
    assert_close(out, DATA.raw("clip_last_hidden_state"), 1e-4)


@pytest.mark.parametrize("name", ["cond", "uncond", "init"])
def test_autoencoder(model, name):
    """The same picture in both of its ranges, and the empty picture with its axes swapped."""
    picture = DATA.raw("image_u8").astype(np.float32)
    empty = np.zeros((picture.shape[1], picture.shape[0], 3), np.float32)
    pixels = {"cond": picture, "uncond": empty, "init": picture / 127.5 - 1}[name]
    # Sums over a picture of one colour need double precision, see `convert.dreampose`.
    with jax.enable_x64(name == "uncond"):
        params = P.cast(model.params["vae"], np.float64 if name == "uncond" else np.float32)
        moments = jax.jit(lambda p, x: P.bind(model.animator.networks()["vae"], p).moments(x))
        mean, log_variance = map(np.asarray, moments(params, jnp.asarray(pixels[None])))
    scale = np.abs(DATA[f"vae_{name}_mean"]).max()
    assert_close(mean / scale, DATA[f"vae_{name}_mean"] / scale, 2e-5, "mean")
    assert_close(np.exp(log_variance / 2), DATA[f"vae_{name}_std"], 1e-4, "deviation")
    sampled = 0.18215 * (mean + np.exp(log_variance / 2) * DATA[f"vae_{name}_eps"])
    assert_close(sampled / scale, DATA[f"vae_{name}_latent"] / scale, 2e-5, "latent")


def test_denoiser(model):
    """One timestep for all, then one each with a context of twice the tokens."""

    def call(unet, sample, times, context):
        return unet(sample[:, None], times, context=context)[:, 0]

    for name, times in (("unet", "unet_timestep"), ("unet_long", "unet_long_timesteps")):
        sample = DATA[f"{name}_sample"]
        steps = np.broadcast_to(DATA.raw(times), len(sample)).astype(np.float32)
        out = model.run("unet", call, sample, steps, DATA.raw(f"{name}_context"))
        assert_close(out, DATA[f"{name}_out"], 1e-4, name)


def test_pixels_of_the_reference_and_of_the_empty_picture(model):
    side = model.config.image_encoder.image_size
    picture = DATA.raw("image_u8")[None].astype(np.float32) / 255
    ours = centre_pixels(jnp.asarray(picture), side)
    assert np.abs(ours - DATA["clip_pixels_cond"]).max() <= LEVEL
    assert np.abs(ours - DATA["clip_pixels_cond"]).mean() <= LEVEL / 100
    empty = np.asarray(centre_pixels(jnp.zeros_like(picture), side))
    assert_close(empty, DATA["clip_pixels_uncond"], 1e-5)


def test_context(model):
    """Adapter outputs of the golden pixels and latents: what the loops read."""
    pixels = np.concatenate([DATA["clip_pixels_uncond"], DATA["clip_pixels_cond"]])
    hidden = model.run("image_encoder", lambda net, x: net.hidden(x), pixels)
    rows = []
    for index, name in enumerate(("uncond", "cond")):
        latent = DATA[f"vae_{name}_latent"]
        inputs = (hidden[index : index + 1], latent)
        rows.append(model.run("adapter", lambda adapter, *x: adapter(*x), *inputs))
    assert_close(np.concatenate([*rows, rows[1]]), DATA.raw("context"), 1e-4)


def test_the_stored_null_context_has_the_posterior_mean(model):
    """The original's null context comes from a sample, ours from the mean of the same posterior."""
    hidden = model.run("image_encoder", lambda net, x: net.hidden(x), DATA["clip_pixels_uncond"])
    mean = 0.18215 * DATA["vae_uncond_mean"]
    expected = model.run("adapter", lambda adapter, *x: adapter(*x), hidden, mean)
    assert_close(model.params["context"]["null"], expected[0], 1e-5)


def test_first_input_of_the_denoiser(model):
    cell = model.config.vae.downscale
    pose = np.moveaxis(DATA.raw("pose"), 1, -1)[:, ::cell, ::cell]
    latents = DATA["loop_pndm_init_latents"]
    zeros = np.zeros_like(pose)
    rows = [np.concatenate([latents, p], axis=-1) for p in (zeros, pose, zeros)]
    assert_close(np.concatenate(rows), DATA["unet_in_step0"], 1e-4)


def test_pictures():
    fitted = PREPROCESS["key_frame_512x640_u8"]
    key = Canvas(fitted.shape[:2], "stretch").pictures(PREPROCESS["key_frame_u8"])
    np.testing.assert_array_equal(key, fitted)
    wanted = np.moveaxis(PREPROCESS["clip_pixel_values"], 1, -1)
    shrink = compiled(lambda x: centre_pixels(x, wanted.shape[1]))
    error = np.abs(shrink(key[None].astype(np.float32) / 255) - wanted)
    assert error.max() <= LEVEL
    assert (error > 1e-4).mean() < 1e-3


def test_poses(model):
    animator = model.animator
    size = PREPROCESS["key_frame_512x640_u8"].shape[:2]
    full = fit_uv(np.moveaxis(PREPROCESS["pose_raw"], 1, -1), size)
    middle = np.moveaxis(PREPROCESS["pose_full_frame2"], 0, -1)
    stride = size[0] // len(middle)
    assert_close(2 * full[2, ::stride, ::stride] - 1, middle, 1e-4, "full")
    poses = with_neighbours(animator.pose({}, jnp.asarray(full)), animator.pose_reach)
    expected = np.moveaxis(PREPROCESS["pose_unet_input"], 1, -1)[0]
    assert_close(poses[2], expected, 1e-4, "window")
