"""Names of AnimateDiff's motion modules, as MagicAnimate and AnimateAnyone store them."""

import numpy as np

from convert.read import Source
from convert.rules import Kind, Rule, ignore, layer
from tpc_jax.errors import UserError
from tpc_jax.model.config import MotionConfig
from tpc_jax.model.motion import position_table

_MODULE = (
    r"(?:module\.)?(?:unet\.)?"
    r"(?P<module>(?:(?:down|up)_blocks\.\d+|mid_block)\.motion_modules\.\d+)\.temporal_transformer"
)
_BLOCK = r"transformer_blocks\.0"
# Half precision stores the table of positions with errors up to 0.004.
_TABLE_TOLERANCE = 5e-3


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


def check_positions(config: MotionConfig, motion: Source) -> None:
    """Check stored tables of positions against the ones that the denoiser computes.

    Raises:
        UserError: A table has another length or other numbers.
    """
    rows = config.max_frames
    for name, tensor in motion.tensors.items():
        if not name.endswith("pos_encoder.pe"):
            continue
        shape = (1, rows, tensor.shape[-1])
        if tensor.shape != shape:
            raise UserError(
                f"{motion.path}: {name} has shape {tensor.shape} where {shape} was expected; "
                "give the matching file by --inference-config"
            )
        table = np.asarray(tensor.read(), np.float32)[0]
        if not np.abs(table - position_table(*shape[1:])).max() <= _TABLE_TOLERANCE:
            raise UserError(f"{motion.path}: {name} is not the usual table of sines; not supported")
