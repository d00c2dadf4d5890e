"""MagicAnimate's networks, filled by the converter, against results of the original code."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden import Golden
from golden_model import convert_golden
from torch_oracles import assert_close, compiled

from tpc_jax.animators.magicanimate import MagicAnimateAnimator, MagicAnimateConfig
from tpc_jax.conditioning.masks import EVERYONE, Visibility, pool, visibility
from tpc_jax.model import params as P
from tpc_jax.model.attention import ReferenceTokens
from tpc_jax.model.checkpoint import load_params, read_config
from tpc_jax.model.motion import position_table
from tpc_jax.model.text import empty_prompt
from tpc_jax.model.unet import token_grids

pytestmark = pytest.mark.slow
DATA = Golden("magicanimate")
TEXT = DATA.raw("text_embeddings")
GROUP = 4
LATENT = DATA["ref_latent"].shape[1:]
KEY_FRAMES = np.arange(0, len(DATA.raw("control")), GROUP)
WINDOW = DATA.raw("win_frames")
PICTURE = WINDOW // GROUP  # which key frame's calibrated picture each frame of the window reads
UNCONDITIONAL, CONDITIONAL = 0, 1


class Model:
    """The converted networks, each called through one compiled function."""

    def __init__(self, folder):
        config = read_config(folder)
        assert config.pop("animator") == "magicanimate"
        self.config = MagicAnimateConfig.from_dict(config)
        self.networks = MagicAnimateAnimator(self.config).networks()
        self.params = load_params(folder, self.networks, jnp.float32)
        self.grids = token_grids(self.config.unet, *LATENT[:2])

    def run(self, name: str, call, *inputs):
        network = self.networks[name]
        bound = compiled(lambda params, *args: call(P.bind(network, params), *args))
        return bound(self.params[name], *inputs)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Model(convert_golden(tmp_path_factory.mktemp("golden")))


def test_autoencoder(model):
    image = DATA.raw("source_image")[None] / np.float32(127.5) - 1
    scaled = DATA["vae_decode_z"] * np.float32(model.config.vae.scaling_factor)
    mean, log_variance, latent, decoded = model.run(
        "vae",
        lambda vae, image, latents: (*vae.moments(image), vae.encode(image), vae.decode(latents)),
        image,
        scaled,
    )
    assert_close(mean, DATA["vae_encode_mean"], 2e-4, "mean")
    assert_close(log_variance, DATA["vae_encode_logvar"], 2e-4, "log variance")
    assert_close(latent, DATA["ref_latent"], 1e-4, "latent")
    assert_close(decoded, DATA["vae_decode_out"], 2e-4, "decoded")


def test_text(model):
    ids = DATA.raw("text_input_ids")
    np.testing.assert_array_equal(empty_prompt(model.config.text_encoder), ids[:1])
    assert_close(model.run("text_encoder", lambda encode, x: encode(x), ids), TEXT, 1e-4)


def test_the_empty_prompt_is_stored(model):
    assert_close(model.params["context"]["empty_prompt"], TEXT[0], 1e-4)


def names(prefix: str) -> list[str]:
    """Return the rest of each array's name that begins so."""
    return [name.removeprefix(prefix) for name in DATA.arrays.files if name.startswith(prefix)]


def controls(frames):
    return DATA.raw("control")[frames] / np.float32(255)


def test_controlnet(model):
    *down, mid = model.run(
        "controlnet",
        lambda net, *args: net(*args),
        DATA["cn_sample"],
        np.full(2, DATA.raw("cn_t"), np.float32),
        controls(DATA.raw("cn_cond_frames")),
        np.repeat(TEXT[1:], 2, axis=0),
    )
    assert len(down) == len(names("cn_down_")) == 12
    for index, residual in enumerate(down):
        assert_close(residual, DATA[f"cn_down_{index:02}"], 1e-4, f"down {index}")
    assert_close(mid, DATA["cn_mid"], 1e-4, "mid")


@pytest.fixture(scope="module")
def features(model):
    """Banks of the reference under both contexts, then of the key frames of both people."""
    people = np.moveaxis(DATA.raw("tpc2_cal_latents"), 2, -1)[:, KEY_FRAMES]
    reference = np.repeat(DATA["ref_latent"], 2, axis=0)
    latents = np.concatenate([reference, people.reshape(-1, *LATENT)])
    times = np.full(len(latents), DATA.raw("unet_t"), np.float32)
    context = np.concatenate([TEXT, np.repeat(TEXT[1:], len(latents) - 2, axis=0)])
    return model.run(
        "appearance_encoder", lambda encode, *args: encode(*args), latents, times, context
    )


def test_banks(features):
    order = ["mid_block.attentions.0"]
    order += [f"up_blocks.{block}.attentions.{index}" for block in (1, 2, 3) for index in range(3)]
    assert sorted(names("bank_")) == order
    assert [bank is None for bank in features] == [True] * 6 + [False] * 10
    for name, bank in zip(order, features[6:], strict=True):
        assert_close(bank[:2], DATA.raw(f"bank_{name}"), 1e-4, name)


