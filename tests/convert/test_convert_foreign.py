"""Files that are something else than the weights asked for are named in one line."""

import io
import json
import pickle
import re
import struct
import sys
import tarfile
import types
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from small_published import CONTROLNET, MOTION, TEXT, UNET, VAE, save

from tpc_jax.cli import main
from tpc_jax.convert.core import plan_parts
from tpc_jax.convert.feature_networks import describe_feature_network
from tpc_jax.convert.ldm import take_network
from tpc_jax.convert.magicanimate import describe_model
from tpc_jax.convert.open import open_source
from tpc_jax.convert.recognise import refuse_foreign_tensors
from tpc_jax.errors import InputWarning, UserError

pytestmark = pytest.mark.torch


def refusal(run, *arguments) -> str:
    with pytest.raises(UserError) as error:
        run(*arguments)
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 400
    return text


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))
    return buffer.getvalue()


def zipped(*names) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"content")
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(3))
    return buffer.getvalue()


ONNX = b"\x08\x07\x12\x07pytorch\x1a\x052.0.0:\x80\x01" + bytes(100)
CONTENTS = {
    b"<!DOCTYPE html><html><head>": "a web page, not the weights",
    b"\xef\xbb\xbf\r\n  <html lang='en'>": "a web page",
    b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>': "a web page",
    "<html><title>téléchargement</title>".encode() * 40: "a web page",
    b'{"error":"Access to model is restricted"}': r"text, not weights \(it says '{\"error\"",
    b"Entry not found": "text, not weights .it says 'Entry not found'.; download the file itself",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "only a Git LFS pointer",
    b"GGUF\x03\0\0\0" + bytes(50): "a GGUF or GGML file",
    b"\x1c\0\0\0TFL3\x14\0" + bytes(50): "a TensorFlow Lite model",
    ONNX: "an ONNX model",
    b"\x89HDF\r\n\x1a\n" + bytes(50): "an HDF5 file",
    b"\x93NUMPY\x01\0" + bytes(50): "a NumPy array",
    b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(50): "7z, an archive; unpack it",
    b"Rar!\x1a\x07\x01\0" + bytes(50): "RAR, an archive",
    b"\x1f\x8b\x08\0" + bytes(50): "gzip, an archive",
    b"\xfd7zXZ\0" + bytes(50): "xz, an archive",
    tar(): "tar, an archive",
    zipped(): "an empty zip",
    zipped("model/unet.safetensors", "readme.txt"): r"not of PyTorch \(model/unet\.safetensors, ",
    zipped("a/data.pkl", "a/constants.pkl", "a/code/__torch__.py"): "a TorchScript program",
    arrays(): r"NumPy arrays \(\.npz\)",
    b"\x89PNG\r\n\x1a\n" + bytes(50): "a picture",
    b"%PDF-1.7\n%\xe2\xe3\xcf\xd3" + bytes(50): "a PDF document",
    pickle.dumps({"a": 1}): "a pickle that PyTorch did not write",
    pickle.dumps({"a": 1}, 2): "a pickle that PyTorch did not write",
    b"": r"truncated or corrupt \(it is empty\); download it again",
}


@pytest.mark.parametrize("name", ["model.safetensors", "weights.ckpt", "motion.pth"])
def test_what_is_no_weight_file_is_named(tmp_path, name):
    path = tmp_path / name
    for content, message in CONTENTS.items():
        path.write_bytes(content)
        text = refusal(open_source, path)
        assert text.startswith(f"{path}: ")
        assert re.search(message, text), text


@pytest.mark.parametrize("name", ["diffusion_flax_model.msgpack", "model.bin.index.json"])
def test_a_web_page_by_any_name(tmp_path, name):
    path = tmp_path / name
    path.write_text("<!DOCTYPE html>")
    assert "a web page, not the weights" in refusal(open_source, path)


def test_the_start_of_a_header_is_no_magic(tmp_path):
    """The length of a header may have the bytes of a page, a pickle or an archive."""
    path = tmp_path / "a.safetensors"
    for length in (0x3C68, 0x0280, 0x0708, 0x8B1F, 0x5A4D):
        header = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
        text = json.dumps(header).encode().ljust(length)
        path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
        assert open_source(path).tensors.keys() == {"a"}


def of(tmp_path, tensors, name="a.safetensors"):
    save(tmp_path / name, tensors)
    return open_source(tmp_path / name)


