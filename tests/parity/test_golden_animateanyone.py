"""AnimateAnyone's networks against results of the original code."""

import jax.numpy as jnp
import numpy as np
import pytest
from golden import Golden, unet_config, vae_config
from torch_oracles import assert_close, compiled, convert

from convert.motion import MOTION
from convert.pose_net import POSE_NET
from convert.unet import UNET, appearance_encoder
from convert.vae import VAE as VAE_RULES
from tpc_jax.conditioning.masks import EVERYONE
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.config import PoseNetConfig
from tpc_jax.model.pose_net import PoseNet
from tpc_jax.model.reference_unet import AppearanceEncoder
from tpc_jax.model.unet import UNet
from tpc_jax.model.vae import VAE

pytestmark = [pytest.mark.torch, pytest.mark.slow]
DATA = Golden("animateanyone")
# The original's motion modules have 32 groups whatever the config of the networks says.
CONFIG = unet_config(DATA.json("unet/config"), DATA.json("inference_config"), motion_groups=32)
CLIP_TOKEN = DATA.raw("clip_image_embeds")[:, None]


def run(make, config, rules, weights, call, *inputs):
    network = P.abstract(make, config)
    params = convert(rules, weights, network)
    return compiled(lambda p, *args: call(P.bind(network, p), *args))(params, *inputs)


def test_autoencoder():
    config = vae_config(DATA.json("vae/config"))
    image = DATA.raw("ref_pixels_u8")[None] / np.float32(127.5) - 1
    scaled = DATA["vae_dec_latents"] * np.float32(config.scaling_factor)
    mean, log_variance, decoded = run(
        VAE,
        config,
        VAE_RULES,
        DATA.weights("vae/diffusion_pytorch_model"),
        lambda vae, image, latents: (*vae.moments(image), vae.decode(latents)),
        image,
        scaled,
    )
    assert_close(mean, DATA["vae_enc_mean"], 1e-4, "mean")
    assert_close(log_variance, DATA["vae_enc_logvar"], 1e-4, "log variance")
    assert_close(decoded, DATA["vae_dec_out"], 1e-4, "decoded")


def test_legacy_names_of_the_autoencoder():
    config = vae_config(DATA.json("vae/config"))
    new = DATA.weights("vae/diffusion_pytorch_model")
    names = ("to_q", "to_k", "to_v", "to_out", "group_norm")
    kept = {k: v for k, v in new.items() if not any(f".{name}." in k for name in names)}
    network = P.abstract(VAE, config)
    legacy = {**kept, **DATA.weights("vae/legacy_attention_names")}
    ours, theirs = (P.flatten(convert(VAE_RULES, state, network)) for state in (legacy, new))
    for path, array in theirs.items():
        np.testing.assert_array_equal(ours[path], array, err_msg=path)


@pytest.fixture(scope="module")
def pose():
    config = DATA.json("pose_guider_config")
    config = PoseNetConfig(
        in_channels=config["conditioning_channels"],
        block_out_channels=tuple(config["block_out_channels"]),
        out_channels=config["conditioning_embedding_channels"],
    )
    frames = DATA.raw("pose_pixels_u8")[:8] / np.float32(255)
    return run(PoseNet, config, POSE_NET, DATA.weights("pose_guider"), lambda f, x: f(x), frames)


def test_pose_features(pose):
    assert_close(pose[None], DATA["pose_features_first8"], 1e-4)


@pytest.fixture(scope="module")
def features():
    return run(
        AppearanceEncoder,
        CONFIG,
        appearance_encoder(CONFIG),
        DATA.weights("reference_unet"),
        lambda encoder, *args: encoder(*args),
        DATA["ref_latents"],
        np.zeros(1, np.float32),
        CLIP_TOKEN,
    )


BANKS = [f"down_blocks.{block}.attentions.{index}" for block in range(3) for index in range(2)]
BANKS += ["mid_block.attentions.0"]
BANKS += [f"up_blocks.{block}.attentions.{index}" for block in (1, 2, 3) for index in range(3)]


def test_banks(features):
    stored = [name for name in DATA.arrays.files if name.startswith("bank/")]
    assert len(stored) == 7
    for name in stored:
        index = BANKS.index(name.removeprefix("bank/").removesuffix(".transformer_blocks.0"))
        assert_close(features[index], DATA.raw(name), 3e-4, name)


def denoiser_weights():
    return DATA.weights("denoising_unet", "motion_module")


def test_denoiser():
    """No reference, no pose; the latents are 12 wide, which is not a multiple of 8."""
    out = run(
        UNet,
        CONFIG,
        (*UNET, *MOTION),
        denoiser_weights(),
        lambda unet, x, t, context: unet(x, t, context=context),
        DATA["c_sample"],
        np.full(2, 421, np.float32),
        DATA.raw("c_encoder_hidden_states"),
    )
    assert_close(out, DATA["c_out"], 1e-4)


def test_denoiser_with_reference_and_pose(features, pose):
    """Row 0 is unconditional: it sees no reference, and zeros for the picture's embedding."""
    hidden, shown = np.uint32(0), np.uint32(EVERYONE)

    def part(bank):
        tokens = bank.shape[1]
        bits = jnp.asarray([hidden, shown])[:, None, None]
        return ReferenceTokens(
            (jnp.stack([bank, bank]),),
            (jnp.broadcast_to(bits, (2, 1, tokens)),),
            jnp.full((2, 8, tokens), shown),
        )

    out = run(
        UNet,
        CONFIG,
        (*UNET, *MOTION),
        denoiser_weights(),
        lambda unet, x, t, context, references, pose: unet(
            x, t, context=context, references=references, pose=pose
        ),
        np.repeat(DATA["d_sample"], 2, axis=0),
        np.full(2, 721, np.float32),
        np.concatenate([np.zeros_like(CLIP_TOKEN), CLIP_TOKEN]),
        tuple(part(bank) for bank in features),
        jnp.stack([pose, pose]),
    )
    assert_close(out, DATA["d_out"], 1e-4)
