"""Names of CLIP's text model in transformers."""

from convert.rules import Kind, Rule, ignore, layer

_PREFIX = r"(?:text_model\.)?"
_LAYER = r"encoder\.layers\.\d+"


def _layer(kind: Kind, inner: str) -> tuple[Rule, Rule]:
    return layer(kind, rf"{_PREFIX}(?P<inner>{inner})", r"\g<inner>")


TEXT = (
    # A table of 0, 1, 2, ... in old files, and the pooled output's projection.
    ignore(rf"{_PREFIX}embeddings\.position_ids"),
    ignore(r"text_projection\.weight"),
    Rule(
        rf"{_PREFIX}(?P<table>embeddings\.(?:token|position)_embedding)\.weight",
        r"\g<table>.embedding",
    ),
    *_layer("norm", rf"{_LAYER}\.layer_norm[12]|final_layer_norm"),
    *_layer("linear", rf"{_LAYER}\.self_attn\.(?:[qkv]|out)_proj"),
    *_layer("linear", rf"{_LAYER}\.mlp\.fc[12]"),
)
