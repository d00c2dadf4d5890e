"""Random weights in the layout of MagicAnimate's downloads: the same folders, names and shapes."""

from collections.abc import Iterator

import _published_names as names
from _published import Published, Sizes, filled, shared_configs


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