def blank(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["lora_unet_mid_block_attentions_0_proj_in.lora_up.weight"], "a LoRA, which only changes"),
        (["unet.mid_block.attentions.0.to_q.lora_A.weight"], "a LoRA"),
        (["text_model.encoder.layers.0.q_proj.lora.down.weight"], "a LoRA"),
        (["mid_block.motion_modules.0.processor.to_q_lora.up.weight"], "a LoRA"),
        (["lycoris_x.hada_w1_a"], "a LoRA"),
        (["emb_params"], "a textual inversion"),
        (["conv_in.weight", "conv_in.weight_scale"], "a quantised file"),
        (["scaled_fp8", "model.diffusion_model.out.2.weight"], "a quantised file"),
        (["mid_block.proj.weight", "mid_block.proj.weight.absmax"], "a quantised file"),
        ([], "no tensors in it, nothing; save the state dict alone"),
    ],
)
def test_what_holds_no_network(tmp_path, names, message):
    source = of(tmp_path, {name: blank(2, 2) for name in names})
    assert message in refusal(refuse_foreign_tensors, source)


def test_weights_below_the_top_of_a_pickle(tmp_path):
    path = tmp_path / "network.pth"
    torch.save({"model": {"a": torch.ones(2)}, "epoch": 3}, path)
    message = "no tensors in it, only model, epoch; save the state dict alone"
    assert message in refusal(describe_feature_network, "i3d", [path])


BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight"
ORIGINAL = "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
OTHERS = {
    "of Stable Diffusion XL": [
        {"add_embedding.linear_1.weight": (8, 8)},
        {"model.diffusion_model.label_emb.0.0.weight": (8, 8)},
        {"conditioner.embedders.1.model.logit_scale": ()},
        {BLOCK: (640, 2048)},
        {ORIGINAL: (640, 2048)},
    ],
    "of Stable Diffusion 2": [
        {"cond_stage_model.model.ln_final.weight": (8,)},
        {BLOCK: (320, 1024)},
        {"text_model.embeddings.token_embedding.weight": (9, 1024)},
    ],
    "the refiner or second encoder of Stable Diffusion XL": [
        {BLOCK: (320, 1280)},
        {"text_model.embeddings.token_embedding.weight": (9, 1280)},
    ],
    "a denoiser for inpainting": [
        {"conv_in.weight": (8, 9, 3, 3)},
        {"model.diffusion_model.input_blocks.0.0.weight": (8, 9, 3, 3)},
    ],
    "a denoiser for editing": [{"conv_in.weight": (8, 8, 3, 3)}],
    "Stable Diffusion 3 or FLUX": [
        {"model.diffusion_model.joint_blocks.0.x.weight": (8,)},
        {"double_blocks.0.img_attn.qkv.weight": (8, 8)},
    ],
    "a ControlNet": [{"control_model.input_blocks.0.0.weight": (8, 4, 3, 3)}],
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_models_in_place_of_the_denoiser(tmp_path, what):
    for shapes in OTHERS[what]:
        source = of(tmp_path, {name: blank(*shape) for name, shape in shapes.items()})
        network = "text_encoder" if any("token_emb" in name for name in shapes) else "unet"
        text = refusal(take_network, source, network)
        assert f"{what} " in text
        assert text.endswith("; give that of Stable Diffusion 1.5")


def test_an_autoencoder_of_sixteen_channels(tmp_path):
    source = of(tmp_path, {"decoder.conv_in.weight": blank(8, 16, 3, 3)})
    assert "of Stable Diffusion 3 or FLUX" in refusal(take_network, source, "vae")


def test_what_a_file_says_of_itself(download):
    """Stable Diffusion XL's autoencoder has the tensors of ours."""
    tensors = {k: torch.from_numpy(v) for k, v in download.networks[VAE].tensors.items()}
    path, key = download.path(VAE), "modelspec.architecture"
    save_file(tensors, path, {key: "stable-diffusion-xl-v1-base/vae"})
    text = refusal(download.describe)
    assert "of stable-diffusion-xl-v1-base/vae (it has that in its metadata); give" in text
    save_file(tensors, path, {key: "stable-diffusion-v1/vae", "format": "pt"})
    download.describe()


@pytest.mark.parametrize("width", [1024, 2048, [1280] * 4])
def test_configs_of_other_models(download, width):
    config = download.path(UNET).with_name("config.json")
    config.write_text(json.dumps({**json.loads(config.read_text()), "cross_attention_dim": width}))
    assert "give that of Stable Diffusion 1.5" in refusal(download.describe)


def test_twenty_faults_are_listed_and_the_others_counted(download):
    download.change(UNET, lambda t: [t.pop(name) for name in list(t)[:30]])
    with pytest.raises(UserError) as error:
        plan_parts(download.describe())
    first, *faults, last = str(error.value).splitlines()
    assert first == "30 faults, nothing is converted:"
    assert len(faults) == 20
    assert last == "and 10 more"


@pytest.mark.parametrize(
    ("kind", "loss", "ending"), [("e4m3fn", 0.07, "safetensors"), ("e5m2", 0.13, "bin")]
)
def test_numbers_of_eight_bits_are_read_and_told(download, expected, kind, loss, ending):
    dtype = getattr(torch, f"float8_{kind}")
    state = {k: torch.from_numpy(v).to(dtype) for k, v in download.networks[VAE].tensors.items()}
    download.path(VAE).unlink()
    path = download.path(VAE).with_suffix(f".{ending}")
    save_file(state, path) if ending == "safetensors" else torch.save(state, path)
    with pytest.warns(InputWarning, match="numbers of 8 bits are taken as they are") as told:
        found = download.parameters()
    assert len(told) == 1
    name = "decoder.conv_in"
    exact = state[f"{name}.weight"].float().numpy().transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(found[f"vae.{name}.kernel"], exact)
    for key, array in expected.items():
        np.testing.assert_allclose(found[key], array, rtol=loss, atol=1e-2)


@pytest.mark.parametrize("kind", ["F4", "F8_E8M0", "C64"])
def test_numbers_that_are_not_read(tmp_path, kind):
    text = json.dumps({"a": {"dtype": kind, "shape": [1], "data_offsets": [0, 1]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0")
    assert f"numbers of type {kind}, which are not read" in refusal(open_source, path)


class ModelCheckpoint:
    """Stands for Lightning's class of this name, which its checkpoints have as a key."""


ModelCheckpoint.__module__ = "pytorch_lightning.callbacks.model_checkpoint"


def test_what_trainers_store_beside_the_weights(tmp_path, monkeypatch):
    """As in Stable Diffusion's own .ckpt files; nothing of it is imported or called."""
    module = types.ModuleType(ModelCheckpoint.__module__)
    module.ModelCheckpoint = ModelCheckpoint
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    state = {"a": torch.ones(2)}
    beside = {"callbacks": {ModelCheckpoint: {"best": np.float64(3.0)}}, "epoch": 1}
    torch.save({**beside, "state_dict": state}, tmp_path / "sd-v1-4.ckpt")
    monkeypatch.undo()
    source = open_source(tmp_path / "sd-v1-4.ckpt")
    assert source.tensors.keys() == {"a"}
    assert source.others == ("callbacks", "epoch")
    assert "pytorch_lightning" not in sys.modules


def test_the_command_says_it_in_one_line(original, tmp_path, capsys):
    page = tmp_path / "vae.safetensors"
    page.write_text("<!DOCTYPE html>")
    folders = zip(("--sd15", "--magicanimate"), original.folders[::2], strict=True)
    words = [str(word) for pair in folders for word in pair]
    with pytest.raises(SystemExit) as ended:
        main(["convert", "magicanimate", *words, "--vae", str(page), "--out", str(tmp_path / "m")])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tpc-jax: {page}: a web page, not the weights")


@pytest.mark.parametrize(
    ("file", "published"),
    [
        (
            UNET,
            "diffusion_pytorch_model.safetensors or .bin into it, or give the file of the whole",
        ),
        (TEXT, "pytorch_model.bin or model.safetensors"),
        (VAE, "or vae-ft-mse-840000-ema-pruned.safetensors or .ckpt"),
        (CONTROLNET, "diffusion_pytorch_model.safetensors or .bin into it"),
        (MOTION, "temporal_attention.ckpt into it"),
    ],
)
def test_the_published_name_is_asked_for(download, file, published):
    download.path(file).unlink()
    text = refusal(download.describe)
    assert "no weights there; download " in text
    assert published in text


def test_a_folder_that_is_not_there(download):
    sd15, vae, animate = download.folders
    gone = sd15.with_name("gone")
    assert f"{gone}: no such folder or file" in refusal(describe_model, gone, vae, animate)
    assert f"{gone}: no such folder" in refusal(describe_model, sd15, gone, animate)
    encoder = animate / "appearance_encoder"
    for path in encoder.iterdir():
        path.unlink()
    encoder.rmdir()
    encoder.write_text("a file")
    assert f"{encoder}: a file; give a folder with" in refusal(download.describe)
