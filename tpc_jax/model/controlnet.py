"""ControlNet: a condition picture steers the denoiser through its skip connections."""

from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.model.blocks import Conditions
from tpc_jax.model.config import ControlNetConfig, PoseNetConfig
from tpc_jax.model.layers import conv1x1, conv3x3
from tpc_jax.model.pose_net import PoseNet
from tpc_jax.model.unet import DownTrunk, skip_channels


class LatentCondition(nnx.Module):
    """One convolution over a condition that has the size of latents."""

    def __init__(self, in_channels: int, out_channels: int, *, rngs: nnx.Rngs):
        self.conv_in = conv3x3(in_channels, out_channels, rngs=rngs)

    def __call__(self, condition: Float[Array, "images h w c"]) -> Float[Array, "images h w c2"]:
        """Return the features of conditions."""
        return self.conv_in(condition.astype(self.conv_in.kernel.dtype))


class ControlNet(DownTrunk):
    """A copy of the denoiser's way down, with one pointwise convolution per result.

    Works on single pictures unless its trunk is temporal; in training the pointwise convolutions
    start at zero.
    """

    def __init__(self, config: ControlNetConfig, *, rngs: nnx.Rngs):
        super().__init__(config.trunk, rngs=rngs)
        widths = config.trunk.block_out_channels
        if config.condition_channels is None:
            self.controlnet_cond_embedding = LatentCondition(
                config.condition_in_channels, widths[0], rngs=rngs
            )
        else:
            embedding = PoseNetConfig(
                in_channels=config.condition_in_channels,
                block_out_channels=config.condition_channels,
                out_channels=widths[0],
            )
            self.controlnet_cond_embedding = PoseNet(embedding, rngs=rngs)
        self.controlnet_down_blocks = nnx.List(
            [_zero_conv(width, rngs) for width in skip_channels(config.trunk)]
        )
        self.controlnet_mid_block = _zero_conv(widths[-1], rngs)

    def embed_condition(
        self, condition: Float[Array, "images height width colors"]
    ) -> Float[Array, "images h w features"]:
        """Return the features of pictures in [0, 1], or of latents; they serve all steps."""
        return self.controlnet_cond_embedding(condition)

    def residuals(
        self,
        latents: Float[Array, "images h w channels"],
        timesteps: Float[Array, " images"],
        embedded: Float[Array, "images h w features"],
        context: Float[Array, "images ctx_tokens ctx_channels"] | None = None,
        num_frames: int = 1,
    ) -> tuple[Float[Array, "images _h _w _channels"], ...]:
        """Return what is added to every skip of the denoiser and to its mid block's output.

        Args:
            latents: Noisy latents.
            timesteps: Training indices 0...999.
            embedded: What `embed_condition` makes of the condition pictures.
            context: Tokens for cross-attention.
            num_frames: Frames of a window, for a temporal trunk; images are windows times frames.

        Source: diffusers `ControlNetModel` at conditioning scale 1; MagicAnimate `controlnet.py`.
        """
        dtype = self.conv_in.kernel.dtype
        context = None if context is None else context.astype(dtype)
        x = self._enter(latents.astype(dtype)) + embedded.astype(dtype)
        time = self.time_embedding(timesteps)
        pooled = num_frames if self.config.norm_over_frames else 1
        conditions = Conditions(time, context, num_frames, pooled)
        skips, _ = self._descend(x, conditions)
        mid, _ = self.mid_block(skips[-1], conditions, [None])
        convolved = [
            conv(skip) for conv, skip in zip(self.controlnet_down_blocks, skips, strict=True)
        ]
        return *convolved, self.controlnet_mid_block(mid)

    def __call__(
        self,
        latents: Float[Array, "images h w channels"],
        timesteps: Float[Array, " images"],
        condition: Float[Array, "images height width colors"],
        context: Float[Array, "images ctx_tokens ctx_channels"] | None = None,
    ) -> tuple[Float[Array, "images _h _w _channels"], ...]:
        """Return `residuals` of condition pictures in [0, 1]."""
        return self.residuals(latents, timesteps, self.embed_condition(condition), context)


def _zero_conv(channels: int, rngs: nnx.Rngs) -> nnx.Conv:
    return conv1x1(channels, channels, kernel_init=nnx.initializers.zeros, rngs=rngs)
