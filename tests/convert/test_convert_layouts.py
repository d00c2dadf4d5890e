"""Every layout in which the files exist gives the same parameters."""

import json
import re

import jax
import numpy as np
import pytest
import torch
import yaml
from diffusers.models.unets.unet_2d_condition_flax import FlaxUNet2DConditionModel
from diffusers.models.vae_flax import FlaxAutoencoderKL
from flax.serialization import to_bytes
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors.torch import save_file
from small_published import ENCODER, MOTION, TEXT, UNET, VAE, save

from tpc_jax.convert.folders import find_weights
from tpc_jax.convert.magicanimate import describe_model

pytestmark = pytest.mark.torch


def assert_same(download, expected, atol=0.0):
    found = download.parameters()
    assert found.keys() == expected.keys()
    for path, array in expected.items():
        np.testing.assert_allclose(found[path], array, atol=atol, rtol=0, err_msg=path)


def tensors_of(download, file):
    return dict(download.networks[file].tensors)


def test_tensors_arrive_where_they_belong(original, expected):
    unet, vae = tensors_of(original, UNET), tensors_of(original, VAE)
    text, motion = tensors_of(original, TEXT), tensors_of(original, MOTION)
    same = np.testing.assert_array_equal
    same(expected["unet.conv_in.kernel"], unet["conv_in.weight"].transpose(2, 3, 1, 0))
    name = "up_blocks.1.attentions.2.transformer_blocks.0.ff.net.0.proj"
    same(expected[f"unet.{name}.kernel"], unet[f"{name}.weight"].T)
    same(expected["unet.conv_norm_out.scale"], unet["conv_norm_out.weight"])
    attention = "encoder.mid_block.attentions.0"
    for ours, theirs in {"to_q": "query", "to_v": "value", "to_out.0": "proj_attn"}.items():
        same(expected[f"vae.{attention}.{ours}.kernel"], vae[f"{attention}.{theirs}.weight"].T)
    table = "embeddings.token_embedding"
    same(expected[f"text_encoder.{table}.embedding"], text[f"text_model.{table}.weight"])
    inner = "transformer_blocks.0.attention_blocks.1.to_out.0"
    theirs = f"module.up_blocks.3.motion_modules.2.temporal_transformer.{inner}.weight"
    same(expected[f"unet.up_blocks.3.motion_modules.2.{inner}.kernel"], motion[theirs].T)
    last = "up_blocks.3.attentions.2.transformer_blocks.0.norm1"
    encoder = tensors_of(original, ENCODER)
    same(expected[f"appearance_encoder.{last}.scale"], encoder[f"{last}.weight"])


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (UNET, "diffusion_pytorch_model.safetensors"),
        (VAE, "diffusion_pytorch_model.bin"),
        (TEXT, "pytorch_model.bin"),
        (MOTION, "temporal_attention.safetensors"),
        (MOTION, "temporal_attention.bin"),
        (ENCODER, "diffusion_pytorch_model.ckpt"),  # nested in "state_dict"
    ],
)
def test_other_formats(download, expected, file, name):
    download.replace(file, tensors_of(download, file), name)
    assert_same(download, expected)


@pytest.mark.parametrize(
    "name", ["diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.fp16.bin"]
)
def test_half_precision(download, expected, name):
    half = {k: v.astype(np.float16) for k, v in tensors_of(download, VAE).items()}
    download.replace(VAE, half, name)
    assert_same(download, expected, atol=2e-3)


def test_bfloat16(download, expected):
    state = {k: torch.from_numpy(v).bfloat16() for k, v in tensors_of(download, UNET).items()}
    torch.save(state, download.path(UNET))
    assert_same(download, expected, atol=2e-2)
    save_file(state, download.path(UNET))  # formats are told by the first bytes
    assert_same(download, expected, atol=2e-2)


def test_full_precision_is_preferred(download):
    folder = download.path(VAE).parent
    for name in ("diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.bin"):
        save(folder / name, {})
    assert find_weights(folder).name == "diffusion_pytorch_model.safetensors"
    download.path(VAE).unlink()
    assert find_weights(folder).name == "diffusion_pytorch_model.bin"


def test_files_of_old_pytorch(download, expected):
    state = {k: torch.from_numpy(v) for k, v in tensors_of(download, UNET).items()}
    torch.save(state, download.path(UNET), _use_new_zipfile_serialization=False)
    assert_same(download, expected)


def test_tensors_that_are_views(download, expected):
    """Parameters, transposed tensors, and tensors that share one storage."""
    state = {k: torch.from_numpy(v) for k, v in tensors_of(download, UNET).items()}
    joined = torch.cat([tensor.flatten() for tensor in state.values()])
    ends = np.cumsum([tensor.numel() for tensor in state.values()])
    parts = np.split(np.arange(len(joined)), ends[:-1])
    views = {
        name: joined[part[0] : part[-1] + 1].view(tensor.shape)
        for (name, tensor), part in zip(state.items(), parts, strict=True)
    }
    name = "time_embedding.linear_1.weight"
    views[name] = torch.nn.Parameter(state[name].T.contiguous().T)
    torch.save(views, download.path(UNET))
    assert_same(download, expected)


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_sharded_files(download, expected, ending):
    tensors = tensors_of(download, UNET)
    download.path(UNET).unlink()
    names = list(tensors)
    parts = {f"part-{i}.{ending}": names[i::3] for i in range(3)}
    folder = download.path(UNET).parent
    for file, keys in parts.items():
        save(folder / file, {key: tensors[key] for key in keys})
    index = {"metadata": {}, "weight_map": {k: file for file, keys in parts.items() for k in keys}}
    path = folder / f"diffusion_pytorch_model.{ending}.index.json"
    path.write_text(json.dumps(index))
    assert_same(download, expected)
    assert {f"sd15/unet/{file}" for file in (*parts, path.name)} < set(download.describe().inputs)


