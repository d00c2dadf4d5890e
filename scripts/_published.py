"""Random weights in the layout of MagicAnimate's downloads: the same folders, names and shapes.

What other models have in common with it is here too.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import _published_names as names
import numpy as np
import torch
from safetensors.torch import save_file

from tpc_jax.model.motion import position_table


class Sizes(NamedTuple):
    """Sizes of all networks; the defaults are those of the published files."""

    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    vae_widths: tuple[int, ...] = (128, 256, 512, 512)
    condition_widths: tuple[int, ...] = (16, 32, 96, 256)
    groups: int = 32
    vocabulary: int = 49408
    text_width: int = 768
    text_layers: int = 12
    image_size: int = 512


class Published(NamedTuple):
    """One network: its file, its config and its tensors."""

    file: str
    config: dict[str, Any] | None
    tensors: dict[str, np.ndarray]


def published(sizes: Sizes, seed: int = 0) -> Iterator[Published]:
    """Yield the networks one after the other, so that only one is ever held."""
    trunk, unet, vae = shared_configs(sizes)
    control = {**trunk, "conditioning_embedding_out_channels": sizes.condition_widths}
    text = {
        "hidden_act": "quick_gelu", "hidden_size": sizes.text_width,
        "intermediate_size": 4 * sizes.text_width, "layer_norm_eps": 1e-5,
        "max_position_embeddings": 77, "num_attention_heads": sizes.text_width // 64 or 1,
        "num_hidden_layers": sizes.text_layers, "vocab_size": sizes.vocabulary,
    }  # fmt: skip
    stem, animate = "diffusion_pytorch_model", "magicanimate"
    motion = f"{animate}/temporal_attention/temporal_attention.ckpt"
    rows = [
        (f"sd15/unet/{stem}.bin", unet, names.unet(unet)),
        ("sd15/text_encoder/model.safetensors", text, names.text_encoder(text)),
        (f"vae/{stem}.safetensors", vae, names.vae(vae)),
        (f"{animate}/appearance_encoder/{stem}.safetensors", unet, names.appearance_encoder(unet)),
        (f"{animate}/densepose_controlnet/{stem}.safetensors", control, names.controlnet(control)),
        (motion, None, {f"module.{name}": s for name, s in names.motion(sizes.widths).items()}),
    ]
    yield from filled(rows, seed)


def shared_configs(sizes: Sizes) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the configs of Stable Diffusion's way down, of its denoiser and of its autoencoder."""
    trunk = {
        "act_fn": "silu", "attention_head_dim": 8, "block_out_channels": sizes.widths,
        "cross_attention_dim": sizes.text_width, "in_channels": 4, "layers_per_block": 2,
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "norm_eps": 1e-5, "norm_num_groups": sizes.groups,
    }  # fmt: skip
    up = {"up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, "out_channels": 4}
    unet = {**trunk, **up, "sample_size": sizes.image_size // 8}
    vae = {
        "act_fn": "silu", "block_out_channels": sizes.vae_widths, "in_channels": 3,
        "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": sizes.groups,
        "out_channels": 3, "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    }  # fmt: skip
    return trunk, unet, vae


def filled(rows, seed: int) -> Iterator[Published]:
    """Fill networks, given as (file, config, shapes), with random numbers."""
    rng = np.random.default_rng(seed)
    for file, config, shapes in rows:
        yield Published(file, config, {name: _numbers(rng, name, s) for name, s in shapes.items()})


def write(root: Path, network: Published) -> None:
    """Write one network as it is published."""
    path = root / network.file
    path.parent.mkdir(parents=True, exist_ok=True)
    if network.config is not None:
        place = path if path.suffix == ".json" else path.parent / "config.json"
        place.write_text(json.dumps(network.config))
    if network.tensors:
        save(path, network.tensors)


def save(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Write tensors in the format that the file's name tells."""
    state: dict[str, Any] = {name: torch.from_numpy(array) for name, array in tensors.items()}
    if path.suffix == ".ckpt":
        state = {"state_dict": state, "global_step": 1}
    if path.suffix == ".pt":  # DeepSpeed's; CLIP stays in single precision
        half = {n: t if n.startswith("clip_") else t.half() for n, t in state.items()}
        state = {"module": half, "global_steps": 1, "csr_tensor_module_names": set()}
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)


def _numbers(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Draw numbers that keep activations near 1; no layer starts at zero."""
    if name.endswith("position_ids"):
        return np.arange(shape[-1])[None]
    if name.endswith(".pe"):
        return position_table(*shape[1:])[None]
    values, is_scale = rng.standard_normal(shape, np.float32), name.endswith("weight")
    fan_in = np.float32(np.prod(shape[1:]))
    return values / np.sqrt(fan_in) if len(shape) > 1 else values / 10 + np.float32(is_scale)
