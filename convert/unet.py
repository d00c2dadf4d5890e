"""Names of Stable Diffusion's UNet in diffusers, for the denoiser and the appearance encoder."""

from convert.rules import Rule, ignore, layer
from tpc_jax.model.config import UNetConfig

_BLOCK = r"(?:down_blocks\.\d+|mid_block|up_blocks\.\d+)"
_RESNET = rf"{_BLOCK}\.resnets\.\d+"
_TRANSFORMER = rf"{_BLOCK}\.attentions\.\d+"
_INNER = rf"{_TRANSFORMER}\.transformer_blocks\.0"

UNET = (
    *layer("conv", r"conv_in|conv_out"),
    *layer("norm", r"conv_norm_out"),
    *layer("linear", r"time_embedding\.linear_[12]"),
    *layer("norm", rf"{_RESNET}\.norm[12]"),
    *layer("conv", rf"{_RESNET}\.conv(?:1|2|_shortcut)"),
    *layer("linear", rf"{_RESNET}\.time_emb_proj"),
    *layer("conv", rf"{_BLOCK}\.(?:down|up)samplers\.0\.conv"),
    *layer("norm", rf"{_TRANSFORMER}\.norm"),
    *layer("conv", rf"{_TRANSFORMER}\.proj_(?:in|out)"),
    *layer("norm", rf"{_INNER}\.norm[123]"),
    *layer("linear", rf"{_INNER}\.attn[12]\.to_(?:[qkv]|out\.0)"),
    *layer("linear", rf"{_INNER}\.ff\.net\.(?:0\.proj|2)"),
)


def appearance_encoder(config: UNetConfig) -> tuple[Rule, ...]:
    """Return the rules for an appearance encoder, which may be stored as a complete UNet.

    Nothing behind the first norm of the last transformer reaches the reference features:
    MagicAnimate leaves it out of the file, AnimateAnyone stores it.
    """
    block, index = len(config.block_out_channels) - 1, config.layers_per_block
    last = rf"up_blocks\.{block}\.attentions\.{index}"
    return (
        ignore(rf"{last}\.proj_out\..*"),
        ignore(rf"{last}\.transformer_blocks\.0\.(?:norm[23]|attn[12]|ff)\..*"),
        ignore(r"conv_(?:norm_)?out\..*"),
        *UNET,
    )
