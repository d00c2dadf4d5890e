"""What CLIP's text and vision models have in common, written out in torch."""

import torch


class ClipLayer(torch.nn.Module):
    """One pre-norm layer under the names of the published files."""

    def __init__(self, config, *, is_causal: bool):
        super().__init__()
        self.is_causal = is_causal
        width = config.width
        self.heads = config.num_heads
        self.self_attn = torch.nn.ModuleDict(
            {f"{name}_proj": torch.nn.Linear(width, width) for name in ("q", "k", "v", "out")}
        )
        self.layer_norm1 = torch.nn.LayerNorm(width, eps=1e-5)
        self.layer_norm2 = torch.nn.LayerNorm(width, eps=1e-5)
        self.mlp = torch.nn.ModuleDict(
            {
                "fc1": torch.nn.Linear(width, config.mlp_width),
                "fc2": torch.nn.Linear(config.mlp_width, width),
            }
        )

    def forward(self, x):
        normed = self.layer_norm1(x)
        query, key, value = (
            self.self_attn[f"{name}_proj"](normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for name in "qkv"
        )
        attend = torch.nn.functional.scaled_dot_product_attention
        mixed = attend(query, key, value, is_causal=self.is_causal)
        x = x + self.self_attn["out_proj"](mixed.transpose(1, 2).flatten(2))
        hidden = self.mlp["fc1"](self.layer_norm2(x))
        return x + self.mlp["fc2"](hidden * torch.sigmoid(1.702 * hidden))


def clip_layers(config, *, is_causal: bool) -> torch.nn.ModuleDict:
    layers = [ClipLayer(config, is_causal=is_causal) for _ in range(config.num_layers)]
    return torch.nn.ModuleDict({"layers": torch.nn.ModuleList(layers)})
