"""The names of published tensors, and where each goes: one rule table per kind of network.

Most names are kept, for our networks are spelt as diffusers and transformers spell theirs.
"""

from tpc_jax.convert.rules import Kind, Rule, ignore, layer
from tpc_jax.model.config import UNetConfig, VisionConfig

_ATTENTION = r"to_(?:[qkv]|out\.0)"

# Stable Diffusion's UNet in diffusers: the denoiser and the appearance encoder.
_BLOCK = r"(?:down_blocks\.\d+|mid_block|up_blocks\.\d+)"
_RESNET = rf"{_BLOCK}\.resnets\.\d+"
_TRANSFORMER = rf"{_BLOCK}\.attentions\.\d+"
_INNER = rf"{_TRANSFORMER}\.transformer_blocks\.0"

UNET = (
    *layer("conv", r"conv_in|conv_out"),
    *layer("norm", r"conv_norm_out"),
    *layer("linear", r"time_embedding\.linear_[12]"),
    *layer("norm", rf"{_RESNET}\.norm[12]"),
    *layer("conv", rf"{_RESNET}\.conv(?:1|2|_shortcut)"),
    *layer("linear", rf"{_RESNET}\.time_emb_proj"),
    *layer("conv", rf"{_BLOCK}\.(?:down|up)samplers\.0\.conv"),
    *layer("norm", rf"{_TRANSFORMER}\.norm"),
    *layer("conv", rf"{_TRANSFORMER}\.proj_(?:in|out)"),
    *layer("norm", rf"{_INNER}\.norm[123]"),
    *layer("linear", rf"{_INNER}\.attn[12]\.{_ATTENTION}"),
    *layer("linear", rf"{_INNER}\.ff\.net\.(?:0\.proj|2)"),
)

# ControlNet in diffusers.
CONTROLNET = (
    *layer("conv", r"controlnet_cond_embedding\.(?:conv_in|blocks\.\d+|conv_out)"),
    *layer("conv", r"controlnet_down_blocks\.\d+|controlnet_mid_block"),
    *UNET,
)

# DisCo's temporal layers inside a denoiser or a ControlNet.
TEMPORAL = (
    # Stored, but never used: temporal attention shares the norm of cross-attention.
    ignore(rf"{_INNER}\.tem_norm\..*"),
    *layer("norm", rf"{_RESNET}\.tem_norm"),
    *layer("conv1d", rf"{_RESNET}\.tem_conv"),
    *layer("linear", rf"{_INNER}\.tem_attn\.{_ATTENTION}"),
)

# AnimateAnyone's pose guider, with the names of ControlNet's condition embedding.
POSE_NET = layer("conv", r"conv_in|blocks\.\d+|conv_out")

# DreamPose's adapter.
ADAPTER = layer("linear", r"vae2clip|linear1")


def appearance_encoder(config: UNetConfig) -> tuple[Rule, ...]:
    """Return the rules for an appearance encoder, which may be stored as a complete UNet.

    Nothing behind the first norm of the last transformer reaches the reference features:
    MagicAnimate leaves it out of the file, AnimateAnyone stores it.
    """
    block, index = len(config.block_out_channels) - 1, config.layers_per_block
    last = rf"up_blocks\.{block}\.attentions\.{index}"
    return (
        ignore(rf"{last}\.proj_out\..*"),
        ignore(rf"{last}\.transformer_blocks\.0\.(?:norm[23]|attn[12]|ff)\..*"),
        ignore(r"conv_(?:norm_)?out\..*"),
        *UNET,
    )


# AnimateDiff's motion modules, as MagicAnimate and AnimateAnyone store them.
_MODULE = (
    r"(?:module\.)?(?:unet\.)?"
    r"(?P<module>(?:(?:down|up)_blocks\.\d+|mid_block)\.motion_modules\.\d+)\.temporal_transformer"
)
_MOTION_BLOCK = r"transformer_blocks\.0"


def _motion(kind: Kind, inner: str) -> tuple[Rule, Rule]:
    return layer(kind, rf"{_MODULE}\.(?P<inner>{inner})", r"\g<module>.\g<inner>")


