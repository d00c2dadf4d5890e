"""The pose net: a pose picture becomes features added to the denoiser's first convolution."""

from itertools import pairwise

import jax
from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.model.config import PoseNetConfig
from tpc_jax.model.layers import conv3x3


class PoseNet(nnx.Module):
    """A stack of 3x3 convolutions; the last one starts at zero.

    Source: AnimateAnyone's pose guider, which has the layout of ControlNet's condition embedding.
    """

    def __init__(self, config: PoseNetConfig, *, rngs: nnx.Rngs):
        widths = config.block_out_channels
        self.conv_in = conv3x3(config.in_channels, widths[0], rngs=rngs)
        self.blocks = nnx.List()
        for width, next_width in pairwise(widths):
            self.blocks.append(conv3x3(width, width, rngs=rngs))
            self.blocks.append(conv3x3(width, next_width, stride=2, rngs=rngs))
        self.conv_out = conv3x3(
            widths[-1], config.out_channels, kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def __call__(
        self, pose: Float[Array, "images height width channels"]
    ) -> Float[Array, "images h w out_channels"]:
        """Return the features of pose pictures in [0, 1]."""
        x = jax.nn.silu(self.conv_in(pose.astype(self.conv_in.kernel.dtype)))
        for block in self.blocks:
            x = jax.nn.silu(block(x))
        return self.conv_out(x)
