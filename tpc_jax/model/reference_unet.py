"""The appearance encoder: turns pictures into the features that the denoiser reads."""

import dataclasses

from flax import nnx
from jaxtyping import Array, Float

from tpc_jax.model.blocks import Conditions
from tpc_jax.model.config import UNetConfig
from tpc_jax.model.layers import UpsampleInPhases
from tpc_jax.model.transformer import NormedTokens
from tpc_jax.model.unet import UNetTrunk, reading_transformers


class AppearanceEncoder(UNetTrunk):
    """A UNet over single pictures that ends at the normed tokens of its last transformer.

    It upsamples in phases, which saves a twentieth of its products. The denoiser does not: its
    rounding enters the latents at every step, times the guidance scale.
    """

    def __init__(self, config: UNetConfig, *, rngs: nnx.Rngs):
        if not config.attention_levels[0]:
            raise ValueError("an appearance encoder needs attention at the finest level")
        config = dataclasses.replace(config, motion=None, norm_over_frames=False)
        super().__init__(config, rngs=rngs)
        *coarser, finest = self.up_blocks
        finest.attentions[-1] = NormedTokens(
            config.block_out_channels[0], num_groups=config.norm_num_groups, rngs=rngs
        )
        for block in coarser:
            block.upsamplers[0] = UpsampleInPhases(block.upsamplers[0].conv)

    def __call__(
        self,
        latents: Float[Array, "pictures h w channels"],
        timesteps: Float[Array, " pictures"],
        context: Float[Array, "pictures ctx_tokens ctx_channels"] | None = None,
    ) -> tuple[Float[Array, "pictures _tokens _width"] | None, ...]:
        """Return the reference features of clean latents.

        Args:
            latents: Clean latents of the pictures.
            timesteps: Training indices: the current one (MagicAnimate) or 0 (AnimateAnyone).
            context: Tokens for cross-attention.

        Returns:
            Per transformer of the denoiser, in execution order, the output of the first layer
            norm of the same transformer here; None where the denoiser reads nothing.

        Source: MagicAnimate `appearance_encoder.py`, `mutual_self_attention.py` (writer).
        """
        dtype = self.conv_in.kernel.dtype
        context = None if context is None else context.astype(dtype)
        x = self._enter(latents.astype(dtype))
        conditions = Conditions(self.time_embedding(timesteps), context, 1, 1)
        reads = reading_transformers(self.config)
        skips, down = self._descend(x, conditions)
        _, up = self._ascend(skips, conditions)
        return tuple(n if read else None for n, read in zip(down + up, reads, strict=True))
