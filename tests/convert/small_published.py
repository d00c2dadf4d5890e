"""Downloads of MagicAnimate at a tiny size, in the published layout and in its variants."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from published.files import Published, Sizes, save, write
from published.magicanimate import networks as published

from tpc_jax.convert.core import Conversion, plan_parts
from tpc_jax.convert.magicanimate import describe_model

__all__ = ["Published", "Sizes", "published", "save", "write"]

SMALL = Sizes(
    widths=(8, 16, 24, 24),
    vae_widths=(8, 8, 16, 16),
    condition_widths=(4, 8, 8, 8),
    groups=4,
    vocabulary=60,
    text_width=32,
    text_layers=2,
    image_size=64,
)
INFERENCE = {
    "unet_additional_kwargs": {
        "unet_use_cross_frame_attention": False,
        "unet_use_temporal_attention": False,
        "use_motion_module": True,
        "motion_module_resolutions": [1, 2, 4, 8],
        "motion_module_mid_block": False,
        "motion_module_decoder_only": False,
        "motion_module_type": "Vanilla",
        "motion_module_kwargs": {
            "num_attention_heads": 8,
            "num_transformer_block": 1,
            "attention_block_types": ["Temporal_Self", "Temporal_Self"],
            "temporal_position_encoding": True,
            "temporal_position_encoding_max_len": 24,
            "temporal_attention_dim_div": 1,
        },
    },
    "noise_scheduler_kwargs": {"beta_start": 0.001, "beta_end": 0.012, "beta_schedule": "linear"},
    "motion_module_norm_num_groups": 4,
}
UNET = "sd15/unet/diffusion_pytorch_model.bin"
TEXT = "sd15/text_encoder/model.safetensors"
VAE = "vae/diffusion_pytorch_model.safetensors"
ENCODER = "magicanimate/appearance_encoder/diffusion_pytorch_model.safetensors"
CONTROLNET = "magicanimate/densepose_controlnet/diffusion_pytorch_model.safetensors"
MOTION = "magicanimate/temporal_attention/temporal_attention.ckpt"


class Download(NamedTuple):
    """A download on disk and what is in it."""

    root: Path
    networks: dict[str, Published]

    @property
    def folders(self) -> list[Path]:
        return [self.root / name for name in ("sd15", "vae", "magicanimate")]

    def path(self, file: str) -> Path:
        return self.root / file

    def replace(self, file: str, tensors: dict[str, np.ndarray], name: str | None = None) -> Path:
        """Write other tensors in place of a file, perhaps under another name."""
        self.path(file).unlink()
        path = self.path(file).with_name(name or Path(file).name)
        save(path, tensors)
        return path

    def change(self, file: str, change: Callable[[dict], object]) -> None:
        """Write a file again with changed tensors."""
        tensors = dict(self.networks[file].tensors)
        change(tensors)
        self.replace(file, tensors)

    def describe(self) -> Conversion:
        return describe_model(*self.folders)

    def parameters(self) -> dict[str, np.ndarray]:
        """Return all parameters that are read from files, by path."""
        plans = plan_parts(self.describe())
        return {
            f"{network}.{filling.target.path}": np.asarray(filling.read(), np.float32)
            for network, plan in plans.items()
            for filling in plan.fillings.values()
        }


def make_download(root: Path, seed: int = 0) -> Download:
    networks = {network.file: network for network in published(SMALL, seed)}
    for network in networks.values():
        write(root, network)
    (root / "magicanimate/inference_config.json").write_text(json.dumps(INFERENCE))
    (root / "sd15/tokenizer").mkdir()
    (root / "sd15/tokenizer/vocab.json").write_text("{}")
    (root / "sd15/tokenizer/merges.txt").write_text("#version: 0.2\n")
    return Download(root, networks)