@pytest.mark.parametrize("prefix", ["", "module.", "unet.", "module.unet."])
def test_prefixes_of_the_motion_modules(download, expected, prefix):
    tensors = tensors_of(download, MOTION)
    bare = {prefix + k.removeprefix("module."): v for k, v in tensors.items()}
    download.replace(MOTION, bare)
    assert_same(download, expected)


def test_motion_modules_without_tables_of_positions(download, expected):
    download.change(MOTION, lambda t: [t.pop(k) for k in list(t) if k.endswith(".pe")])
    assert_same(download, expected)


def test_motion_modules_in_a_file_of_the_whole_denoiser(download, expected):
    """Its spatial layers are ignored: those of Stable Diffusion count, as in the original."""
    other = {k: v + 1 for k, v in tensors_of(download, UNET).items()}
    download.change(MOTION, lambda t: t.update({f"module.{k}": v for k, v in other.items()}))
    assert_same(download, expected)


def test_new_names_of_the_autoencoder(download, expected):
    new = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}

    def rename(tensors):
        for name in list(tensors):
            parts = name.rsplit(".", 2)
            if parts[1] in new:
                tensors[f"{parts[0]}.{new[parts[1]]}.{parts[2]}"] = tensors.pop(name)

    download.change(VAE, rename)
    assert_same(download, expected)


def test_an_appearance_encoder_stored_as_a_whole_denoiser(download, expected):
    whole = tensors_of(download, UNET) | tensors_of(download, ENCODER)
    download.replace(ENCODER, whole)
    assert_same(download, expected)


def flax_names(make, config) -> set[tuple[str, ...]]:
    """Return the names that diffusers' own Flax class gives; its norms need widths of 32."""
    known = {k: v for k, v in config.items() if k not in ("act_fn", "norm_eps", "norm_num_groups")}
    widths = tuple(4 * width for width in config["block_out_channels"])
    model = make.from_config({**known, "block_out_channels": widths})
    shapes = jax.eval_shape(model.init_weights, jax.random.key(0))
    return set(flatten_dict(shapes))


def flax_path(name: str, ndim: int) -> tuple[str, ...]:
    """Spell a name of diffusers' PyTorch classes as its Flax classes do."""
    *path, kind = re.sub(r"\.(\d+)", r"_\1", name).split(".")
    return *path, "bias" if kind == "bias" else "scale" if ndim == 1 else "kernel"


@pytest.mark.parametrize("file", [UNET, VAE])
def test_flax_files(download, expected, file):
    make = {UNET: FlaxUNet2DConditionModel, VAE: FlaxAutoencoderKL}[file]
    network = download.networks[file]
    axes = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
    flat = {
        flax_path(name, array.ndim): array.transpose(axes[array.ndim])
        for name, array in network.tensors.items()
    }
    assert flat.keys() == flax_names(make, network.config)
    download.path(file).unlink()
    path = download.path(file).with_name("diffusion_flax_model.msgpack")
    path.write_bytes(to_bytes(unflatten_dict(flat)))
    assert_same(download, expected)


def test_a_flax_text_encoder(download, expected):
    """Names of transformers' FlaxCLIPTextModel."""
    flat = {}
    for name, array in tensors_of(download, TEXT).items():
        *path, kind = name.split(".")
        if kind == "position_ids":
            continue
        is_table = path[-1].endswith("embedding")
        leaf = "embedding" if is_table else "kernel" if array.ndim == 2 else "scale"
        leaf = "bias" if kind == "bias" else leaf
        flat[*path, leaf] = array.T if leaf == "kernel" else array
    download.path(TEXT).unlink()
    path = download.path(TEXT).with_name("flax_model.msgpack")
    path.write_bytes(to_bytes(unflatten_dict(flat)))
    assert_same(download, expected)


def test_an_inference_config_elsewhere(download, tmp_path):
    given = json.loads(download.path("magicanimate/inference_config.json").read_text())
    given["unet_additional_kwargs"]["motion_module_kwargs"]["num_attention_heads"] = 4
    path = tmp_path / "inference.yaml"
    path.write_text(yaml.safe_dump(given))
    conversion = describe_model(*download.folders, path)
    assert conversion.config["unet"]["motion"]["num_heads"] == 4
    assert conversion.config["unet"]["motion"]["norm_num_groups"] == 4
    assert conversion.config["schedule"]["beta_start"] == 0.001
    assert "inference_config/inference.yaml" in conversion.inputs
