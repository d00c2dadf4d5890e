"""The published denoisers put together from diffusers' parts: an oracle for whole networks.

Motion modules, pooled norms, reference reading and pose features are hooked into an ordinary
`UNet2DConditionModel`, so that its own code decides the order of everything else.
"""

import re

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from torch_oracles import randomized

from tpc_jax.model.config import UNetConfig

PUBLISHED = {  # names of AnimateDiff's block <- names of diffusers' block
    r"\.attn([12])\.": lambda m: f".attention_blocks.{int(m[1]) - 1}.",
    r"\.norm([12])\.": lambda m: f".norms.{int(m[1]) - 1}.",
    r"\.norm3\.": lambda m: ".ff_norm.",
    r"\.pos_embed\.pe": lambda m: ".attention_blocks.0.pos_encoder.pe",
}


class MotionModule(torch.nn.Module):
    """Attention over frames at each position; the norm is per frame, unlike in diffusers."""

    def __init__(self, channels: int, config: UNetConfig):
        super().__init__()
        heads, self.frames = config.motion.num_heads, None
        inner = torch.nn.Module()
        inner.norm = torch.nn.GroupNorm(config.motion.norm_num_groups, channels, eps=1e-6)
        inner.proj_in = torch.nn.Linear(channels, channels)
        block = BasicTransformerBlock(
            channels,
            heads,
            channels // heads,
            double_self_attention=True,
            positional_embeddings="sinusoidal",
            num_positional_embeddings=config.motion.max_frames,
        )
        inner.transformer_blocks = torch.nn.ModuleList([block])
        inner.proj_out = torch.nn.Linear(channels, channels)
        self.temporal_transformer = inner

    def forward(self, x):
        inner = self.temporal_transformer
        images, channels, height, width = x.shape
        hidden = inner.proj_in(inner.norm(x).permute(0, 2, 3, 1))
        hidden = hidden.reshape(-1, self.frames, height * width, channels).transpose(1, 2)
        sequences = inner.transformer_blocks[0](hidden.reshape(-1, self.frames, channels))
        hidden = sequences.reshape(-1, height * width, self.frames, channels).transpose(1, 2)
        hidden = inner.proj_out(hidden.reshape(images, height, width, channels))
        return x + hidden.permute(0, 3, 1, 2)


class PooledGroupNorm(torch.nn.GroupNorm):
    """Takes its statistics over all frames of a window."""

    def forward(self, x):
        video = x.reshape(-1, self.frames, *x.shape[1:]).transpose(1, 2)
        return super().forward(video).transpose(1, 2).reshape(x.shape)


def published_state(module: torch.nn.Module) -> dict:
    """Return the numbers under the names of the published files."""
    state = {}
    for name, value in module.state_dict().items():
        if "temporal_transformer" in name:
            for pattern, new in PUBLISHED.items():
                name = re.sub(pattern, new, name)
        state[name] = value.numpy()
    return state


def torch_unet(config: UNetConfig, seed: int = 0) -> UNet2DConditionModel:
    """Build the denoiser of a config with random numbers; frames are set by `set_frames`."""
    down = [("CrossAttnDown" if a else "Down") + "Block2D" for a in config.attention_levels]
    up = [("CrossAttnUp" if a else "Up") + "Block2D" for a in config.attention_levels[::-1]]
    unet = UNet2DConditionModel(
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        block_out_channels=config.block_out_channels,
        layers_per_block=config.layers_per_block,
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        attention_head_dim=config.num_heads,
        cross_attention_dim=config.cross_attention_dim,
        norm_num_groups=config.norm_num_groups,
    )
    if config.motion is not None:
        blocks = [*unet.down_blocks, *unet.up_blocks]
        for block in [*blocks, unet.mid_block] if config.motion.use_mid_block else blocks:
            _add_motion(block, config)
    if config.norm_over_frames:
        for name, module in unet.named_modules():
            if "resnets" in name or name == "conv_norm_out":
                if isinstance(module, torch.nn.GroupNorm):
                    module.__class__ = PooledGroupNorm
    return randomized(unet, seed)


def _add_motion(block, config: UNetConfig) -> None:
    """Run a motion module behind each transformer, or behind each resnet where there is none."""
    layers = getattr(block, "attentions", block.resnets)
    width = block.resnets[0].out_channels
    block.motion_modules = torch.nn.ModuleList([MotionModule(width, config) for _ in layers])

    def move(module, inputs, output, motion):
        return (motion(output[0]),) if isinstance(output, tuple) else motion(output)

    for layer, motion in zip(layers, block.motion_modules, strict=True):
        layer.register_forward_hook(lambda *args, motion=motion: move(*args, motion))


def set_frames(unet: UNet2DConditionModel, frames: int) -> None:
    for module in unet.modules():
        if isinstance(module, MotionModule | PooledGroupNorm):
            module.frames = frames


def transformer_blocks(unet: UNet2DConditionModel) -> list[BasicTransformerBlock]:
    """Return the spatial transformer blocks in execution order."""
    parts = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    attentions = [layer for part in parts for layer in getattr(part, "attentions", [])]
    return [layer.transformer_blocks[0] for layer in attentions]


def run(unet: UNet2DConditionModel, x, t, context, *, banks=None, masks=None, pose=None, **kwargs):
    """Return the prediction and the normed tokens of every transformer.

    Args:
        unet: The network.
        x: Latents [images, c, h, w].
        t: Timestep per image.
        context: Context per image.
        banks: Per transformer what it reads beside its own tokens, or None.
        masks: Per transformer an additive mask [images, tokens, keys], or None.
        pose: Added to the output of the first convolution.
        kwargs: Residuals by diffusers' names.
    """
    normed, handles = [], []
    for index, block in enumerate(transformer_blocks(unet)):
        handles.append(block.norm1.register_forward_hook(lambda m, i, out: normed.append(out)))
        if banks is None or banks[index] is None:
            continue

        def read(attention, inputs, kwargs, bank=banks[index], mask=masks and masks[index]):
            own = inputs[0]
            mask = None if mask is None else mask.repeat_interleave(attention.heads, dim=0)
            keys = torch.cat([own, bank], dim=1)
            return inputs, {"encoder_hidden_states": keys, "attention_mask": mask}

        handles.append(block.attn1.register_forward_pre_hook(read, with_kwargs=True))
    if pose is not None:
        handles.append(unet.conv_in.register_forward_hook(lambda m, i, out: out + pose))
    with torch.no_grad():
        out = unet(x, t, context, **kwargs).sample
    for handle in handles:
        handle.remove()
    return out, normed
