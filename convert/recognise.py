"""Weights of other models, told by their names and shapes, in one line instead of a thousand."""

import re

import ml_dtypes
import numpy as np

from tpc_jax.convert.read import Source
from tpc_jax.errors import UserError, warn

_SHOWN = 100  # letters of a name, for one line
_BYTES = tuple(np.dtype(kind) for kind in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2))
# What no network of ours is stored as, by the names of tensors.
_FOREIGN = {
    r"lora_|[._]lora\.|\.hada_w|\.lokr_|\.oft_|\.dora_scale": (
        "a LoRA, which only changes a model; merge it into its base and give the result"
    ),
    r"^emb_params$|^string_to_param$": "a textual inversion, not a network",
    r"scaled_fp8|\.scale_(?:weight|input)$|\.weight_scale|\.absmax$|\.quant_(?:map|state)|\.SCB$|"
    r"\.q(?:weight|zeros)$": "a quantised file; take the one in float16 or float32",
}
_XL, _SD2 = "Stable Diffusion XL", "Stable Diffusion 2"
# What is not of Stable Diffusion 1, by the names of tensors.
_OTHER_BASES = {
    r"^conditioner\.|^add_embedding\.|^(?:model\.diffusion_model\.)?label_emb\.": _XL,
    r"^cond_stage_model\.model\.": _SD2,
    r"(?:^|\.)(?:joint_blocks|double_blocks|single_blocks|single_transformer_blocks)\.|"
    r"^transformer_blocks\.": "a transformer such as Stable Diffusion 3 or FLUX",
    r"^control_model\.|^controlnet_|^input_hint_block\.": "a ControlNet",
}
# By features per token that cross-attention reads, and of the text encoder.
TOKEN_WIDTHS = {1024: _SD2, 2048: _XL, 1280: f"the refiner or second encoder of {_XL}"}
# By input channels of the denoiser.
_CHANNELS = {5: "for depth", 7: "for upscaling", 8: "for editing (InstructPix2Pix)"}
_CHANNELS[9] = "for inpainting"


def refuse_foreign_tensors(source: Source) -> None:
    """Refuse what holds no network; say of 8-bit numbers that they are rounded.

    Raises:
        UserError: It is a LoRA, an embedding, quantised or empty.
    """
    names = (*source.tensors, *source.others)
    for pattern, what in _FOREIGN.items():
        if found := _first(pattern, names):
            raise UserError(f"{source.path}: {what} (it has {found})")
    if not source.tensors:
        held = f"only {', '.join(source.others[:5])[:_SHOWN]}" if source.others else "nothing"
        raise UserError(f"{source.path}: no tensors in it, {held}; save the state dict alone")
    if any(tensor.dtype in _BYTES for tensor in source.tensors.values()):
        warn(
            f"{source.path}: numbers of 8 bits are taken as they are, with 3 or 4 significant "
            "bits; a file in float16 or float32 gives better pictures"
        )


def refuse_other_bases(source: Source) -> None:
    """Refuse weights that are not of Stable Diffusion 1.

    Args:
        source: One network with the names of diffusers and transformers, or a whole checkpoint.

    Raises:
        UserError: They are of another model; says which.
    """
    said = source.architecture
    if said and not said.startswith("stable-diffusion-v1"):
        raise _not_ours(source, f"of {said[:_SHOWN]}", "that in its metadata")
    for pattern, what in _OTHER_BASES.items():
        if found := _first(pattern, source.tensors):
            raise _not_ours(source, f"of {what}", found)
    for pattern, axis, kinds in (
        (r"attn2\.to_k\.weight$", 1, {n: f"of {what}" for n, what in TOKEN_WIDTHS.items()}),
        (r"token_embedding\.weight$", 1, {n: f"of {what}" for n, what in TOKEN_WIDTHS.items()}),
        (r"^conv_in\.weight$", 1, {n: f"a denoiser {what}" for n, what in _CHANNELS.items()}),
        (r"^decoder\.conv_in\.weight$", 1, {16: "of Stable Diffusion 3 or FLUX"}),
    ):
        name = _first(pattern, source.tensors) or ""
        shape = source.tensors[name].shape if name in source.tensors else ()
        if len(shape) > axis and shape[axis] in kinds:
            raise _not_ours(source, kinds[shape[axis]], f"{name} {shape}")


def _not_ours(source: Source, what: str, found: str) -> UserError:
    return UserError(f"{source.path}: {what} (it has {found}); give that of Stable Diffusion 1.5")


def _first(pattern: str, names) -> str | None:
    found = next((name for name in names if re.search(pattern, name)), None)
    return found and found[:_SHOWN]
