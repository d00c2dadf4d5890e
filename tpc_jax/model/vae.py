"""The autoencoder between pictures in [-1, 1] and latents."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.model.attention import Attention
from tpc_jax.model.config import VAEConfig
from tpc_jax.model.layers import ResnetBlock, Upsample, conv1x1, conv3x3, make_group_norm

VAE_EPS = 1e-6


class SelfAttention(Attention):
    """Single-head attention over positions, with its own norm and residual connection."""

    def __init__(self, channels: int, num_groups: int, *, rngs: nnx.Rngs):
        super().__init__(channels, num_heads=1, use_bias=True, rngs=rngs)
        self.group_norm = make_group_norm(channels, num_groups, eps=VAE_EPS, rngs=rngs)

    def __call__(self, x: Float[Array, "images h w c"]) -> Float[Array, "images h w c"]:
        """Mix the positions of each picture."""
        images, height, width, channels = x.shape
        tokens = self.group_norm(x).reshape(images, height * width, channels)
        return super().__call__(tokens).reshape(x.shape) + x


class HalvingConv(nnx.Module):
    """The encoder's downsampling: one pixel of padding on the right and bottom only."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        padding = ((0, 1), (0, 1))
        self.conv = nnx.Conv(channels, channels, (3, 3), strides=2, padding=padding, rngs=rngs)

    def __call__(self, x: Float[Array, "images h w c"]) -> Float[Array, "images h2 w2 c"]:
        """Return the pictures at half the size."""
        return self.conv(x)


class Level(nnx.Module):
    """The resnets of one level and the change of size behind them."""

    def __init__(self, widths: list[tuple[int, int]], num_groups: int, resize: str, *, rngs):
        self.resnets = nnx.List(
            [ResnetBlock(i, o, num_groups=num_groups, eps=VAE_EPS, rngs=rngs) for i, o in widths]
        )
        channels = widths[-1][1]
        self.resize = resize
        if resize == "down":
            self.downsamplers = nnx.List([HalvingConv(channels, rngs=rngs)])
        if resize == "up":
            self.upsamplers = nnx.List([Upsample(channels, rngs=rngs)])

    def __call__(self, x: Float[Array, "images h w c"]) -> Float[Array, "images h2 w2 c2"]:
        """Transform the pictures."""
        for resnet in self.resnets:
            x = resnet(x)
        if self.resize == "down":
            x = self.downsamplers[0](x)
        if self.resize == "up":
            x = self.upsamplers[0](x, (2 * x.shape[1], 2 * x.shape[2]))
        return x


class MidLevel(nnx.Module):
    """Resnet, attention, resnet at the coarsest level."""

    def __init__(self, channels: int, num_groups: int, *, rngs: nnx.Rngs):
        def resnet():
            return ResnetBlock(channels, channels, num_groups=num_groups, eps=VAE_EPS, rngs=rngs)

        self.resnets = nnx.List([resnet(), resnet()])
        self.attentions = nnx.List([SelfAttention(channels, num_groups, rngs=rngs)])

    def __call__(self, x: Float[Array, "images h w c"]) -> Float[Array, "images h w c"]:
        """Transform the pictures."""
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Encoder(nnx.Module):
    """Pictures to the moments of the posterior, before `quant_conv`."""

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        widths, groups = config.block_out_channels, config.norm_num_groups
        self.conv_in = conv3x3(config.in_channels * config.patch_size**2, widths[0], rngs=rngs)
        self.down_blocks = nnx.List()
        for index, width in enumerate(widths):
            previous = widths[max(index - 1, 0)]
            pairs = [(previous, width)] + [(width, width)] * (config.layers_per_block - 1)
            resize = "none" if index == len(widths) - 1 else "down"
            self.down_blocks.append(Level(pairs, groups, resize, rngs=rngs))
        self.mid_block = MidLevel(widths[-1], groups, rngs=rngs)
        self.conv_norm_out = make_group_norm(widths[-1], groups, eps=VAE_EPS, rngs=rngs)
        self.conv_out = conv3x3(widths[-1], 2 * config.latent_channels, rngs=rngs)

    def __call__(self, x: Float[Array, "images h w c"]) -> Float[Array, "images h2 w2 c2"]:
        """Return the moments."""
        x = self.conv_in(x)
        for block in self.down_blocks:
            x = block(x)
        return self.conv_out(jax.nn.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nnx.Module):
    """Latents, after `post_quant_conv`, to pictures."""

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        widths, groups = config.block_out_channels[::-1], config.norm_num_groups
        self.conv_in = conv3x3(config.latent_channels, widths[0], rngs=rngs)
        self.mid_block = MidLevel(widths[0], groups, rngs=rngs)
        self.up_blocks = nnx.List()
        for index, width in enumerate(widths):
            previous = widths[max(index - 1, 0)]
            pairs = [(previous, width)] + [(width, width)] * config.layers_per_block
            resize = "none" if index == len(widths) - 1 else "up"
            self.up_blocks.append(Level(pairs, groups, resize, rngs=rngs))
        self.conv_norm_out = make_group_norm(widths[-1], groups, eps=VAE_EPS, rngs=rngs)
        self.conv_out = conv3x3(widths[-1], config.in_channels * config.patch_size**2, rngs=rngs)

    def __call__(self, x: Float[Array, "images h w c"]) -> Float[Array, "images h2 w2 c2"]:
        """Return the pictures."""
        x = self.mid_block(self.conv_in(x))
        for block in self.up_blocks:
            x = block(x)
        return self.conv_out(jax.nn.silu(self.conv_norm_out(x)))


