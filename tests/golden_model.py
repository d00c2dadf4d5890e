"""The golden data's tiny models, laid out as published and run through the converter."""

import json
import shutil
from pathlib import Path

import pytest

from tpc_jax.convert import disco, dreampose
from tpc_jax.convert.core import convert_model
from tpc_jax.convert.magicanimate import describe_model

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


def _golden(system: str) -> Path:
    folder = GOLDEN.parent / system
    if not folder.exists():
        pytest.skip(f"the golden data of {system} is not there")
    return folder


def _write_configs(root: Path, configs: dict[str, dict]) -> None:
    for file, values in configs.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(json.dumps(values))


def convert_golden_dreampose(root: Path) -> Path:
    """Convert the golden DreamPose inside `root` and return its folder."""
    golden = _golden("dreampose")
    config = json.loads((golden / "config.json").read_text())
    _write_configs(
        root,
        {
            "sd14/unet/config.json": config["unet"],
            "sd14/vae/config.json": config["vae"],
            "sd14/scheduler/scheduler_config.json": config["scheduler"],
            "clip/config.json": config["clip_vision"],
        },
    )
    files = {"unet": "unet", "adapter": "adapter", "vae": "vae", "clip_vision": "clip/model"}
    for theirs, place in files.items():
        shutil.copyfile(golden / f"{theirs}.safetensors", root / f"{place}.safetensors")
    width, height = config["image_wh"]
    weights = [root / f"{name}.safetensors" for name in ("unet", "adapter", "vae")]
    described = dreampose.describe_model(
        root / "sd14", root / "clip", *weights, image_size=(height, width)
    )
    convert_model(described, root / "converted")
    return root / "converted"


def convert_golden_disco(root: Path, variant: str = "disco", recipe="cfg") -> Path:
    """Convert a golden DisCo ("disco" or "disco/temporal") inside `root`; return its folder."""
    golden = _golden(variant)
    config = json.loads((golden / "config.json").read_text())
    _write_configs(
        root / "variations",
        {
            "unet/config.json": config["unet"],
            "vae/config.json": config["vae"],
            "image_encoder/config.json": config["clip_vision"],
            "scheduler/scheduler_config.json": config["scheduler"],
        },
    )
    side = config["unet"]["sample_size"] * 2 ** (len(config["vae"]["block_out_channels"]) - 1)
    described = disco.describe_model(
        root / "variations", golden / "model.safetensors", recipe, side, config.get("nframes")
    )
    convert_model(described, root / f"converted-{recipe}")
    return root / f"converted-{recipe}"
