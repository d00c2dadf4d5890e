"""Names of AnimateDiff's motion modules, as MagicAnimate and AnimateAnyone store them."""

from convert.rules import Kind, Rule, ignore, layer

_MODULE = (
    r"(?:module\.)?(?:unet\.)?"
    r"(?P<module>(?:(?:down|up)_blocks\.\d+|mid_block)\.motion_modules\.\d+)\.temporal_transformer"
)
_BLOCK = r"transformer_blocks\.0"


def _layer(kind: Kind, inner: str) -> tuple[Rule, Rule]:
    return layer(kind, rf"{_MODULE}\.(?P<inner>{inner})", r"\g<module>.\g<inner>")


MOTION = (
    # The position table is computed, not stored.
    ignore(rf"{_MODULE}\.{_BLOCK}\.attention_blocks\.[01]\.pos_encoder\.pe"),
    *_layer("norm", rf"norm|{_BLOCK}\.(?:norms\.[01]|ff_norm)"),
    *_layer("linear", r"proj_(?:in|out)"),
    *_layer("linear", rf"{_BLOCK}\.attention_blocks\.[01]\.to_(?:[qkv]|out\.0)"),
    *_layer("linear", rf"{_BLOCK}\.ff\.net\.(?:0\.proj|2)"),
)
