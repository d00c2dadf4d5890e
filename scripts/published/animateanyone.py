"""AnimateAnyone's downloads."""

from collections.abc import Iterator

from published import clip, diffusion, video
from published.files import Published, Sizes, filled, shared_configs

_POSITIONS = 32


def networks(
    sizes: Sizes, vision_width: int = 1024, vision_layers: int = 24, seed: int = 0
) -> Iterator[Published]:
    """Yield the networks one after the other, so that only one is ever held.

    Of Stable Diffusion there is a config but no weights, for none are read.
    """
    _, unet, vae = shared_configs(sizes)
    vision = clip.tower(vision_width, vision_layers, 14, sizes.text_width)
    rows = [
        ("sd15/unet/config.json", unet, {}),
        ("vae/diffusion_pytorch_model.bin", vae, diffusion.vae(vae)),
        ("image_encoder/pytorch_model.bin", vision, clip.vision_encoder(vision)),
        ("weights/denoising_unet.pth", None, diffusion.unet(unet)),
        ("weights/reference_unet.pth", None, diffusion.reference_unet(unet)),
        (
            "weights/motion_module.pth",
            None,
            video.motion(sizes.widths, _POSITIONS, has_mid=True),
        ),
        (
            "weights/pose_guider.pth",
            None,
            video.pose_guider(sizes.condition_widths, sizes.widths[0]),
        ),
    ]
    yield from filled(rows, seed)
