"""Stable Diffusion's tensors under their original names, from those of diffusers."""

import re
from collections.abc import Mapping

import numpy as np

_UNET = (
    (r"conv_in\.", "input_blocks.0.0."),
    (r"conv_norm_out\.", "out.0."),
    (r"conv_out\.", "out.2."),
    (r"time_embedding\.linear_1\.", "time_embed.0."),
    (r"time_embedding\.linear_2\.", "time_embed.2."),
    (r"mid_block\.resnets\.0\.", "middle_block.0."),
    (r"mid_block\.attentions\.0\.", "middle_block.1."),
    (r"mid_block\.resnets\.1\.", "middle_block.2."),
)
_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
_ATTENTION = {
    "group_norm": "norm", "query": "q", "key": "k", "value": "v", "proj_attn": "proj_out",
}  # fmt: skip
LEVELS = 4


def unet(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {_unet(name, tensors): array for name, array in tensors.items()}


def vae(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Attention becomes convolutions of single pixels, as in the original."""
    renamed = {}
    for name, array in tensors.items():
        is_linear = ".attentions." in name and array.ndim == 2
        renamed[_vae(name)] = array[:, :, None, None] if is_linear else array
    return renamed


def _unet(name: str, tensors: Mapping[str, np.ndarray]) -> str:
    for pattern, original in _UNET:
        if re.match(pattern, name):
            name = re.sub(f"^{pattern}", original, name)
    if match := re.match(r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.+)", name):
        way, kind, rest = match[1], match[3], match[5]
        first = 3 * int(match[2]) + int(match[4])
        if kind == "downsamplers":
            return f"input_blocks.{first + 3}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            has_attention = f"up_blocks.{match[2]}.attentions.2.norm.weight" in tensors
            return f"output_blocks.{first + 2}.{1 + has_attention}.{rest}"
        block = f"input_blocks.{first + 1}" if way == "down" else f"output_blocks.{first}"
        name = f"{block}.{int(kind == 'attentions')}.{rest}"
    is_resnet = ".transformer_blocks." not in name
    layer = name.split(".")[-2]
    return name.replace(f".{layer}.", f".{_RESNET.get(layer, layer)}.") if is_resnet else name


def _vae(name: str) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    if found := re.match(r"(\w+)\.mid_block\.attentions\.0\.(\w+)\.(\w+)", name):
        return f"{found[1]}.mid.attn_1.{_ATTENTION[found[2]]}.{found[3]}"
    name = re.sub(r"up_blocks\.(\d)", lambda m: f"up.{LEVELS - 1 - int(m[1])}", name)
    name = re.sub(r"down_blocks\.(\d)", r"down.\1", name)
    name = re.sub(r"\.resnets\.", ".block.", name)
    return re.sub(r"(down|up)samplers\.0", r"\1sample", name)


def checkpoint(unet_tensors, vae_tensors, text_tensors) -> dict[str, np.ndarray]:
    """All three in one file, with what training leaves beside them."""
    spatial = {f"model.diffusion_model.{n}": a for n, a in unet(unet_tensors).items()}
    averages = {f"model_ema.{name[6:].replace('.', '')}": a + 1 for name, a in spatial.items()}
    return {
        **spatial,
        **averages,
        **{f"first_stage_model.{n}": a for n, a in vae(vae_tensors).items()},
        **{f"cond_stage_model.transformer.{n}": a for n, a in text_tensors.items()},
        "model_ema.decay": np.ones((), np.float32),
        "alphas_cumprod": np.ones(1000, np.float32),
        "scale_factor": np.ones((), np.float32),
    }
