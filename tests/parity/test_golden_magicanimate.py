"""MagicAnimate's networks against results of the original code."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from golden import Golden, unet_config, vae_config
from torch_oracles import assert_close, compiled, convert

from convert.motion import MOTION
from convert.unet import UNET, appearance_encoder
from convert.vae import VAE as VAE_RULES
from tpc_jax.conditioning.masks import EVERYONE, visibility
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.motion import position_table
from tpc_jax.model.reference_unet import AppearanceEncoder
from tpc_jax.model.unet import UNet, token_grids
from tpc_jax.model.vae import VAE

pytestmark = [pytest.mark.torch, pytest.mark.slow]
DATA = Golden("magicanimate")
INFERENCE = DATA.json("inference_config")
CONFIG = unet_config(
    DATA.json("unet_config"),
    INFERENCE,
    motion_groups=INFERENCE["motion_module_norm_num_groups"],
    norm_over_frames=True,
    reads="midup",
)
TEXT = DATA.raw("text_embeddings")
GRIDS = token_grids(CONFIG, 16, 16)
KEY_FRAMES = (0, 4, 8)
WINDOW = DATA.raw("win_frames")
SOURCE = WINDOW // 4 * 4  # the frame whose calibrated picture each frame of the window uses


def test_autoencoder():
    config = vae_config(DATA.json("vae_config"))
    network = P.abstract(VAE, config)
    params = convert(VAE_RULES, DATA.weights("vae"), network)

    def call(params, image, latents):
        vae = P.bind(network, params)
        return *vae.moments(image), vae.encode(image), vae.decode(latents)

    image = DATA.raw("source_image")[None] / np.float32(127.5) - 1
    scaled = DATA["vae_decode_z"] * np.float32(config.scaling_factor)
    mean, log_variance, latent, decoded = compiled(call)(params, image, scaled)
    assert_close(mean, DATA["vae_encode_mean"], 2e-4, "mean")
    assert_close(log_variance, DATA["vae_encode_logvar"], 2e-4, "log variance")
    assert_close(latent, DATA["ref_latent"], 1e-4, "latent")
    assert_close(decoded, DATA["vae_decode_out"], 2e-4, "decoded")


@pytest.fixture(scope="module")
def features():
    """Banks of the reference under both contexts, then of the key frames of both people."""
    network = P.abstract(AppearanceEncoder, CONFIG)
    rules = appearance_encoder(CONFIG)
    params = convert(rules, DATA.weights("appearance_encoder"), network)
    people = np.moveaxis(DATA.raw("tpc2_cal_latents"), 2, -1)[:, KEY_FRAMES]
    reference = np.repeat(DATA["ref_latent"], 2, axis=0)
    latents = np.concatenate([reference, people.reshape(-1, 16, 16, 4)])
    times = np.full(len(latents), DATA.raw("unet_t"), np.float32)
    context = np.concatenate([TEXT, np.repeat(TEXT[1:], len(latents) - 2, axis=0)])
    return compiled(lambda p, *args: P.bind(network, p)(*args))(params, latents, times, context)


def test_banks(features):
    names = ["mid_block.attentions.0"]
    names += [f"up_blocks.{block}.attentions.{index}" for block in (1, 2, 3) for index in range(3)]
    assert [bank is None for bank in features] == [True] * 6 + [False] * 10
    for name, bank in zip(names, features[6:], strict=True):
        assert_close(bank[:2], DATA.raw(f"bank_{name}"), 1e-4, name)


@pytest.fixture(scope="module")
def residuals():
    """ControlNet's residuals for the window, from diffusers."""
    config = DATA.json("controlnet_config")
    net = ControlNetModel.from_config(config)
    net.load_state_dict(
        {name: torch.from_numpy(array) for name, array in DATA.weights("controlnet").items()}
    )
    control = torch.from_numpy(DATA.raw("control")[WINDOW]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        down, mid = net(
            torch.from_numpy(DATA.raw("win_latents"))[0].transpose(0, 1),
            int(DATA.raw("win_t")),
            torch.from_numpy(np.repeat(TEXT[1:], len(WINDOW), axis=0)),
            control,
            return_dict=False,
        )
    one_row = [np.moveaxis(r.numpy(), 1, -1) for r in (*down, mid)]
    return tuple(np.concatenate([r, r]) for r in one_row)


@pytest.fixture(scope="module")
def denoise(features):
    """The denoiser on (unconditional, conditional) rows that can read up to two people."""
    network = P.abstract(UNet, CONFIG)
    weights = DATA.weights("unet", "temporal_attention.ckpt")
    params = convert((*UNET, *MOTION), weights, network)

    @compiled
    def call(params, latents, time, context, references, residuals):
        unet = P.bind(network, params)
        times = jnp.full(2, time, jnp.float32)
        return unet(latents, times, context=context, references=references, residuals=residuals)

    def run(latents, time, residuals, bits):
        tokens = [_tokens(bank) for bank in features]
        references = tuple(
            bank and ReferenceTokens(bank, *bits(h * w))
            for bank, (h, w) in zip(tokens, GRIDS, strict=True)
        )
        return call(params, latents, time, TEXT, references, residuals)

    return run


def _tokens(bank):
    """Return the parts [reference, person 0, person 1] of both rows."""
    if bank is None:
        return None
    reference = jnp.stack([bank[1:2]] * 2)
    people = bank[2:].reshape(2, len(KEY_FRAMES), *bank.shape[1:])
    parts = [person[np.searchsorted(KEY_FRAMES, SOURCE)] for person in people]
    return (reference, *(jnp.stack([part] * 2) for part in parts))


def conditional_only(queries, *keys):
    """Let the conditional row see the keys and the unconditional row none."""
    rows = lambda bits: np.stack([np.zeros_like(bits), bits]).astype(np.uint32)  # noqa: E731
    return tuple(rows(np.asarray(k)) for k in keys), np.stack([np.asarray(queries, np.uint32)] * 2)


def open_bits(tokens: int, reference: int):
    """Show everybody the reference, or nothing; hide the people."""
    frames = len(WINDOW)
    hidden = np.zeros((frames, tokens))
    queries = np.full((frames, tokens), EVERYONE)
    return conditional_only(queries, np.full((1, tokens), reference), hidden, hidden)


def test_denoiser_without_reference(denoise, residuals):
    nothing = tuple(np.zeros_like(r) for r in residuals)
    latents = DATA["unet_sample"]
    out = denoise(latents, DATA.raw("unet_t"), nothing, lambda tokens: open_bits(tokens, 0))
    assert_close(out, DATA["unet_plain_out"], 1e-4)


def window(denoise, residuals, bits):
    latents = np.repeat(DATA["win_latents"], 2, axis=0)
    return denoise(latents, DATA.raw("win_t"), residuals, bits)


@pytest.mark.parametrize(("reads", "name"), [(0, "unet_cn_out"), (EVERYONE, "unet_ref_out")])
def test_denoiser_with_controlnet_and_reference(denoise, residuals, reads, name):
    out = window(denoise, residuals, lambda tokens: open_bits(tokens, reads))
    assert_close(out, DATA[name], 1e-4)


def masked_bits(people: int, tokens: int):
    """Return the bits of the masked routing for the first people, with the rest hidden."""
    masks = lambda name: jnp.asarray(DATA.raw(name)[:people] / np.float32(255))  # noqa: E731
    side = round(tokens**0.5)
    pose, calibrated = masks("pose_masks")[:, WINDOW], masks("cal_masks")[:, SOURCE]
    seen = visibility("masked", pose, calibrated, masks("ref_masks"), (side, side))
    hidden = [np.zeros((len(WINDOW), tokens))] * (2 - people)
    return conditional_only(seen.queries, seen.reference[None], *seen.calibrated, *hidden)


@pytest.mark.parametrize("people", [1, 2])
def test_tpc(denoise, residuals, people):
    out = window(denoise, residuals, lambda tokens: masked_bits(people, tokens))
    assert_close(out, DATA[f"tpc{people}_unet_out"], 1e-4)


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("tokens", [4, 16, 64, 256])
def test_visible_keys(people, tokens):
    keys, queries = masked_bits(people, tokens)
    own = np.full((len(WINDOW), tokens), EVERYONE, np.uint32)
    shown = [np.broadcast_to(part[1], own.shape) for part in keys[: people + 1]]
    bits = np.concatenate([own, *shown], axis=-1)
    visible = (queries[1][:, :, None] & bits[:, None]) != 0
    np.testing.assert_array_equal(visible, DATA.raw(f"tpc{people}_allowed_L{tokens}"))


def test_position_tables():
    tables = [
        (name, array)
        for name, array in DATA.weights("temporal_attention.ckpt").items()
        if name.endswith(".pe")
    ]
    assert len(tables) == 40
    for name, table in tables:
        ours = position_table(*table.shape[1:])
        np.testing.assert_allclose(ours, table[0], atol=1e-6, err_msg=name)
