"""DisCo's networks, filled by the converter, and its inputs against the original code."""

import jax.numpy as jnp
import numpy as np
import pytest
from golden import ConvertedModel, Golden
from golden_model import convert_golden_disco
from torch_oracles import assert_close, compiled, convert

from tpc_jax.animators.disco import combine
from tpc_jax.conditioning.canvas import Canvas
from tpc_jax.conditioning.clip_pixels import normalise
from tpc_jax.conditioning.foreground import foreground, scene
from tpc_jax.convert.open import open_source
from tpc_jax.convert.read import inside
from tpc_jax.convert.tables import VISION
from tpc_jax.model import params as P

pytestmark = pytest.mark.slow
DATA = Golden("disco")
PREPROCESS = np.load(DATA.folder / "preprocess.npz")
COUNT = 12  # skip connections


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return ConvertedModel(convert_golden_disco(tmp_path_factory.mktemp("golden")))


def test_image_encoder(model):
    pixels = DATA["clip_pixel_values"]
    hidden, tokens = model.run(
        "image_encoder", lambda net, x: (net.hidden(x), net.project(net.hidden(x))), pixels
    )
    assert_close(hidden, DATA.raw("clip_last_hidden_state"), 1e-4, "hidden")
    assert_close(tokens, DATA.raw("clip_local_tokens"), 1e-4, "tokens")
    halves = DATA.raw("clip_local_tokens_cfg_uncond")
    null = np.broadcast_to(model.params["context"]["null"], tokens.shape)
    assert_close(np.concatenate([null, tokens]), halves, 1e-4, "with null")


def test_clip_s_own_projection(model):
    """Not used by the model, hence left out by the conversion."""
    source = inside(open_source(DATA.folder / "model.safetensors"), "clip_image_encoder.")
    arrays = {name: tensor.read() for name, tensor in source.tensors.items()}
    network = model.animator.networks()["image_encoder"]
    params = convert(VISION, arrays, network)
    embed = compiled(lambda params, x: P.bind(network, params)(x))
    out = embed(params, jnp.asarray(DATA["clip_pixel_values"]))
    assert_close(out, DATA.raw("clip_image_embeds"), 1e-4)


def test_null_tokens_of_the_recipe_without_dropped_references(tmp_path):
    model = ConvertedModel(convert_golden_disco(tmp_path, recipe="no-cfg"))
    null = model.params["context"]["null"]
    halves = DATA.raw("clip_local_tokens_cfg_zero")
    np.testing.assert_array_equal(np.broadcast_to(null, halves[:2].shape), halves[:2])
    assert model.config.guidance_scale == (3.0,)


def residuals(model, name, condition, context):
    """Return the embedded condition and all residuals of one ControlNet."""

    def call(net, latents, times, condition, context):
        embedded = net.embed_condition(condition)
        return embedded, net.residuals(latents, times, embedded, context)

    times = DATA.raw("cn_timesteps").astype(np.float32)
    return model.run(name, call, DATA["cn_sample"], times, condition, context)


@pytest.fixture(scope="module")
def of_pose(model):
    inputs = (DATA["cn_pose_image"], DATA.raw("cn_context"))
    return residuals(model, "pose_controlnet", *inputs)


def background(model, context):
    return residuals(model, "background_controlnet", DATA["cn_bg_latent"], DATA.raw(context))


def check(ours, name):
    *down, mid = ours
    assert len(down) == COUNT
    for index, residual in enumerate(down):
        assert_close(residual, DATA[f"cn_{name}_down_{index:02}"], 1e-4, f"down {index}")
    assert_close(mid, DATA[f"cn_{name}_mid"], 1e-4, "mid")


@pytest.fixture(scope="module")
def of_both(model, of_pose):
    return of_pose[1], background(model, "cn_context")[1]


def test_pose_controlnet(of_pose):
    assert_close(of_pose[0], DATA["cn_pose_cond_embedding"], 1e-4, "embedding")
    check(of_pose[1], "pose")


def test_background_controlnet(model):
    embedded, ours = background(model, "cn_context")
    assert_close(embedded, DATA["cn_bg_cond_embedding"], 1e-4, "embedding")
    check(ours, "bg")


def test_combinations(model, of_both):
    check(combine(of_both, (1.0, 1.0)), "sum")
    other = background(model, "cn_context_bg2")[1]
    check(combine((of_both[0], other), (0.7, 1.3)), "scaled")


def test_denoiser(model, of_both):
    def call(unet, latents, times, context, *residuals):
        return unet(latents[:, None], times, context=context, residuals=residuals)[:, 0]

    times = DATA.raw("cn_timesteps").astype(np.float32)
    context, other = DATA.raw("cn_context"), DATA.raw("cn_context_bg2")
    both = combine(of_both, (1.0, 1.0))
    plain = model.run("unet", call, DATA["cn_sample"], times, context)
    assert_close(plain, DATA["unet_out_plain"], 1e-4, "plain")
    steered = model.run("unet", call, DATA["cn_sample"], times, context, *both)
    assert_close(steered, DATA["unet_out"], 1e-4, "steered")
    long = np.concatenate([context, other], axis=1)
    out = model.run("unet", call, DATA["cn_sample"], times, long, *both)
    assert_close(out, DATA["unet_out_longctx"], 1e-4, "long context")


def test_background_latent(model):
    mean, log_variance = model.run("vae", lambda vae, x: vae.moments(x), DATA["loop_bg_image"])
    deviation = np.exp(log_variance / 2)
    assert_close(mean, DATA["loop_bg_vae_mean"], 1e-4, "mean")
    assert_close(deviation, DATA["loop_bg_vae_std"], 1e-4, "deviation")
    latent = 0.18215 * (mean + deviation * DATA["loop_bg_vae_eps"])
    assert_close(latent, DATA["loop_bg_latent"], 1e-4, "latent")


def picture(name):
    return np.moveaxis(PREPROCESS[name], 0, -1)


def test_pictures():
    image, mask = PREPROCESS["reference_u8"], PREPROCESS["reference_mask_u8"][..., 0]
    canvas, side = canvas_of("label_imgs"), len(picture("reference_img"))
    person = normalise(jnp.asarray(foreground(image, mask, side)))
    assert_close(person, picture("reference_img"), 1e-4, "person")
    behind = scene(image, mask, canvas)
    assert_close(behind, picture("reference_img_controlnet"), 2 / 255, "scene")
    target = canvas.pictures(PREPROCESS["target_u8"]) / np.float32(127.5) - 1
    assert_close(target, picture("label_imgs"), 1e-5, "target")
    pose = canvas.pictures(PREPROCESS["pose_u8"]) / np.float32(255)
    assert_close(pose, picture("cond_imgs"), 1e-5, "pose")


def canvas_of(name) -> Canvas:
    return Canvas(picture(name).shape[:2], "crop")


def test_masks():
    """White pictures show the masks themselves, of the person as CLIP reads it and of the scene."""
    mask = PREPROCESS["reference_mask_u8"][..., 0]
    white = np.full((*mask.shape, 3), 255, np.uint8)
    wanted = picture("background_mask")
    shown = foreground(white, mask, len(wanted))[..., :1]
    lowest = foreground(white, np.zeros_like(mask), len(wanted))[0, 0, 0]
    assert_close(1 - (shown - lowest) / (1 - lowest), wanted, 1e-5, "person")
    name = "background_mask_controlnet"
    assert_close(scene(white, mask, canvas_of(name))[..., :1], picture(name), 1e-5, "scene")
