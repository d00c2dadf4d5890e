"""MagicAnimate's downloads."""

from collections.abc import Iterator

from published import clip, diffusion, video
from published.files import Published, Sizes, filled, shared_configs


def networks(sizes: Sizes, seed: int = 0) -> Iterator[Published]:
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
    encoder, controlnet = diffusion.appearance_encoder(unet), diffusion.controlnet(control)
    rows = [
        (f"sd15/unet/{stem}.bin", unet, diffusion.unet(unet)),
        ("sd15/text_encoder/model.safetensors", text, clip.text_encoder(text)),
        (f"vae/{stem}.safetensors", vae, diffusion.vae(vae)),
        (f"{animate}/appearance_encoder/{stem}.safetensors", unet, encoder),
        (f"{animate}/densepose_controlnet/{stem}.safetensors", control, controlnet),
        (motion, None, {f"module.{name}": s for name, s in video.motion(sizes.widths).items()}),
    ]
    yield from filled(rows, seed)
