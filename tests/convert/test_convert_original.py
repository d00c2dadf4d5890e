"""Stable Diffusion by its original names, whole or in parts, gives the same parameters."""

import json
import shutil

import numpy as np
import original_names
import pytest
import torch
from diffusers.loaders import single_file_utils as theirs
from published import clip, dreampose
from published.files import shared_configs
from published.scheduler import SCHEDULER
from small_published import SMALL, TEXT, UNET, VAE, Sizes, save, write

from tpc_jax.convert.base import PUBLISHED, StableDiffusion, open_vae
from tpc_jax.convert.configs import (
    Settings,
    schedule_config,
    text_config,
    unet_config,
    vae_config,
)
from tpc_jax.convert.core import plan_parts
from tpc_jax.convert.dreampose import describe_model as describe_dreampose
from tpc_jax.convert.inputs import Inputs
from tpc_jax.convert.ldm import take_network
from tpc_jax.convert.magicanimate import describe_model
from tpc_jax.convert.read import Source, Tensor
from tpc_jax.errors import InputWarning, UserError
from tpc_jax.model.config import TextConfig, UNetConfig, VAEConfig

pytestmark = pytest.mark.torch
WHOLE = "sd15/v1-5-pruned-emaonly.safetensors"
FT_MSE = "vae/vae-ft-mse-840000-ema-pruned.safetensors"


@pytest.fixture(scope="module")
def whole(original):
    networks = original.networks
    return original_names.checkpoint(*(networks[file].tensors for file in (UNET, VAE, TEXT)))


def assert_same(found, expected, atol=0.0):
    assert found.keys() == expected.keys()
    for path, array in expected.items():
        np.testing.assert_allclose(found[path], array, atol=atol, rtol=0, err_msg=path)


def sources_of(tensors, path):
    held = {
        name: Tensor(array.shape, array.dtype, lambda array=array: array)
        for name, array in tensors.items()
    }
    return Source(path, (path,), held)


def numbers(tensors, network, path):
    taken = take_network(sources_of(tensors, path), network).tensors
    return {name: tensor.read() for name, tensor in taken.items()}


def without_averages(tensors):
    return {name: array for name, array in tensors.items() if not name.startswith("model_ema")}


def test_names_and_numbers_are_those_of_diffusers(original, whole, tmp_path):
    """Against its own conversion, and against the names that its networks have."""
    files = without_averages(whole)
    state = {name: torch.from_numpy(array) for name, array in files.items()}
    config = {"layers_per_block": 2}
    converted = {
        "unet": theirs.convert_ldm_unet_checkpoint(dict(state), config),
        "vae": theirs.convert_ldm_vae_checkpoint(
            dict(state), {"down_block_types": [""] * 4, "up_block_types": [""] * 4}
        ),
        "text_encoder": theirs.convert_ldm_clip_checkpoint(dict(state)),
    }
    for network, file in {"unet": UNET, "vae": VAE, "text_encoder": TEXT}.items():
        found = numbers(files, network, tmp_path)
        oracle = {name: tensor.numpy() for name, tensor in converted[network].items()}
        assert_same(found, oracle)
        if network != "vae":  # of which the published files have old names for attention
            assert_same(found, original.networks[file].tensors)
        assert len(found) == len(original.networks[file].tensors)


def place(download, file, tensors):
    path = download.path(file)
    path.parent.mkdir(exist_ok=True)
    save(path, {name: np.array(array) for name, array in tensors.items()})
    return path


def as_whole(download):
    """Leave of the base only its configs."""
    for file in (UNET, TEXT):
        download.path(file).unlink()


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
def test_a_folder_with_the_file_of_the_whole_model(download, whole, expected, ending):
    as_whole(download)
    file = WHOLE.replace("safetensors", ending)
    place(download, file, without_averages(whole))
    assert_same(download.parameters(), expected)
    inputs = download.describe().inputs
    assert file in inputs
    assert "sd15/unet/config.json" in inputs


def test_moving_averages_are_left_out_and_told(download, whole, expected):
    as_whole(download)
    place(download, WHOLE, whole)
    with pytest.warns(InputWarning, match="the plain one is taken, not the moving average") as told:
        assert_same(download.parameters(), expected)
    assert len(told) == 1


def test_diffusers_files_are_preferred(download, whole, expected):
    place(download, WHOLE, {name: array + 1 for name, array in whole.items()})
    assert_same(download.parameters(), expected)


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_denoiser_alone(download, expected, prefix):
    renamed = original_names.unet(download.networks[UNET].tensors)
    download.replace(UNET, {prefix + name: array for name, array in renamed.items()})
    assert_same(download.parameters(), expected)


