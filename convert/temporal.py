"""Names of DisCo's temporal layers inside a denoiser or a ControlNet."""

from convert.rules import ignore, layer

_RESNET = r".*\.resnets\.\d+"
_INNER = r".*\.attentions\.\d+\.transformer_blocks\.0"

TEMPORAL = (
    # Stored, but never used: temporal attention shares the norm of cross-attention.
    ignore(rf"{_INNER}\.tem_norm\..*"),
    *layer("norm", rf"{_RESNET}\.tem_norm"),
    *layer("conv1d", rf"{_RESNET}\.tem_conv"),
    *layer("linear", rf"{_INNER}\.tem_attn\.to_(?:[qkv]|out\.0)"),
)
