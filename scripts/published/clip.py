"""CLIP's encoders, with the table of indices that old files have."""

from collections.abc import Mapping
from typing import Any

from published.shapes import Shapes, layer


def text_encoder(config: Mapping[str, Any]) -> Shapes:
    """CLIP's text model with the table of indices that old files have."""
    width, tokens = config["hidden_size"], config["max_position_embeddings"]
    shapes: Shapes = {
        "embeddings.token_embedding.weight": (config["vocab_size"], width),
        "embeddings.position_embedding.weight": (tokens, width),
        "embeddings.position_ids": (1, tokens),
        **layer("final_layer_norm", width),
        **_layers(config),
    }
    return {f"text_model.{name}": shape for name, shape in shapes.items()}


def vision_encoder(config: Mapping[str, Any]) -> Shapes:
    """CLIP's vision model with projection and the table of indices that old files have."""
    width, patch = config["hidden_size"], config["patch_size"]
    tokens = (config["image_size"] // patch) ** 2 + 1
    shapes: Shapes = {
        "embeddings.class_embedding": (width,),
        "embeddings.patch_embedding.weight": (width, 3, patch, patch),
        "embeddings.position_embedding.weight": (tokens, width),
        "embeddings.position_ids": (1, tokens),
        **layer("pre_layrnorm", width),
        **_layers(config),
        **layer("post_layernorm", width),
    }
    named = {f"vision_model.{name}": shape for name, shape in shapes.items()}
    return {**named, "visual_projection.weight": (config["projection_dim"], width)}


def _layers(config: Mapping[str, Any]) -> Shapes:
    width, hidden = config["hidden_size"], config["intermediate_size"]
    shapes: Shapes = {}
    for index in range(config["num_hidden_layers"]):
        place = f"encoder.layers.{index}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= layer(f"{place}.self_attn.{name}", width, width)
        shapes |= layer(f"{place}.mlp.fc1", hidden, width)
        shapes |= layer(f"{place}.mlp.fc2", width, hidden)
        shapes |= layer(f"{place}.layer_norm1", width) | layer(f"{place}.layer_norm2", width)
    return shapes


def tower(width: int, layers: int, patch: int, projection: int, side: int = 224) -> dict[str, Any]:
    """Return the config of a vision tower of CLIP."""
    return {
        "hidden_act": "quick_gelu", "hidden_size": width, "image_size": side,
        "intermediate_size": 4 * width, "layer_norm_eps": 1e-5, "num_channels": 3,
        "num_attention_heads": width // 64 or 1, "num_hidden_layers": layers,
        "patch_size": patch, "projection_dim": projection,
    }  # fmt: skip
