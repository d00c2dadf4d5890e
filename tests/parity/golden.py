"""Published networks at tiny size with the results of the original code, where they are at hand."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file
from torch_oracles import compiled

from tpc_jax.animators.load import load
from tpc_jax.model import params as P
from tpc_jax.model.config import MotionConfig, UNetConfig, VAEConfig

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"


class Golden:
    """One folder of golden data."""

    def __init__(self, system: str):
        self.folder = GOLDEN / system
        if not self.folder.exists():
            pytest.skip(f"the golden data of {system} is not there", allow_module_level=True)
        self.arrays = np.load(self.folder / "io.npz")

    def __getitem__(self, name: str) -> np.ndarray:
        """Return an array of images [..., c, h, w] or videos [b, c, f, h, w] channels last."""
        array = self.arrays[name]
        return np.moveaxis(array, 1, -1) if array.ndim == 5 else np.moveaxis(array, -3, -1)

    def raw(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def weights(self, *files: str) -> dict[str, np.ndarray]:
        """Return the tensors of all files, in float32."""
        state = {}
        for file in files:
            state |= load_file(self.folder / f"{file}.safetensors")
        return {name: array.astype(np.float32) for name, array in state.items()}

    def json(self, file: str) -> dict:
        return json.loads((self.folder / f"{file}.json").read_text())


def unet_config(unet: dict, inference: dict, *, motion_groups: int, **options) -> UNetConfig:
    """Translate the published configs."""
    extra = inference["unet_additional_kwargs"]
    motion = extra["motion_module_kwargs"]
    return UNetConfig(
        in_channels=unet["in_channels"],
        out_channels=unet["out_channels"],
        block_out_channels=tuple(unet["block_out_channels"]),
        layers_per_block=unet["layers_per_block"],
        attention_levels=tuple("CrossAttn" in kind for kind in unet["down_block_types"]),
        num_heads=unet["attention_head_dim"],
        cross_attention_dim=unet["cross_attention_dim"],
        norm_num_groups=unet["norm_num_groups"],
        motion=MotionConfig(
            num_heads=motion["num_attention_heads"],
            norm_num_groups=motion_groups,
            max_frames=motion["temporal_position_encoding_max_len"],
            use_mid_block=extra["motion_module_mid_block"],
        ),
        **options,
    )


def vae_config(vae: dict) -> VAEConfig:
    return VAEConfig(
        in_channels=vae["in_channels"],
        latent_channels=vae["latent_channels"],
        block_out_channels=tuple(vae["block_out_channels"]),
        layers_per_block=vae["layers_per_block"],
        norm_num_groups=vae["norm_num_groups"],
        scaling_factor=vae["scaling_factor"],
    )


class ConvertedModel:
    """A converted model whose networks are each called through one compiled function."""

    def __init__(self, folder: Path):
        self.animator, self.params, _ = load(folder)
        self.config = self.animator.config

    def run(self, name: str, call, *inputs):
        """Return `call(network, *inputs)`."""
        network = self.animator.networks()[name]
        bound = compiled(lambda params, *args: call(P.bind(network, params), *args))
        return bound(self.params[name], *map(jnp.asarray, inputs))
