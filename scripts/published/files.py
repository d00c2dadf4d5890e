"""One network after the other, filled with random numbers and written as it is published."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

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
