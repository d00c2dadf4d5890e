"""Names of AnimateAnyone's pose guider, which are those of ControlNet's condition embedding."""

import re

from convert.read import Source
from convert.rules import layer
from tpc_jax.errors import UserError
from tpc_jax.model.config import PoseNetConfig

POSE_NET = layer("conv", r"conv_in|blocks\.\d+|conv_out")


def pose_net_config(source: Source) -> PoseNetConfig:
    """Read the sizes of a pose guider off its weights, for no config of it is published.

    Raises:
        UserError: The weights are not those of a pose guider.
    """

    def kernel(name: str) -> tuple[int, ...]:
        tensor = source.tensors.get(f"{name}.weight")
        if tensor is None or len(tensor.shape) != 4:
            raise UserError(f"{source.path}: not a pose guider: no kernel {name}.weight in it")
        return tensor.shape

    blocks = sum(bool(re.fullmatch(r"blocks\.\d+\.weight", name)) for name in source.tensors)
    first = kernel("conv_in")
    # Every second block widens and halves.
    widths = [first[0], *(kernel(f"blocks.{index}")[0] for index in range(1, blocks, 2))]
    return PoseNetConfig(first[1], tuple(widths), kernel("conv_out")[0])
