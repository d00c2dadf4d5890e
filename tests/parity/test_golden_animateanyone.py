"""AnimateAnyone's networks, filled by the converter, against results of the original code."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import Golden
from golden_animateanyone import load_golden
from torch_oracles import assert_close, compiled, convert

from tpc_jax.conditioning.clip_pixels import clip_pixels
from tpc_jax.convert.tables import VAE as VAE_RULES
from tpc_jax.io.resampling import resize_8bit
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens

pytestmark = pytest.mark.slow
DATA = Golden("animateanyone")
TOKEN = DATA.raw("clip_image_embeds")


class Model:
    """The converted networks, each called through one compiled function."""

    def __init__(self, root):
        self.animator, self.params, _ = load_golden(root)
        self.config = self.animator.config

    def run(self, name: str, call, *inputs):
        network = self.animator.networks()[name]
        bound = compiled(lambda params, *args: call(P.bind(network, params), *args))
        return bound(self.params[name], *inputs)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Model(tmp_path_factory.mktemp("golden"))


def test_the_configs_are_read(model):
    inference = DATA.json("inference_config")
    motion = inference["unet_additional_kwargs"]["motion_module_kwargs"]
    unet = model.config.unet
    assert unet.block_out_channels == tuple(DATA.json("unet/config")["block_out_channels"])
    assert unet.norm_num_groups == DATA.json("unet/config")["norm_num_groups"]
    # Whatever the groups of the networks, the original's motion modules have 32.
    assert unet.motion.norm_num_groups == 32
    assert unet.motion.max_frames == motion["temporal_position_encoding_max_len"]
    assert unet.motion.use_mid_block
    assert not unet.norm_over_frames
    guider = DATA.json("pose_guider_config")
    assert model.config.pose_net.block_out_channels == tuple(guider["block_out_channels"])
    assert model.config.pose_net.out_channels == guider["conditioning_embedding_channels"]


def test_resized_pictures():
    side, size = DATA.raw("clip_resized_u8").shape[0], DATA.raw("ref_pixels_u8").shape[:2]
    image, pose = DATA.raw("loop_ref_image"), DATA.raw("loop_pose_frames")
    same = np.testing.assert_array_equal
    same(resize_8bit(image, (side, side), "bicubic"), DATA.raw("clip_resized_u8"))
    same(resize_8bit(image, size, "lanczos"), DATA.raw("ref_pixels_u8"))
    same(resize_8bit(pose, size, "lanczos"), DATA.raw("pose_pixels_u8"))


def test_image_embedding(model):
    pixels = clip_pixels(DATA.raw("loop_ref_image")[None], model.config.image_encoder.image_size)
    assert_close(pixels[:, ::16, ::16], DATA["clip_pixel_values_sub16"], 1e-5, "pixels")
    both = np.concatenate([pixels, np.zeros_like(pixels)])
    hidden, embedding = model.run("image_encoder", lambda net, x: (net.hidden(x), net(x)), both)
    stored = DATA.raw("clip_last_hidden_state_first8")
    assert_close(hidden[:1, : stored.shape[1]], stored, 1e-3, "hidden")
    assert_close(embedding[:1], TOKEN, 1e-4, "embedding")
    assert_close(embedding[1:], DATA.raw("clip_zero_input_embeds"), 1e-4, "of zeros")
    image = DATA.raw("loop_ref_image")
    reading = model.animator.read_reference(model.params, image, np.ones(image.shape[:2], bool))
    assert_close(reading, TOKEN, 1e-4, "reading")


def test_autoencoder(model):
    image = DATA.raw("ref_pixels_u8")[None] / np.float32(127.5) - 1
    scaled = DATA["vae_dec_latents"] * np.float32(model.config.vae.scaling_factor)
    mean, log_variance, latent, decoded = model.run(
        "vae",
        lambda vae, image, latents: (*vae.moments(image), vae.encode(image), vae.decode(latents)),
        image,
        scaled,
    )
    assert_close(mean, DATA["vae_enc_mean"], 1e-4, "mean")
    assert_close(log_variance, DATA["vae_enc_logvar"], 1e-4, "log variance")
    assert_close(latent, DATA["ref_latents"], 1e-4, "latent")
    assert_close(decoded, DATA["vae_dec_out"], 1e-4, "decoded")


def test_legacy_names_of_the_autoencoder(model):
    new = DATA.weights("vae/diffusion_pytorch_model")
    names = ("to_q", "to_k", "to_v", "to_out", "group_norm")
    kept = {k: v for k, v in new.items() if not any(f".{name}." in k for name in names)}
    legacy = {**kept, **DATA.weights("vae/legacy_attention_names")}
    ours = P.flatten(convert(VAE_RULES, legacy, model.animator.networks()["vae"]))
    for path, array in P.flatten(model.params["vae"]).items():
        np.testing.assert_array_equal(ours[path], array, err_msg=path)


@pytest.fixture(scope="module")
def pose(model):
    frames = DATA.raw("pose_pixels_u8")[:8] / np.float32(255)
    return model.run("pose_net", lambda net, x: net(x), frames)


def test_pose_features(pose):
    assert_close(pose[None], DATA["pose_features_first8"], 1e-4)


@pytest.fixture(scope="module")
def features(model):
    return compiled(model.animator.features)(model.params, jnp.asarray(TOKEN), DATA["ref_latents"])


def transformer_paths(model):
    unet = model.config.unet
    levels = [level for level, has in enumerate(unet.attention_levels) if has]
    last = len(unet.block_out_channels) - 1
    down = [(f"down_blocks.{n}", i) for n in levels for i in range(unet.layers_per_block)]
    up = [(f"up_blocks.{last - n}", i) for n in levels[::-1]
          for i in range(unet.layers_per_block + 1)]  # fmt: skip
    return [f"{block}.attentions.{i}" for block, i in (*down, ("mid_block", 0), *up)]


def test_banks(model, features):
    paths = transformer_paths(model)
    stored = [name for name in DATA.arrays.files if name.startswith("bank/")]
    assert len(stored) >= 7
    for name in stored:
        index = paths.index(name.removeprefix("bank/").removesuffix(".transformer_blocks.0"))
        assert_close(features[index], DATA.raw(name), 3e-4, name)


@contextlib.contextmanager
def recording(module, paths):
    """Keep the first output of the modules at these paths while the block runs."""
    outputs, patched = {}, {}
    found = {}
    for path in paths:
        part = module
        for name in path.split("."):
            part = part[int(name)] if name.isdigit() else getattr(part, name)
        found[id(part)] = path
        patched.setdefault(type(part), type(part).__call__)

    def spy(original):
        def call(self, *args, **kwargs):
            out = original(self, *args, **kwargs)
            if id(self) in found:
                outputs[found[id(self)]] = out[0] if isinstance(out, tuple) else out
            return out

        return call

    try:
        for kind, original in patched.items():
            kind.__call__ = spy(original)
        yield outputs
    finally:
        for kind, original in patched.items():
            kind.__call__ = original


def test_denoiser_layer_by_layer(model):
    """No reference, no pose; the latents' width is not a multiple of 8."""
    stored = [name for name in DATA.arrays.files if name.startswith("c_act/")]
    paths = [name.removeprefix("c_act/") for name in stored]

    def call(unet, *inputs):
        with recording(unet, paths) as outputs:
            sample, times, context = inputs
            return unet(sample, times, context=context), dict(outputs)

    sample = DATA["c_sample"]
    inputs = (sample, np.full(len(sample), 421, np.float32), DATA.raw("c_encoder_hidden_states"))
    out, outputs = model.run("unet", call, *inputs)
    assert_close(out, DATA["c_out"], 1e-4)
    assert len(stored) >= 8
    for name, path in zip(stored, paths, strict=True):
        if path == "time_embedding":
            ours, theirs = outputs[path], DATA.raw(name)
        else:
            ours, theirs = outputs[path][1:2], DATA[name][:, 0]
        assert_close(ours, theirs, 5e-4, path)


def read(bank):
    return ReferenceTokens((bank[None],), (None,), None)


@pytest.fixture(scope="module")
def halves(model):
    return compiled(functools.partial(model.animator.predict, is_guided=True))


@pytest.mark.parametrize("name", ["d_out", "d_out_bankfp16"])
def test_both_halves_with_reference_and_pose(model, halves, features, pose, name):
    """The unconditional half reads no reference, and zeros for the picture's embedding."""
    if name.endswith("fp16"):
        features = jax.tree.map(lambda x: x.astype(jnp.float16).astype(jnp.float32), features)
    both = halves(
        model.params, jnp.asarray(TOKEN), DATA["d_sample"], np.full(1, 721, np.float32),
        tuple(map(read, features)), pose[None],
    )  # fmt: skip
    assert_close(jnp.concatenate(both), DATA[name], 1e-4)
