"""Names and shapes of published weights that diffusers does not know."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

Shapes = dict[str, tuple[int, ...]]


def text_encoder(config: Mapping[str, Any]) -> Shapes:
    """CLIP's text model with the table of indices that old files have."""
    width, tokens = config["hidden_size"], config["max_position_embeddings"]
    shapes: Shapes = {
        "embeddings.token_embedding.weight": (config["vocab_size"], width),
        "embeddings.position_embedding.weight": (tokens, width),
        "embeddings.position_ids": (1, tokens),
        **_layer("final_layer_norm", width),
        **_clip_layers(config),
    }
    return {f"text_model.{name}": shape for name, shape in shapes.items()}


def _clip_layers(config: Mapping[str, Any]) -> Shapes:
    width, hidden = config["hidden_size"], config["intermediate_size"]
    shapes: Shapes = {}
    for index in range(config["num_hidden_layers"]):
        layer = f"encoder.layers.{index}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _layer(f"{layer}.self_attn.{name}", width, width)
        shapes |= _layer(f"{layer}.mlp.fc1", hidden, width)
        shapes |= _layer(f"{layer}.mlp.fc2", width, hidden)
        shapes |= _layer(f"{layer}.layer_norm1", width) | _layer(f"{layer}.layer_norm2", width)
    return shapes


def pose_guider(widths: tuple[int, ...], out: int) -> Shapes:
    """AnimateAnyone's pose guider, whose every second block widens."""
    shapes = {"conv_in": (widths[0], 3), "conv_out": (out, widths[-1])}
    for index, (width, wider) in enumerate(pairwise(widths)):
        shapes |= {f"blocks.{2 * index}": (width, width), f"blocks.{2 * index + 1}": (wider, width)}
    kernels = {name: _layer(name, *shape, 3, 3) for name, shape in shapes.items()}
    return {name: shape for layer in kernels.values() for name, shape in layer.items()}


def vision_encoder(config: Mapping[str, Any]) -> Shapes:
    """CLIP's vision model with projection and the table of indices that old files have."""
    width, patch = config["hidden_size"], config["patch_size"]
    tokens = (config["image_size"] // patch) ** 2 + 1
    shapes: Shapes = {
        "embeddings.class_embedding": (width,),
        "embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "embeddings.position_embedding.weight": (tokens, width),
        "embeddings.position_ids": (1, tokens),
        **_layer("pre_layrnorm", width),
        **_clip_layers(config),
        **_layer("post_layernorm", width),
    }
    named = {f"vision_model.{name}": shape for name, shape in shapes.items()}
    return {**named, "visual_projection.weight": (config["projection_dim"], width)}


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
    shapes = _layer("norm", width) | _layer("proj_in", width, width)
    shapes |= _layer("proj_out", width, width) | _layer(f"{block}.ff_norm", width)
    shapes |= _layer(f"{block}.ff.net.0.proj", 8 * width, width)
    shapes |= _layer(f"{block}.ff.net.2", width, 4 * width)
    for index in range(2):
        attention = f"{block}.attention_blocks.{index}"
        shapes |= _layer(f"{attention}.to_out.0", width, width)
        shapes |= _layer(f"{block}.norms.{index}", width)
        shapes |= {f"{attention}.to_{name}.weight": (width, width) for name in "qkv"}
        shapes[f"{attention}.pos_encoder.pe"] = (1, positions, width)
    return shapes


def _layer(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
