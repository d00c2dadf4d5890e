"""Weight files of any published format, told by their first bytes."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from tpc_jax.convert.flax_files import read_msgpack
from tpc_jax.convert.formats import LEGACY_MAGIC, START, ZIP_MAGIC, refuse_foreign
from tpc_jax.convert.read import Source, damaged, read_safetensors, reading
from tpc_jax.convert.torch_files import read_legacy, read_zip
from tpc_jax.errors import UserError


def open_source(path: Path) -> Source:
    """Index a weight file of any published format, which its first bytes tell.

    The prefix `module.`, which parallel training leaves in front of every name, is taken off.

    Args:
        path: A `.safetensors`, `.bin`, `.ckpt`, `.pt`, `.pth` or `.msgpack` file, or the
            `.index.json` of a sharded one.

    Raises:
        UserError: The file is missing, truncated, corrupt or of another format.
    """
    source = _reader(path)(path)
    bare = {name.removeprefix("module."): tensor for name, tensor in source.tensors.items()}
    if len(bare) != len(source.tensors):
        raise UserError(f"{path}: holds some tensors twice, with and without the prefix module.")
    return dataclasses.replace(source, tensors=bare)


def _reader(path: Path) -> Callable[[Path], Source]:
    with reading(path), path.open("rb") as file:
        start = file.read(START)
    refuse_foreign(path, start)
    if ".index." in path.name and path.suffix == ".json":
        return read_sharded
    if path.suffix == ".msgpack":
        return read_msgpack
    if start.startswith(ZIP_MAGIC):
        return read_zip
    if start.startswith(LEGACY_MAGIC):
        return read_legacy
    return read_safetensors


def read_sharded(path: Path) -> Source:
    """Index the files that an index names, and hold them against it.

    Raises:
        UserError: The index is malformed, files are missing or hold other tensors than it says.
    """
    with reading(path, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        places = dict(json.loads(path.read_text())["weight_map"])
        names = sorted(set(places.values()))
        if any(Path(name).name != name for name in names):
            raise ValueError("weight_map names files in other folders")
        if any(".index." in name for name in names):
            raise ValueError("weight_map names an index")
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise UserError(f"{path}: {', '.join(missing[:20])} missing beside it; download all parts")
    parts = {name: _reader(path.parent / name)(path.parent / name) for name in names}
    held = {(key, name) for name, part in parts.items() for key in part.tensors}
    if wrong := sorted(held ^ set(places.items())):
        raise damaged(path, f"{len(wrong)} tensors are not where it says, as {wrong[0][0]}")
    tensors = {key: parts[name].tensors[key] for key, name in places.items()}
    files = (path, *(file for part in parts.values() for file in part.files))
    return Source(path, files, tensors)
