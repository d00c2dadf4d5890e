"""Names of Stable Diffusion's autoencoder in diffusers, before and after attention was renamed."""

from convert.rules import layer

_HALF = r"(?:encoder|decoder)"
_RESNET = rf"{_HALF}\.(?:(?:down|up)_blocks\.\d+|mid_block)\.resnets\.\d+"
_ATTENTION = rf"(?P<attention>{_HALF}\.mid_block\.attentions\.0)"

VAE = (
    *layer("conv", r"(?:post_)?quant_conv"),
    *layer("conv", rf"{_HALF}\.conv_(?:in|out)"),
    *layer("norm", rf"{_HALF}\.conv_norm_out"),
    *layer("norm", rf"{_RESNET}\.norm[12]"),
    *layer("conv", rf"{_RESNET}\.conv(?:1|2|_shortcut)"),
    *layer("conv", rf"{_HALF}\.(?:down|up)_blocks\.\d+\.(?:down|up)samplers\.0\.conv"),
    *layer("norm", rf"{_ATTENTION}\.group_norm"),
    *layer("linear", rf"{_ATTENTION}\.to_(?:[qkv]|out\.0)"),
    *layer("linear", rf"{_ATTENTION}\.query", r"\g<attention>.to_q"),
    *layer("linear", rf"{_ATTENTION}\.key", r"\g<attention>.to_k"),
    *layer("linear", rf"{_ATTENTION}\.value", r"\g<attention>.to_v"),
    *layer("linear", rf"{_ATTENTION}\.proj_attn", r"\g<attention>.to_out.0"),
)
