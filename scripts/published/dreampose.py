"""DreamPose's downloads."""

from collections.abc import Iterator, Mapping
from typing import Any

from published import clip, diffusion
from published.files import Published, Sizes, filled, shared_configs
from published.scheduler import SCHEDULER

UNET_FILE, ADAPTER_FILE = "dreampose/unet_epoch_20.pth", "dreampose/adapter_20.pth"


def networks(
    sizes: Sizes,
    vision: Mapping[str, Any] | None = None,
    pooled: int = 1280,
    seed: int = 0,
) -> Iterator[Published]:
    """Yield DreamPose's networks; the denoiser's config still tells of 4 channels."""
    _, unet, vae = shared_configs(sizes)
    vision = clip.tower(768, 12, 32, 512) if vision is None else vision
    width, tokens = vision["hidden_size"], (vision["image_size"] // vision["patch_size"]) ** 2 + 1
    adapter = {
        "vae2clip.weight": (width, pooled), "vae2clip.bias": (width,),
        "linear1.weight": (tokens, tokens + 4), "linear1.bias": (tokens,),
    }  # fmt: skip
    denoiser = diffusion.unet({**unet, "in_channels": 14})
    rows = [
        ("sd14/unet/config.json", unet, {}),
        ("sd14/scheduler/scheduler_config.json", SCHEDULER, {}),
        ("sd14/vae/diffusion_pytorch_model.bin", vae, diffusion.vae(vae)),
        ("clip/pytorch_model.bin", {"vision_config": vision}, clip.vision_encoder(vision)),
        (UNET_FILE, None, {f"module.{name}": shape for name, shape in denoiser.items()}),
        (ADAPTER_FILE, None, adapter),
    ]
    yield from filled(rows, seed)
