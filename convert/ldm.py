"""The original names of Stable Diffusion 1 (`ldm`), presented with those of diffusers.

So one rule table serves both. The original counts the layers of the denoiser from 0 to 11 on either
side, and the levels of the autoencoder's decoder from the last to the first.
"""

import dataclasses
import re
from typing import Literal

from tpc_jax.convert.read import Source, Tensor, inside
from tpc_jax.convert.recognise import refuse_other_bases
from tpc_jax.errors import UserError, warn

Network = Literal["unet", "vae", "text_encoder"]

# Where a network lies in a checkpoint of the whole model, and how messages call it.
_PREFIXES: dict[Network, tuple[str, ...]] = {
    "unet": ("model.diffusion_model.", "diffusion_model."),
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": ("cond_stage_model.transformer.",),
}
_CALLED: dict[Network, str] = {
    "unet": "denoiser",
    "vae": "autoencoder",
    "text_encoder": "text encoder",
}
# What trainers leave beside a network: losses and moving averages of all weights.
_BESIDE = re.compile(r"(?:loss|model_ema)\.")

_LAYERS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_BLOCKS_PER_LEVEL = 3  # two resnets and a way down, or three resnets

_VAE_ATTENTION = {
    "norm": "group_norm",
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "proj_out": "to_out.0",
}


def take_network(source: Source, network: Network) -> Source:
    """Return one network of Stable Diffusion 1 with the names of diffusers and transformers.

    Args:
        source: A file of this network alone, or of the whole model, by original names or others.
        network: Which network.

    Raises:
        UserError: The file is of another model, lacks the network or holds tensors twice.
    """
    refuse_other_bases(source)
    own = _own_tensors(source, network)
    rename = {"unet": _unet_name, "vae": _vae_name, "text_encoder": lambda name, _: name}[network]
    tops = [int(n) for name in own.tensors for n in re.findall(r"decoder\.up\.(\d+)\.", name)]
    tensors = {
        rename(name, max(tops, default=0)): tensor
        for name, tensor in own.tensors.items()
        if not _BESIDE.match(name)
    }
    if len(tensors) != sum(not _BESIDE.match(name) for name in own.tensors):
        raise UserError(f"{source.path}: holds some tensors twice, by original and other names")
    if network == "vae":
        tensors = {name: _as_linear(name, tensor) for name, tensor in tensors.items()}
    taken = dataclasses.replace(own, tensors=tensors)
    refuse_other_bases(taken)
    return taken


def _own_tensors(source: Source, network: Network) -> Source:
    prefix = next((p for p in _PREFIXES[network] if _has(source, p)), None)
    if prefix is None:
        if any(_has(source, other) for prefixes in _PREFIXES.values() for other in prefixes):
            raise UserError(
                f"{source.path}: has no {_CALLED[network]} in it, no tensor's name starts with "
                f"{_PREFIXES[network][0]}; give the complete file"
            )
        return source
    if network == "unet" and _has(source, "model_ema.diffusion_model"):
        warn(
            f"{source.path}: of its two denoisers the plain one is taken, not the moving average "
            "(model_ema), which Stable Diffusion publishes as v1-5-pruned-emaonly"
        )
    return inside(source, prefix)


def _has(source: Source, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in source.tensors)


def _unet_name(name: str, _top: int) -> str:
    layer, _, kind = name.rpartition(".")
    if layer in _LAYERS:
        return f"{_LAYERS[layer]}.{kind}"
    if match := re.fullmatch(r"middle_block\.([012])\.(.+)", layer):
        place = int(match[1])
        block = "mid_block.attentions.0" if place == 1 else f"mid_block.resnets.{place // 2}"
        return f"{block}.{_RESNET.get(match[2], match[2])}.{kind}"
    match = re.fullmatch(r"(in|out)put_blocks\.(\d+)\.\d\.(.+)", layer)
    if match is None:
        return name
    way, inner = ("down", match[3]) if match[1] == "in" else ("up", match[3])
    # The first layer of the way down is conv_in.
    level, index = divmod(int(match[2]) - (way == "down"), _BLOCKS_PER_LEVEL)
    if inner in ("op", "conv"):
        return f"{way}_blocks.{level}.{way}samplers.0.conv.{kind}"
    place = "resnets" if inner in _RESNET else "attentions"
    return f"{way}_blocks.{level}.{place}.{index}.{_RESNET.get(inner, inner)}.{kind}"


def _vae_name(name: str, top: int) -> str:
    match = re.fullmatch(r"(encoder|decoder)\.(.+)\.(weight|bias)", name)
    if match is None:
        return name
    half, layer, kind = match.groups()
    if layer == "norm_out":
        layer = "conv_norm_out"
    elif found := re.fullmatch(r"mid\.block_([12])\.(.+)", layer):
        layer = f"mid_block.resnets.{int(found[1]) - 1}.{found[2]}"
    elif found := re.fullmatch(r"mid\.attn_1\.(.+)", layer):
        layer = f"mid_block.attentions.0.{_VAE_ATTENTION.get(found[1], found[1])}"
    elif found := re.fullmatch(r"(down|up)\.(\d+)\.(.+)", layer):
        way, level = found[1], int(found[2])
        level = top - level if way == "up" else level
        inner = re.sub(r"^block\.(\d+)\.", r"resnets.\1.", found[3])
        inner = inner.replace("nin_shortcut", "conv_shortcut")
        inner = inner.replace(f"{way}sample.conv", f"{way}samplers.0.conv")
        layer = f"{way}_blocks.{level}.{inner}"
    return f"{half}.{layer}.{kind}"


def _as_linear(name: str, tensor: Tensor) -> Tensor:
    """Return the original's convolution of single pixels in attention as a linear layer."""
    if ".attentions." not in name or tensor.shape[2:] != (1, 1):
        return tensor
    shape = tensor.shape[:2]
    return Tensor(shape, tensor.dtype, lambda: tensor.read().reshape(shape))