@pytest.fixture(scope="module")
def residuals(model):
    """ControlNet's residuals for the window; both rows of guidance share them."""
    frames = len(WINDOW)
    return model.run(
        "controlnet",
        lambda net, *args: net(*args),
        DATA["win_latents"][0],
        np.full(frames, DATA.raw("win_t"), np.float32),
        controls(WINDOW),
        np.repeat(TEXT[1:], frames, axis=0),
    )


@pytest.fixture(scope="module")
def denoise(model):
    """The denoiser of one row of guidance: a program without references and one with."""

    @compiled
    def call(params, latents, times, context, references, residuals):
        unet = P.bind(model.networks["unet"], params)
        options = {"context": context, "references": references, "residuals": residuals}
        return unet(latents, times, **options)

    def run(row, latents, time, residuals, references=None):
        times = jnp.full(1, time, jnp.float32)
        context = jnp.asarray(TEXT[row : row + 1])
        return call(model.params["unet"], latents, times, context, references, residuals)[0]

    return run


def test_denoiser_without_reference(denoise, residuals):
    """Both rows, whose latents and contexts differ."""
    nothing = tuple(jnp.zeros_like(residual) for residual in residuals)
    for row in (UNCONDITIONAL, CONDITIONAL):
        out = denoise(row, DATA["unet_sample"][row : row + 1], DATA.raw("unet_t"), nothing)
        assert_close(out, DATA["unet_plain_out"][row], 1e-4, f"row {row}")


@pytest.fixture(scope="module")
def window(denoise, residuals):
    def run(row, references=None):
        return denoise(row, DATA["win_latents"], DATA.raw("win_t"), residuals, references)

    return run


def test_denoiser_with_controlnet(window):
    for row in (UNCONDITIONAL, CONDITIONAL):
        assert_close(window(row), DATA["unet_cn_out"][row], 1e-4, f"row {row}")


@pytest.mark.parametrize("name", ["unet_ref_out", "tpc1_unet_out", "tpc2_unet_out"])
def test_the_unconditional_row_reads_no_reference(name):
    difference = np.abs(DATA[name][UNCONDITIONAL] - DATA["unet_cn_out"][UNCONDITIONAL]).max()
    assert difference < 1e-5
    assert np.abs(DATA[name][CONDITIONAL] - DATA["unet_cn_out"][CONDITIONAL]).max() > 0.01


def masked_bits(people: int, tokens: int) -> Visibility:
    """Return the bits of the masked routing for the first people."""
    masks = lambda name: jnp.asarray(DATA.raw(name)[:people] / np.float32(255))  # noqa: E731
    side = round(tokens**0.5)
    pose, calibrated = masks("pose_masks")[:, WINDOW], masks("cal_masks")[:, KEY_FRAMES]
    cells = (pool(m, (side, side)) for m in (pose, calibrated, masks("ref_masks")))
    return visibility("masked", *cells)


def reference_bits(tokens: int) -> Visibility:
    """Return bits that show everybody the reference and hide the people."""
    queries = jnp.full((len(WINDOW), tokens), EVERYONE, jnp.uint32)
    return Visibility(queries, queries[0], jnp.zeros((0, len(KEY_FRAMES), tokens), jnp.uint32))


@pytest.fixture(scope="module")
def read(window, features):
    """The conditional row that can read the reference and both people, as far as bits allow."""

    def layer(bank, bits: Visibility):
        hidden = jnp.zeros((2 - len(bits.calibrated), *bits.calibrated.shape[1:]), jnp.uint32)
        people = jnp.concatenate([bits.calibrated, hidden])
        return ReferenceTokens(
            (bank[None, 1:2], *(pictures[None] for pictures in jnp.split(bank[2:], 2))),
            (bits.reference[None, None], *(person[None] for person in people)),
            bits.queries[None],
            jnp.asarray(PICTURE)[None],
        )

    def run(bits):
        references = (
            bank if bank is None else layer(bank, bits(bank.shape[1])) for bank in features
        )
        return window(CONDITIONAL, tuple(references))

    return run


def test_denoiser_with_reference(read):
    assert_close(read(reference_bits), DATA["unet_ref_out"][CONDITIONAL], 1e-4)


@pytest.mark.parametrize("people", [1, 2])
def test_tpc(read, people):
    out = read(functools.partial(masked_bits, people))
    assert_close(out, DATA[f"tpc{people}_unet_out"][CONDITIONAL], 1e-4)


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("tokens", [*map(int, names("tpc1_allowed_L"))])
def test_visible_keys(people, tokens):
    bits = jax.tree.map(np.asarray, masked_bits(people, tokens))
    own = np.full((len(WINDOW), tokens), EVERYONE, np.uint32)
    parts = [bits.reference[None], *(person[PICTURE] for person in bits.calibrated)]
    keys = np.concatenate([own, *(np.broadcast_to(part, own.shape) for part in parts)], axis=-1)
    visible = (bits.queries[:, :, None] & keys[:, None]) != 0
    np.testing.assert_array_equal(visible, DATA.raw(f"tpc{people}_allowed_L{tokens}"))


def test_masks_are_recorded_for_every_grid(model):
    recorded = {int(tokens) for tokens in names("tpc1_allowed_L")}
    assert recorded == {height * width for height, width in model.grids}


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
