"""Random weights in the layout of DreamPose's and DisCo's downloads: the same names and shapes."""

from collections.abc import Iterator, Mapping
from typing import Any

import _published_names as names
from _published import Published, Sizes, filled, shared_configs

SCHEDULER = {
    "_class_name": "PNDMScheduler", "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "beta_start": 0.00085, "clip_sample": False, "num_train_timesteps": 1000,
    "set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1,
}  # fmt: skip
DISCO_FILE = "disco/mp_rank_00_model_states.pt"
UNET_FILE, ADAPTER_FILE = "dreampose/unet_epoch_20.pth", "dreampose/adapter_20.pth"


def tower(width: int, layers: int, patch: int, projection: int, side: int = 224) -> dict[str, Any]:
    """Return the config of a vision tower of CLIP."""
    return {
        "hidden_act": "quick_gelu", "hidden_size": width, "image_size": side,
        "intermediate_size": 4 * width, "layer_norm_eps": 1e-5, "num_channels": 3,
        "num_attention_heads": width // 64 or 1, "num_hidden_layers": layers,
        "patch_size": patch, "projection_dim": projection,
    }  # fmt: skip


def dreampose(
    sizes: Sizes,
    vision: Mapping[str, Any] | None = None,
    pooled: int = 1280,
    seed: int = 0,
) -> Iterator[Published]:
    """Yield DreamPose's networks; the denoiser's config still tells of 4 channels."""
    _, unet, vae = shared_configs(sizes)
    vision = tower(768, 12, 32, 512) if vision is None else vision
    width, tokens = vision["hidden_size"], (vision["image_size"] // vision["patch_size"]) ** 2 + 1
    adapter = {
        "vae2clip.weight": (width, pooled), "vae2clip.bias": (width,),
        "linear1.weight": (tokens, tokens + 4), "linear1.bias": (tokens,),
    }  # fmt: skip
    denoiser = names.unet({**unet, "in_channels": 14})
    rows = [
        ("sd14/unet/config.json", unet, {}),
        ("sd14/scheduler/scheduler_config.json", SCHEDULER, {}),
        ("sd14/vae/diffusion_pytorch_model.bin", vae, names.vae(vae)),
        ("clip/pytorch_model.bin", {"vision_config": vision}, names.vision_encoder(vision)),
        (UNET_FILE, None, {f"module.{name}": shape for name, shape in denoiser.items()}),
        (ADAPTER_FILE, None, adapter),
    ]
    yield from filled(rows, seed)


def disco(
    sizes: Sizes, vision: Mapping[str, Any] | None = None, seed: int = 0
) -> Iterator[Published]:
    """Yield the configs of DisCo's base and all of its weights, which are one file."""
    trunk, unet, vae = shared_configs(sizes)
    vision = tower(1024, 24, 14, 768) if vision is None else vision
    control = names.controlnet(
        {**trunk, "conditioning_embedding_out_channels": sizes.condition_widths}
    )
    embedding, first = "controlnet_cond_embedding.", sizes.widths[0]
    background = {name: shape for name, shape in control.items() if not name.startswith(embedding)}
    background |= {
        f"{embedding}conv_in.weight": (first, 4, 3, 3),
        f"{embedding}conv_in.bias": (first,),
    }
    parts = {
        "unet": names.unet(unet),
        "controlnet.nets.0": control,
        "controlnet.nets.1": background,
        "clip_image_encoder": names.vision_encoder(vision),
        "refer_clip_proj": {"weight": (sizes.text_width, vision["hidden_size"])},
        "vae": names.vae(vae),
    }
    shapes = {f"{part}.{n}": shape for part, own in parts.items() for n, shape in own.items()}
    rows = [
        ("variations/unet/config.json", unet, {}),
        ("variations/vae/config.json", vae, {}),
        ("variations/image_encoder/config.json", vision, {}),
        ("variations/scheduler/scheduler_config.json", SCHEDULER, {}),
        (DISCO_FILE, None, shapes),
    ]
    yield from filled(rows, seed)
