"""Stable Diffusion 1 as people have it: diffusers' folder, or the one file of the original."""

import functools
import re
from pathlib import Path
from typing import Any

from tpc_jax.convert.configs import Settings
from tpc_jax.convert.folders import CLIP, NETWORK, Names, find_weights, look_for_weights
from tpc_jax.convert.inputs import Inputs
from tpc_jax.convert.ldm import Network, take_network
from tpc_jax.convert.read import Source
from tpc_jax.convert.recognise import refuse_other_bases
from tpc_jax.errors import UserError, warn

_WHOLE = Names(
    (
        *("v1-5-pruned-emaonly", "v1-5-pruned", "sd-v1-5", "sd-v1-4", "sd-v1-4-full-ema"),
        *("v1-5-pruned-emaonly-fp16", "v1-5-pruned-fp16"),
    ),
    "v1-5-pruned-emaonly.safetensors",
)
_VAE = Names(
    (*NETWORK.stems, "vae-ft-mse-840000-ema-pruned", "vae-ft-ema-560000-ema-pruned"),
    f"{NETWORK.published}, or vae-ft-mse-840000-ema-pruned.safetensors or .ckpt,",
)
_NAMES: dict[Network, Names] = {"unet": NETWORK, "vae": NETWORK, "text_encoder": CLIP}

_OTHER_VAE = re.compile(r"sdxl|xl[-_.]?vae|vae[-_.]?xl|flux|sd-?3", re.IGNORECASE)

# The published configs, which files of the original do without.
_LEVELS = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
PUBLISHED: dict[str, dict[str, Any]] = {
    "unet": {
        **{"in_channels": 4, "out_channels": 4, "sample_size": 64, "layers_per_block": 2},
        **{"block_out_channels": (320, 640, 1280, 1280), "down_block_types": _LEVELS},
        **{"attention_head_dim": 8, "cross_attention_dim": 768, "norm_num_groups": 32},
    },
    "vae": {
        **{"in_channels": 3, "latent_channels": 4, "layers_per_block": 2},
        **{"block_out_channels": (128, 256, 512, 512), "norm_num_groups": 32},
    },
    "text_encoder": {
        **{"vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072},
        **{"num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 77},
    },
    "scheduler": {
        **{"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"},
        **{"steps_offset": 1, "set_alpha_to_one": False, "skip_prk_steps": True},
        "_class_name": "PNDMScheduler",
    },
}


class StableDiffusion:
    """The base that a model was made from.

    Args:
        inputs: Where its files are noted.
        option: The option that named it.
        path: A folder with `unet`, `text_encoder` and more, or with one file of the whole model;
            or that file itself.
    """

    def __init__(self, inputs: Inputs, option: str, path: Path):
        self.inputs, self.option, self.path = inputs, option, path
        self.root = path if path.is_dir() else path.parent
        if not path.exists():
            raise UserError(f"{path}: no such folder or file; download Stable Diffusion 1 there")

    def source(self, network: Network) -> Source:
        """Index one of its networks.

        Raises:
            UserError: There is none, or it is of another model.
        """
        names = _NAMES[network]
        if own := look_for_weights(self.path / network, names):
            return take_network(self.inputs.weights(self.root, self.option, own), network)
        if self._whole is None:
            raise UserError(
                f"{self.path / network}: no weights there; download {names.published} into it, or "
                f"give the file of the whole model, such as {_WHOLE.published}"
            )
        return take_network(self._whole, network)

    def settings(self, part: str) -> Settings:
        """Read the config of a part; the published one holds for the file of the whole model."""
        file = "scheduler_config.json" if part == "scheduler" else "config.json"
        path = self.root / part / file
        whole = None if self.path.is_dir() and path.is_file() else self._whole
        if whole is None:
            return self.inputs.settings(self.root, self.option, path)
        refuse_other_bases(whole)
        return Settings(whole.path, PUBLISHED[part])

    def place(self, part: str) -> Path:
        """Return where a part lies, for messages."""
        return self.path / part if self.path.is_dir() else self.path

    @functools.cached_property
    def _whole(self) -> Source | None:
        path = look_for_weights(self.path, _WHOLE) if self.path.is_dir() else self.path
        return path and self.inputs.weights(self.root, self.option, path)


def open_vae(inputs: Inputs, path: Path) -> tuple[Source, Settings]:
    """Index an autoencoder that is given apart from its base, and read its config.

    Args:
        inputs: Where its files are noted.
        path: Its folder, or the file itself; a file of the whole model serves too. Where no config
            lies beside it, the published one holds.

    Raises:
        UserError: There is none, or it is of another model.
    """
    root = path if path.is_dir() else path.parent
    file = path if path.is_file() else find_weights(path, _VAE)
    source = take_network(inputs.weights(root, "vae", file), "vae")
    config = root / "config.json"
    # Those of other models have the same tensors; only a config or the file's name tells.
    if config.is_file() or file.name.split(".")[0] in NETWORK.stems:
        return source, inputs.settings(root, "vae", config)
    if _OTHER_VAE.search(file.name):
        raise UserError(
            f"{file}: by its name of another model than Stable Diffusion 1; "
            f"download {_VAE.published} instead"
        )
    if file.name.split(".")[0] not in (*_VAE.stems, *_WHOLE.stems):
        warn(
            f"{file}: without config.json beside it taken as Stable Diffusion 1's autoencoder "
            "(latents times 0.18215)"
        )
    return source, Settings(file, PUBLISHED["vae"])
