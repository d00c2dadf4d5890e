"""Networks that are no part of Stable Diffusion: motion modules and the pose guider."""

from itertools import pairwise

from published.shapes import Shapes, layer


def motion(widths: tuple[int, ...], positions: int = 24, *, has_mid: bool = False) -> Shapes:
    """AnimateDiff's motion modules with their tables of positions."""
    blocks = [("down_blocks", widths, 2), ("up_blocks", widths[::-1], 3)]
    places = [
        (f"{way}.{block}.motion_modules.{index}", width)
        for way, channels, count in blocks
        for block, width in enumerate(channels)
        for index in range(count)
    ]
    places += [("mid_block.motion_modules.0", widths[-1])] if has_mid else []
    return {
        f"{place}.temporal_transformer.{name}": shape
        for place, width in places
        for name, shape in _motion_module(width, positions).items()
    }


def _motion_module(width: int, positions: int) -> Shapes:
    block = "transformer_blocks.0"
    shapes = layer("norm", width) | layer("proj_in", width, width)
    shapes |= layer("proj_out", width, width) | layer(f"{block}.ff_norm", width)
    shapes |= layer(f"{block}.ff.net.0.proj", 8 * width, width)
    shapes |= layer(f"{block}.ff.net.2", width, 4 * width)
    for index in range(2):
        attention = f"{block}.attention_blocks.{index}"
        shapes |= layer(f"{attention}.to_out.0", width, width)
        shapes |= layer(f"{block}.norms.{index}", width)
        shapes |= {f"{attention}.to_{name}.weight": (width, width) for name in "qkv"}
        shapes[f"{attention}.pos_encoder.pe"] = (1, positions, width)
    return shapes


def pose_guider(widths: tuple[int, ...], out: int) -> Shapes:
    """AnimateAnyone's pose guider, whose every second block widens."""
    shapes = {"conv_in": (widths[0], 3), "conv_out": (out, widths[-1])}
    for index, (width, wider) in enumerate(pairwise(widths)):
        shapes |= {f"blocks.{2 * index}": (width, width), f"blocks.{2 * index + 1}": (wider, width)}
    kernels = {name: layer(name, *shape, 3, 3) for name, shape in shapes.items()}
    return {name: shape for own in kernels.values() for name, shape in own.items()}
