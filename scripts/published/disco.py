"""DisCo's downloads."""

from collections.abc import Iterator, Mapping
from typing import Any

from published import clip, diffusion
from published.files import Published, Sizes, filled, shared_configs
from published.scheduler import SCHEDULER

DISCO_FILE = "disco/mp_rank_00_model_states.pt"


def networks(
    sizes: Sizes, vision: Mapping[str, Any] | None = None, seed: int = 0
) -> Iterator[Published]:
    """Yield the configs of DisCo's base and all of its weights, which are one file."""
    trunk, unet, vae = shared_configs(sizes)
    vision = clip.tower(1024, 24, 14, 768) if vision is None else vision
    control = diffusion.controlnet(
        {**trunk, "conditioning_embedding_out_channels": sizes.condition_widths}
    )
    embedding, first = "controlnet_cond_embedding.", sizes.widths[0]
    background = {name: shape for name, shape in control.items() if not name.startswith(embedding)}
    background |= {
        f"{embedding}conv_in.weight": (first, 4, 3, 3),
        f"{embedding}conv_in.bias": (first,),
    }
    parts = {
        "unet": diffusion.unet(unet),
        "controlnet.nets.0": control,
        "controlnet.nets.1": background,
        "clip_image_encoder": clip.vision_encoder(vision),
        "refer_clip_proj": {"weight": (sizes.text_width, vision["hidden_size"])},
        "vae": diffusion.vae(vae),
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