MOTION = (
    # The position table is computed, not stored.
    ignore(rf"{_MODULE}\.{_MOTION_BLOCK}\.attention_blocks\.[01]\.pos_encoder\.pe"),
    *_motion("norm", rf"norm|{_MOTION_BLOCK}\.(?:norms\.[01]|ff_norm)"),
    *_motion("linear", r"proj_(?:in|out)"),
    *_motion("linear", rf"{_MOTION_BLOCK}\.attention_blocks\.[01]\.{_ATTENTION}"),
    *_motion("linear", rf"{_MOTION_BLOCK}\.ff\.net\.(?:0\.proj|2)"),
)

# Stable Diffusion's autoencoder in diffusers, before and after attention was renamed.
_HALF = r"(?:encoder|decoder)"
_VAE_RESNET = rf"{_HALF}\.(?:(?:down|up)_blocks\.\d+|mid_block)\.resnets\.\d+"
_VAE_ATTENTION = rf"(?P<attention>{_HALF}\.mid_block\.attentions\.0)"

VAE = (
    *layer("conv", r"(?:post_)?quant_conv"),
    *layer("conv", rf"{_HALF}\.conv_(?:in|out)"),
    *layer("norm", rf"{_HALF}\.conv_norm_out"),
    *layer("norm", rf"{_VAE_RESNET}\.norm[12]"),
    *layer("conv", rf"{_VAE_RESNET}\.conv(?:1|2|_shortcut)"),
    *layer("conv", rf"{_HALF}\.(?:down|up)_blocks\.\d+\.(?:down|up)samplers\.0\.conv"),
    *layer("norm", rf"{_VAE_ATTENTION}\.group_norm"),
    *layer("linear", rf"{_VAE_ATTENTION}\.{_ATTENTION}"),
    *layer("linear", rf"{_VAE_ATTENTION}\.query", r"\g<attention>.to_q"),
    *layer("linear", rf"{_VAE_ATTENTION}\.key", r"\g<attention>.to_k"),
    *layer("linear", rf"{_VAE_ATTENTION}\.value", r"\g<attention>.to_v"),
    *layer("linear", rf"{_VAE_ATTENTION}\.proj_attn", r"\g<attention>.to_out.0"),
)

# CLIP's text model and its vision model with projection in transformers.
_TEXT = r"(?:text_model\.)?"
_VISION = r"(?:vision_model\.)?"
_LAYER = r"encoder\.layers\.\d+"


def _clip(kind: Kind, prefix: str, inner: str) -> tuple[Rule, Rule]:
    return layer(kind, rf"{prefix}(?P<inner>{inner})", r"\g<inner>")


def _embedding(prefix: str, names: str) -> Rule:
    found = rf"{prefix}(?P<table>embeddings\.(?:{names})_embedding)\.weight"
    return Rule(found, r"\g<table>.embedding")


def _transformer(prefix: str) -> tuple[Rule, ...]:
    return (
        # A table of 0, 1, 2, ... in old files.
        ignore(rf"{prefix}embeddings\.position_ids"),
        *_clip("norm", prefix, rf"{_LAYER}\.layer_norm[12]"),
        *_clip("linear", prefix, rf"{_LAYER}\.self_attn\.(?:[qkv]|out)_proj"),
        *_clip("linear", prefix, rf"{_LAYER}\.mlp\.fc[12]"),
    )


TEXT = (
    *_transformer(_TEXT),
    _embedding(_TEXT, "token|position"),
    *_clip("norm", _TEXT, r"final_layer_norm"),
    ignore(r"text_projection\.weight"),  # of the pooled output
)
VISION = (
    *_transformer(_VISION),
    Rule(rf"{_VISION}(?P<whole>embeddings\.class_embedding)", r"\g<whole>"),
    _embedding(_VISION, "position"),
    *_clip("conv", _VISION, r"embeddings\.patch_embedding"),
    *_clip("norm", _VISION, r"pre_layrnorm|post_layernorm"),
    *layer("linear", r"visual_projection"),
)


def vision_tower(config: VisionConfig) -> tuple[Rule, ...]:
    """Return the rules for a file that may hold all of CLIP, of which only the tower is wanted."""
    unwanted = [ignore(r"text_model\..*|text_projection\.weight|logit_scale")]
    if config.projection_width is None:
        unwanted.append(ignore(r"visual_projection\.weight"))
    return (*unwanted, *VISION)
