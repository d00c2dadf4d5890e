"""DisCo with temporal module, filled by the converter, against the original code."""

import numpy as np
import pytest
from golden import ConvertedModel, Golden
from golden_model import convert_golden_disco
from torch_oracles import assert_close

from tpc_jax.animators.disco import combine

pytestmark = pytest.mark.slow
DATA = Golden("disco/temporal")
FRAMES = DATA.raw("cn_sample").shape[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return ConvertedModel(convert_golden_disco(tmp_path_factory.mktemp("golden"), "disco/temporal"))


def last(name):
    """Return videos [batch, channels, frames, h, w] as [batch, frames, h, w, channels]."""
    return np.moveaxis(DATA.raw(name), 1, -1)


def fold(video):
    return video.reshape(-1, *video.shape[2:])


def per_frame(array):
    return np.repeat(array, FRAMES, axis=0)


def test_residual_block(model):
    def call(unet, x, time):
        block = unet.down_blocks[1].resnets[0]
        return block(x, time, FRAMES)

    time = per_frame(DATA.raw("resblock_temb"))
    out = model.run("unet", call, fold(last("resblock_in")), time)
    assert_close(out, fold(last("resblock_out")), 1e-4)


def test_transformer(model):
    def call(unet, x, context):
        return unet.down_blocks[1].attentions[0](x, context, None, FRAMES)[0]

    context = per_frame(DATA.raw("cn_context"))
    out = model.run("unet", call, fold(last("transformer_in")), context)
    assert_close(out, fold(last("transformer_out")), 1e-4)


@pytest.fixture(scope="module")
def of_both(model):
    def call(net, latents, times, condition, context):
        embedded = net.embed_condition(condition)
        return net.residuals(latents, times, embedded, context, FRAMES)

    latents = fold(last("cn_sample"))
    times = per_frame(DATA.raw("cn_timesteps").astype(np.float32))
    context = per_frame(DATA.raw("cn_context"))
    background = per_frame(np.moveaxis(DATA.raw("cn_bg_latent"), 1, -1))
    conditions = {"pose": fold(last("cn_pose_video")), "background": background}
    return tuple(
        model.run(f"{name}_controlnet", call, latents, times, condition, context)
        for name, condition in conditions.items()
    )


def test_controlnets(of_both):
    results = {"pose": of_both[0], "bg": of_both[1], "sum": combine(of_both, (1.0, 1.0))}
    for name, ours in results.items():
        *down, mid = ours
        for index, residual in enumerate(down):
            theirs = fold(last(f"cn_{name}_down_{index:02}"))
            assert_close(residual, theirs, 1e-4, f"{name} {index}")
        assert_close(mid, fold(last(f"cn_{name}_mid")), 1e-4, f"{name} mid")


def test_denoiser(model, of_both):
    def call(unet, latents, times, context, *residuals):
        return unet(latents, times, context=context, residuals=residuals)

    times = DATA.raw("cn_timesteps").astype(np.float32)
    inputs = (last("cn_sample"), times, DATA.raw("cn_context"))
    assert_close(model.run("unet", call, *inputs), last("unet_out_plain"), 1e-4, "plain")
    both = combine(of_both, (1.0, 1.0))
    assert_close(model.run("unet", call, *inputs, *both), last("unet_out"), 1e-4, "steered")


def test_background_latent(model):
    pixels = np.moveaxis(DATA.raw("loop_bg_image"), 1, -1)
    mean, log_variance = model.run("vae", lambda vae, x: vae.moments(x), pixels)
    deviation = np.exp(log_variance / 2)
    eps = np.moveaxis(DATA.raw("loop_bg_vae_eps"), 1, -1)
    expected = np.moveaxis(DATA.raw("loop_bg_latent"), 1, -1)
    assert_close(0.18215 * (mean + deviation * eps), expected, 1e-4)


def test_the_window_is_the_published_clip(model):
    assert model.config.window_length == FRAMES
    assert model.config.unet.temporal
