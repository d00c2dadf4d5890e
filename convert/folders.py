"""Published folders: which file holds the weights, and what the JSON files beside it say."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tpc_jax.convert.read import damaged, reading
from tpc_jax.errors import UserError

# Names that diffusers and transformers give to weights.
NETWORK_STEMS = ("diffusion_pytorch_model", "diffusion_flax_model")
TEXT_STEMS = ("model", "pytorch_model", "flax_model")

# Best first: full precision before half, formats without code before pickles.
_ENDINGS = (
    *(".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json"),
    *(".ckpt", ".pt", ".pth"),
    *(".fp16.safetensors", ".safetensors.index.fp16.json", ".fp16.bin", ".bin.index.fp16.json"),
    ".msgpack",
)


def find_weights(folder: Path, stems: Iterable[str] = NETWORK_STEMS) -> Path:
    """Return the weight file of a folder, the best one where there are several.

    Args:
        folder: Folder of one network.
        stems: Names that the file may have, without endings.

    Raises:
        UserError: There is none.
    """
    stems = tuple(stems)
    for ending in _ENDINGS:
        for stem in stems:
            if (path := folder / (stem + ending)).is_file():
                return path
    names = " or ".join(f"{stem}{_ENDINGS[0]}" for stem in stems[:1]) + f" (also {_ENDINGS[2]})"
    raise UserError(f"{folder}: no weights there; download {names} into it")


def read_settings(path: Path) -> dict[str, Any]:
    """Read a JSON or YAML file of settings.

    Raises:
        UserError: The file is missing or malformed.
    """
    with reading(path):
        text = path.read_bytes()
    try:
        is_yaml = path.suffix in (".yaml", ".yml")
        settings = yaml.safe_load(text) if is_yaml else json.loads(text)
    except (ValueError, yaml.YAMLError) as error:
        raise damaged(path, str(error).splitlines()[0]) from error
    if not isinstance(settings, Mapping):
        raise damaged(path, "not a table of settings")
    return dict(settings)


def describe(path: Path) -> dict[str, Any]:
    """Return size and checksum of a file."""
    with reading(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
