"""The golden data's tiny MagicAnimate, laid out as published and run through the converter."""

import shutil
from pathlib import Path

import pytest

from convert.core import convert_model
from convert.magicanimate import describe_model

GOLDEN = Path(__file__).parents[2] / "shared" / "golden" / "magicanimate"

# Published path without ending: name of the weights, name of the config.
_LAYOUT = {
    "sd15/unet/diffusion_pytorch_model": ("unet", "unet_config"),
    "sd15/text_encoder/model": ("text_encoder", "text_encoder_config"),
    "vae/diffusion_pytorch_model": ("vae", "vae_config"),
    "animate/appearance_encoder/diffusion_pytorch_model": (
        "appearance_encoder",
        "appearance_encoder_config",
    ),
    "animate/densepose_controlnet/diffusion_pytorch_model": ("controlnet", "controlnet_config"),
    "animate/temporal_attention/temporal_attention": ("temporal_attention.ckpt", None),
}


def convert_golden(root: Path) -> Path:
    """Convert the golden model inside `root` and return its folder; skip where it is not there."""
    if not GOLDEN.exists():
        pytest.skip("the golden data of magicanimate is not there")
    for place, (weights, config) in _LAYOUT.items():
        target = root / f"{place}.safetensors"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(GOLDEN / f"{weights}.safetensors", target)
        if config is not None:
            shutil.copyfile(GOLDEN / f"{config}.json", target.parent / "config.json")
    shutil.copyfile(GOLDEN / "inference_config.json", root / "animate" / "inference_config.json")
    out = root / "converted"
    convert_model(describe_model(root / "sd15", root / "vae", root / "animate"), out)
    return out
