"""What does not fit or is damaged is refused by name, with everything that is wrong."""

import json
import os
import struct

import numpy as np
import pytest
import torch
from flax.serialization import to_bytes
from small_published import ENCODER, INFERENCE, MOTION, TEXT, UNET, VAE

from tpc_jax.convert.core import convert_model, plan_parts
from tpc_jax.convert.open import open_source
from tpc_jax.errors import UserError

pytestmark = pytest.mark.torch
NAME = "mid_block.resnets.0.conv1.weight"


def plan_error(download) -> str:
    with pytest.raises(UserError) as error:
        plan_parts(download.describe())
    return str(error.value)


def test_all_faults_of_all_networks_are_listed(download):
    download.change(UNET, lambda t: t.pop(NAME))
    download.change(UNET, lambda t: t.update({"strange.weight": np.ones(3, np.float32)}))
    download.change(VAE, lambda t: t.update({"quant_conv.bias": np.ones(3, np.float32)}))
    download.change(TEXT, lambda t: t.update({"extra": np.ones(3, np.float32)}))
    message = plan_error(download)
    assert message.startswith("3 faults, nothing is converted:\n")
    for line in (
        "unet (diffusion_pytorch_model.bin, temporal_attention.ckpt): no rule for strange.weight",
        "vae (diffusion_pytorch_model.safetensors): quant_conv.bias (3,) (copy) does not fit "
        "quant_conv.bias (8,)",
        "text_encoder (model.safetensors): no rule for extra",
    ):
        assert line in message


@pytest.mark.parametrize("file", [UNET, VAE, MOTION])
def test_a_missing_tensor(download, file):
    name = next(k for k in download.networks[file].tensors if k.endswith("norm.weight"))
    download.change(file, lambda t: t.pop(name))
    message = plan_error(download)
    assert message.startswith("1 faults")
    assert (
        f"nothing fills {name.removeprefix('module.').replace('.temporal_transformer', '')[:-6]}"
        in message
    )


def test_a_tensor_in_both_files_of_the_denoiser(download):
    name, array = next(iter(download.networks[MOTION].tensors.items()))
    download.change(UNET, lambda t: t.update({name: array}))
    assert "no rule for" in plan_error(download)


def test_whole_numbers_are_no_weights(download):
    download.change(VAE, lambda t: t.update({"quant_conv.bias": np.ones(8, np.int32)}))
    assert "quant_conv.bias has numbers of type int32" in plan_error(download)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
def test_numbers_that_are_not_finite_leave_nothing(download, tmp_path, bad):
    def spoil(tensors):
        for name in ("quant_conv.bias", "encoder.conv_in.bias"):
            tensors[name] = np.full_like(tensors[name], bad, np.float64)

    download.change(VAE, spoil)
    with pytest.raises(UserError, match="2 faults") as error:
        convert_model(download.describe(), tmp_path / "out")
    for name in ("vae.quant_conv.bias", "vae.encoder.conv_in.bias"):
        assert f"{name} has NaN or infinity as float32" in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["download"]


def test_other_tables_of_positions(download):
    name = next(k for k in download.networks[MOTION].tensors if k.endswith(".pe"))
    download.change(MOTION, lambda t: t.update({name: t[name] + np.float32(0.1)}))
    with pytest.raises(UserError, match=r"temporal_attention.ckpt: .* is not the usual table"):
        download.describe()
    download.change(MOTION, lambda t: t.update({name: t[name][:, :16]}))
    with pytest.raises(UserError, match="give the matching file by --inference-config"):
        download.describe()


@pytest.mark.parametrize("file", [VAE, UNET, MOTION])
@pytest.mark.parametrize("kept", [0, 5, 0.001, 0.5, 0.9999])
def test_truncated_files(download, file, kept):
    path = download.path(file)
    size = kept if isinstance(kept, int) else int(path.stat().st_size * kept)
    os.truncate(path, size)
    with pytest.raises(UserError, match=rf"{path.name}: truncated or corrupt .*download it again"):
        download.describe()


def other_formats(tensors, tmp_path):
    state = {name: torch.from_numpy(array) for name, array in tensors.items()}
    old, flax = tmp_path / "old.bin", tmp_path / "flax.msgpack"
    torch.save(state, old, _use_new_zipfile_serialization=False)
    flax.write_bytes(to_bytes({"conv": {"kernel": np.ones((3, 4), np.float32)}}))
    return old, flax


def test_every_length_of_a_truncated_file_is_refused(tmp_path):
    old, flax = other_formats({"a.weight": np.ones((3, 4), np.float32)}, tmp_path)
    for path in (old, flax):
        whole = path.read_bytes()
        assert len(open_source(path).tensors) == 1
        for size in [*range(len(whole)), len(whole) + 1]:
            path.write_bytes((whole + b"\0")[:size])
            with pytest.raises(UserError, match=f"{path.name}: truncated or corrupt"):
                open_source(path)


