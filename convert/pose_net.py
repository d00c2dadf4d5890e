"""Names of AnimateAnyone's pose guider, which are those of ControlNet's condition embedding."""

from convert.rules import layer

POSE_NET = layer("conv", r"conv_in|blocks\.\d+|conv_out")