class VAE(nnx.Module):
    """Encoder and decoder with the layout of Stable Diffusion's autoencoder."""

    def __init__(self, config: VAEConfig, *, rngs: nnx.Rngs):
        channels = config.latent_channels
        self.config = config
        self.encoder = Encoder(config, rngs=rngs)
        self.decoder = Decoder(config, rngs=rngs)
        self.quant_conv = conv1x1(2 * channels, 2 * channels, rngs=rngs)
        self.post_quant_conv = conv1x1(channels, channels, rngs=rngs)
        if config.has_shortcut:
            pixels = config.in_channels * config.downscale**2
            self.encoder_shortcut = conv1x1(pixels, 2 * channels, rngs=rngs)
            self.decoder_shortcut = conv1x1(channels, pixels, rngs=rngs)

    def moments(
        self, images: Float[Array, "images height width 3"]
    ) -> tuple[Float[Array, "images h w channels"], Float[Array, "images h w channels"]]:
        """Return mean and log-variance of the posterior of pictures in [-1, 1], unscaled."""
        images = images.astype(self.encoder.conv_in.kernel.dtype)
        x = self.quant_conv(self.encoder(_fold_pixels(images, self.config.patch_size)))
        if self.config.has_shortcut:
            x = x + self.encoder_shortcut(_fold_pixels(images, self.config.downscale))
        mean, log_variance = jnp.split(x, 2, axis=-1)
        return mean, jnp.clip(log_variance, -30.0, 20.0)

    def encode(
        self, images: Float[Array, "images height width 3"]
    ) -> Float[Array, "images h w channels"]:
        """Return scaled latents of pictures in [-1, 1]: the posterior mean, not a sample."""
        return self.moments(images)[0] * self.config.scaling_factor

    def decode(
        self, latents: Float[Array, "images h w channels"]
    ) -> Float[Array, "images height width 3"]:
        """Return pictures, nominally in [-1, 1], of scaled latents."""
        latents = latents.astype(self.post_quant_conv.kernel.dtype) / self.config.scaling_factor
        x = self.decoder(self.post_quant_conv(latents))
        images = _unfold_pixels(x, self.config.patch_size)
        if self.config.has_shortcut:
            x = self.decoder_shortcut(latents)
            images = images + _unfold_pixels(x, self.config.downscale)
        return images


def _fold_pixels(x, size: int):
    """Fold each block of size x size pixels into channels."""
    images, height, width, channels = x.shape
    x = x.reshape(images, height // size, size, width // size, size, channels)
    return x.swapaxes(2, 3).reshape(images, height // size, width // size, -1)


def _unfold_pixels(x, size: int):
    """Undo `_fold_pixels`."""
    images, height, width, channels = x.shape
    x = x.reshape(images, height, width, size, size, channels // size**2).swapaxes(2, 3)
    return x.reshape(images, height * size, width * size, -1)