def test_a_flipped_bit_in_an_archive(download, tmp_path):
    """Its checksums tell; safetensors has none."""
    path = download.path(UNET)
    array = download.networks[UNET].tensors[NAME]
    content = bytearray(path.read_bytes())
    content[content.index(array.tobytes()) + 7] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model.bin: truncated or corrupt \(the checksum of"):
        convert_model(download.describe(), tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["download"]


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}},
        {"a": {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}},
        {"a": {"dtype": "F32", "shape": [1]}},
        {"a": 3},
        [1],
        "text",
    ],
)
def test_malformed_headers(tmp_path, header):
    text = json.dumps(header).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(UserError, match=r"a\.safetensors: truncated or corrupt"):
        open_source(path)


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("is_new", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, is_new):
    path, trap = tmp_path / "evil.ckpt", tmp_path / "trap"
    state = {"a": torch.ones(2), "b": Malicious(trap)}
    torch.save(state, path, _use_new_zipfile_serialization=is_new)
    with pytest.raises(
        UserError, match=r"evil\.ckpt: its pickle asks for \w+\.mkdir, which is not"
    ):
        open_source(path)
    assert not trap.exists()


@pytest.mark.parametrize("content", [bytes(20), b"\xff\xfe\0\1" * 200, b"\x80\x02\x8a\nl\xfc"])
def test_bytes_of_no_format(tmp_path, content):
    path = tmp_path / "diffusion_pytorch_model.bin"
    path.write_bytes(content)
    with pytest.raises(UserError, match="truncated or corrupt"):
        open_source(path)


def test_a_pointer_of_git_lfs(download):
    download.path(VAE).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(UserError, match="only a Git LFS pointer"):
        download.describe()


def test_missing_files(download):
    download.path(UNET).unlink()
    with pytest.raises(
        UserError, match=r"unet: no weights there; download diffusion_pytorch_model"
    ):
        download.describe()


def test_missing_parts_of_a_sharded_file(download):
    folder = download.path(UNET).parent
    download.path(UNET).unlink()
    index = folder / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    with pytest.raises(UserError, match=r"one\.safetensors, two\.safetensors missing beside it"):
        download.describe()
    index.write_text(json.dumps({"weight_map": {"a": "../one.safetensors"}}))
    with pytest.raises(UserError, match="other folders"):
        download.describe()


def change_config(download, file, **values):
    path = download.path(file).with_name("config.json")
    config = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({k: v for k, v in config.items() if v != "gone"}))
    return path


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        (UNET, {"act_fn": "gelu"}, r"not supported: act_fn 'gelu' \(only 'silu'\)"),
        (UNET, {"use_linear_projection": True, "norm_eps": 1e-6}, "norm_eps.*use_linear"),
        (UNET, {"block_out_channels": "gone"}, "block_out_channels is missing"),
        (UNET, {"attention_head_dim": [8, 4, 8, 8]}, "must be one number"),
        (UNET, {"down_block_types": ["Odd"] * 4}, "down_block_types"),
        (UNET, {"up_block_types": ["UpBlock2D"] * 4}, "must mirror"),
        (UNET, {"layers_per_block": 1}, "appearance_encoder: not of the layout of"),
        (VAE, {"down_block_types": ["Odd"] * 4}, "may only hold DownEncoderBlock2D"),
        (VAE, {"latent_channels": 8}, "unet has 4 channels where the autoencoder has 8"),
        (TEXT, {"hidden_act": "gelu"}, "hidden_act"),
        (TEXT, {"hidden_size": 64}, "text_encoder has 64 features per token where unet reads 32"),
        (ENCODER, {"norm_num_groups": 8}, "appearance_encoder: not of the layout of"),
    ],
)
def test_configs_that_are_not_supported(download, file, values, message):
    change_config(download, file, **values)
    with pytest.raises(UserError, match=message):
        download.describe()


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_configs_that_cannot_be_read(download, text):
    path = download.path(VAE).with_name("config.json")
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=r"config\.json: truncated or corrupt"):
        download.describe()
    path.unlink()
    with pytest.raises(UserError, match=r"config\.json: cannot be read"):
        download.describe()


@pytest.mark.parametrize(
    ("table", "key", "value", "message"),
    [
        ("unet_additional_kwargs", "motion_module_type", "Odd", "motion_module_type"),
        ("unet_additional_kwargs", "motion_module_resolutions", [1, 2], "motion_module_resol"),
        ("noise_scheduler_kwargs", "beta_schedule", "odd", "beta_schedule must be one of"),
    ],
)
def test_inference_configs_that_are_not_supported(download, table, key, value, message):
    path = download.path("magicanimate/inference_config.json")
    path.write_text(json.dumps({**INFERENCE, table: {**INFERENCE[table], key: value}}))
    with pytest.raises(UserError, match=message):
        download.describe()
