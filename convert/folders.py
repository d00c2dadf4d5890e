"""Published folders: which file holds the weights, and what the JSON files beside it say."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tpc_jax.convert.read import damaged, reading
from tpc_jax.errors import UserError


class Names(NamedTuple):
    """How the file of some weights may be called.

    Attributes:
        stems: Its names without endings.
        published: What to download, for messages.
    """

    stems: tuple[str, ...]
    published: str


# Names that diffusers and transformers give to weights.
NETWORK = Names(
    ("diffusion_pytorch_model", "diffusion_flax_model"),
    "diffusion_pytorch_model.safetensors or .bin",
)
CLIP = Names(("model", "pytorch_model", "flax_model"), "pytorch_model.bin or model.safetensors")

# Best first: full precision before half, formats without code before pickles.
_ENDINGS = (
    *(".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json"),
    *(".ckpt", ".pt", ".pth"),
    *(".fp16.safetensors", ".safetensors.index.fp16.json", ".fp16.bin", ".bin.index.fp16.json"),
    ".msgpack",
)


def find_weights(folder: Path, names: Names = NETWORK) -> Path:
    """Return the weight file of a folder, the best one where there are several.

    Args:
        folder: Folder of one network.
        names: Names that the file may have.

    Raises:
        UserError: There is none.
    """
    if (path := look_for_weights(folder, names)) is not None:
        return path
    if folder.is_file():
        raise UserError(f"{folder}: a file; give a folder with {names.published} in it")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder or file; download {names.published} there")
    raise UserError(f"{folder}: no weights there; download {names.published} into it")


def look_for_weights(folder: Path, names: Names = NETWORK) -> Path | None:
    """Return the best weight file of a folder, or None."""
    paths = (folder / (stem + ending) for ending in _ENDINGS for stem in names.stems)
    return next((path for path in paths if path.is_file()), None)


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
