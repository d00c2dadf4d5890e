"""Names of a Stable Diffusion ControlNet in diffusers."""

from convert.rules import layer
from convert.unet import UNET

CONTROLNET = (
    *layer("conv", r"controlnet_cond_embedding\.(?:conv_in|blocks\.\d+|conv_out)"),
    *layer("conv", r"controlnet_down_blocks\.\d+|controlnet_mid_block"),
    *UNET,
)
