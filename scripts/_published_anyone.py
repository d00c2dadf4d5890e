"""Random weights in the layout of AnimateAnyone's downloads: the same folders, names and shapes."""

from collections.abc import Iterator

import _published_names as names
from _published import Published, Sizes, filled, shared_configs

_POSITIONS = 32


def published(
    sizes: Sizes, vision_width: int = 1024, vision_layers: int = 24, seed: int = 0
) -> Iterator[Published]:
    """Yield the networks one after the other, so that only one is ever held.

    Of Stable Diffusion there is a config but no weights, for none are read.
    """
    _, unet, vae = shared_configs(sizes)
    vision = {
        "hidden_act": "quick_gelu", "hidden_size": vision_width, "image_size": 224,
        "intermediate_size": 4 * vision_width, "layer_norm_eps": 1e-5, "num_channels": 3,
        "num_attention_heads": vision_width // 64 or 1, "num_hidden_layers": vision_layers,
        "patch_size": 14, "projection_dim": sizes.text_width,
    }  # fmt: skip
    rows = [
        ("sd15/unet/config.json", unet, {}),
        ("vae/diffusion_pytorch_model.bin", vae, names.vae(vae)),
        ("image_encoder/pytorch_model.bin", vision, names.vision_encoder(vision)),
        ("weights/denoising_unet.pth", None, names.unet(unet)),
        ("weights/reference_unet.pth", None, names.reference_unet(unet)),
        (
            "weights/motion_module.pth",
            None,
            names.motion(sizes.widths, _POSITIONS, has_mid=True),
        ),
        (
            "weights/pose_guider.pth",
            None,
            names.pose_guider(sizes.condition_widths, sizes.widths[0]),
        ),
    ]
    yield from filled(rows, seed)
