"""Names of CLIP's vision model with projection in transformers."""

from convert.rules import Kind, Rule, ignore, layer
from tpc_jax.model.config import VisionConfig

_PREFIX = r"(?:vision_model\.)?"
_LAYER = r"encoder\.layers\.\d+"


def _layer(kind: Kind, inner: str) -> tuple[Rule, Rule]:
    return layer(kind, rf"{_PREFIX}(?P<inner>{inner})", r"\g<inner>")


VISION = (
    # A table of 0, 1, 2, ... in old files.
    ignore(rf"{_PREFIX}embeddings\.position_ids"),
    Rule(rf"{_PREFIX}(?P<whole>embeddings\.class_embedding)", r"\g<whole>"),
    Rule(rf"{_PREFIX}(?P<table>embeddings\.position_embedding)\.weight", r"\g<table>.embedding"),
    *_layer("conv", r"embeddings\.patch_embedding"),
    *_layer("norm", rf"{_LAYER}\.layer_norm[12]|pre_layrnorm|post_layernorm"),
    *_layer("linear", rf"{_LAYER}\.self_attn\.(?:[qkv]|out)_proj"),
    *_layer("linear", rf"{_LAYER}\.mlp\.fc[12]"),
    *layer("linear", r"visual_projection"),
)


def vision_tower(config: VisionConfig) -> tuple[Rule, ...]:
    """Return the rules for a file that may hold all of CLIP, of which only the tower is wanted."""
    unwanted = [ignore(r"text_model\..*|text_projection\.weight|logit_scale")]
    if config.projection_width is None:
        unwanted.append(ignore(r"visual_projection\.weight"))
    return (*unwanted, *VISION)
