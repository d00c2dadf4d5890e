"""Networks that diffusers knows: the names are those that it builds, hence no copy of ours."""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.controlnets.controlnet import ControlNetModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from published.shapes import Shapes


def unet(config: Mapping[str, Any]) -> Shapes:
    """Stable Diffusion's denoiser."""
    return _built(UNet2DConditionModel, config)


def controlnet(config: Mapping[str, Any]) -> Shapes:
    """The DensePose ControlNet."""
    return _built(ControlNetModel, config)


def appearance_encoder(config: Mapping[str, Any]) -> Shapes:
    """The denoiser's layout up to the first norm of the last transformer."""
    last = "up_blocks.3.attentions.2"
    inner = [f"transformer_blocks.0.{name}" for name in ("norm2", "norm3", "attn1", "attn2", "ff")]
    gone = ("conv_norm_out.", "conv_out.", *(f"{last}.{name}." for name in ["proj_out", *inner]))
    return {name: shape for name, shape in unet(config).items() if not name.startswith(gone)}


def reference_unet(config: Mapping[str, Any]) -> Shapes:
    """AnimateAnyone's appearance encoder: all of the denoiser but its two last layers."""
    gone = ("conv_norm_out.", "conv_out.")
    return {name: shape for name, shape in unet(config).items() if not name.startswith(gone)}


def vae(config: Mapping[str, Any]) -> Shapes:
    """The autoencoder, whose published files have the old names of attention."""
    shapes = _built(AutoencoderKL, config)
    renamed = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for new, old in renamed.items():
        shapes = {name.replace(f".{new}.", f".{old}."): shape for name, shape in shapes.items()}
    return shapes


def _built(network: type, config: Mapping[str, Any]) -> Shapes:
    with torch.device("meta"):
        built = network.from_config(dict(config))
    return {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}