@pytest.mark.parametrize(
    ("prefix", "ending"), [("", "safetensors"), ("", "ckpt"), ("first_stage_model.", "safetensors")]
)
def test_an_autoencoder_under_its_own_name(download, expected, prefix, ending):
    renamed = original_names.vae(download.networks[VAE].tensors)
    tensors = {prefix + name: array for name, array in renamed.items()}
    tensors |= {"loss.logvar": np.zeros((), np.float32), "model_ema.decay": np.ones(1, np.float32)}
    download.path(VAE).unlink()
    path = place(download, FT_MSE.replace("safetensors", ending), tensors)
    assert_same(download.parameters(), expected)
    sd15, _, animate = download.folders
    given = describe_model(sd15, path, animate)
    assert f"vae/{path.name}" in given.inputs


def test_an_autoencoder_out_of_the_whole_model(download, whole, expected):
    path = place(download, WHOLE, without_averages(whole))
    shutil.copyfile(download.path(VAE).with_name("config.json"), path.with_name("config.json"))
    sd15, _, animate = download.folders
    plans = plan_parts(describe_model(sd15, path, animate))
    for filling in plans["vae"].fillings.values():
        np.testing.assert_array_equal(filling.read(), expected[f"vae.{filling.target.path}"])


def test_dreampose_takes_its_autoencoder_out_of_the_whole_model(tmp_path, whole):
    tower = clip.tower(32, 1, 8, 32, 16)
    for network in dreampose.networks(SMALL, tower, 8):
        write(tmp_path, network)
    (tmp_path / "sd14/vae/diffusion_pytorch_model.bin").unlink()
    save(tmp_path / "sd14/sd-v1-4.ckpt", without_averages(whole))
    files = [tmp_path / dreampose.UNET_FILE, tmp_path / dreampose.ADAPTER_FILE]
    given = describe_dreampose(
        tmp_path / "sd14", tmp_path / "clip", *files, None, image_size=(64, 32)
    )
    assert "sd14/sd-v1-4.ckpt" in given.inputs
    name = "decoder.up_blocks.0.resnets.0.conv1"
    filling = plan_parts(given)["vae"].fillings[f"{name}.weight"]
    array = whole["first_stage_model.decoder.up.3.block.0.conv1.weight"]
    np.testing.assert_array_equal(filling.read(), array.transpose(2, 3, 1, 0))


def test_a_file_alone_has_the_published_configs(download, whole, tmp_path):
    path = place(download, WHOLE, without_averages(whole))
    base = StableDiffusion(Inputs(), "sd15", path)
    assert len(base.source("text_encoder").tensors) == len(download.networks[TEXT].tensors)
    read = {part: base.settings(part) for part in PUBLISHED}
    assert unet_config(read["unet"]) == UNetConfig()
    assert vae_config(read["vae"]) == VAEConfig()
    assert text_config(read["text_encoder"]) == TextConfig()
    assert schedule_config(read["scheduler"]) == schedule_config(Settings(path, SCHEDULER))
    _, unet, _ = shared_configs(Sizes())
    assert unet_config(Settings(path, unet)) == UNetConfig()
    with pytest.raises(UserError, match=r"does not divide|not of the layout of \S+emaonly"):
        describe_model(path, *download.folders[1:])


def test_a_part_that_the_whole_model_lacks(download, whole):
    as_whole(download)
    kept = {k: v for k, v in without_averages(whole).items() if not k.startswith("cond_stage")}
    place(download, WHOLE, kept)
    with pytest.raises(UserError, match="has no text encoder in it, no tensor's name starts with"):
        download.describe()


def test_tensors_under_both_names(download, whole):
    tensors = download.networks[UNET].tensors
    download.change(UNET, lambda t: t.update(original_names.unet(tensors)))
    with pytest.raises(UserError, match="holds some tensors twice, by original and other names"):
        download.describe()


def test_autoencoders_whose_config_is_missing(download):
    tensors = original_names.vae(download.networks[VAE].tensors)
    for name in ("sdxl_vae.safetensors", "sdXL.vae.pt", "flux-ae.safetensors"):
        path = place(download, f"alone/{name}", tensors)
        with pytest.raises(UserError, match=f"{path.name}: by its name of another model than"):
            open_vae(Inputs(), path)
    path = place(download, "alone/anime.vae.pt", tensors)
    with pytest.warns(
        InputWarning, match=r"anime\.vae\.pt: without config\.json beside it taken as"
    ):
        source, settings = open_vae(Inputs(), path)
    assert len(source.tensors) == len(tensors)
    assert settings.values == PUBLISHED["vae"]
    path = place(download, "alone/vae-ft-mse-840000-ema-pruned.ckpt", tensors)
    open_vae(Inputs(), path.parent)
    path = place(download, "alone/diffusion_pytorch_model.bin", download.networks[VAE].tensors)
    with pytest.raises(UserError, match=r"config\.json: cannot be read"):
        open_vae(Inputs(), path)


def test_autoencoders_of_another_scale(download):
    config = download.path(VAE).with_name("config.json")
    config.write_text(json.dumps({**json.loads(config.read_text()), "scaling_factor": 0.13025}))
    with pytest.raises(
        UserError, match=r"scaling_factor 0\.13025 is not 0\.18215: the autoencoder"
    ):
        download.describe()
