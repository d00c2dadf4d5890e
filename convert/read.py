"""Published weight files as names, shapes and types, with numbers that are read one at a time.

Nothing is unpickled but plain containers of tensors, and nothing is loaded before it is asked for.
"""

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np

from tpc_jax.errors import UserError

_SAFETENSORS_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
_HEADER_LIMIT = 100_000_000  # bytes, as in the format's own reader
_LFS_POINTER = b"version https://git-lfs"


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor in a file.

    Attributes:
        shape: Its shape.
        dtype: Its type.
        read: Reads its numbers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Source:
    """What one or several files hold.

    Attributes:
        path: The file that a message names.
        files: All files that belong to it.
        tensors: Its tensors by name.
        others: Names of entries that are no tensors, such as a step counter.
    """

    path: Path
    files: tuple[Path, ...]
    tensors: Mapping[str, Tensor]
    others: tuple[str, ...] = ()


def damaged(path: Path, why: object) -> UserError:
    """Return the error for a file that cannot be what its name says."""
    return UserError(f"{path}: truncated or corrupt ({why}); download it again")


@contextlib.contextmanager
def reading(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Turn errors that a malformed file causes into one that names it."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    except errors as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def open_source(path: Path) -> Source:
    """Index a weight file of any published format, which its first bytes tell.

    The prefix `module.`, which parallel training leaves in front of every name, is taken off.

    Args:
        path: A `.safetensors`, `.bin`, `.ckpt`, `.pt` or `.msgpack` file, or the
            `.index.json` of a sharded one.

    Raises:
        UserError: The file is missing, truncated, corrupt or of another format.
    """
    source = _reader(path)(path)
    bare = {name.removeprefix("module."): tensor for name, tensor in source.tensors.items()}
    if len(bare) != len(source.tensors):
        raise UserError(f"{path}: holds some tensors twice, with and without the prefix module.")
    return dataclasses.replace(source, tensors=bare)


def inside(source: Source, prefix: str) -> Source:
    """Return the tensors of a source whose names have a prefix, under their names without it."""
    own = {
        name.removeprefix(prefix): tensor
        for name, tensor in source.tensors.items()
        if name.startswith(prefix)
    }
    return dataclasses.replace(source, tensors=own, others=())


def _reader(path: Path) -> Callable[[Path], Source]:
    from tpc_jax.convert.flax_files import read_msgpack
    from tpc_jax.convert.pickles import LEGACY_MAGIC, ZIP_MAGIC, read_legacy, read_zip

    with reading(path), path.open("rb") as file:
        start = file.read(64)
    if start.startswith(_LFS_POINTER):
        raise UserError(
            f"{path}: only a Git LFS pointer, not the weights; run `git lfs pull` or download it"
        )
    if ".index." in path.name and path.suffix == ".json":
        return read_sharded
    if path.suffix == ".msgpack":
        return read_msgpack
    if start.startswith(ZIP_MAGIC):
        return read_zip
    if start.startswith(LEGACY_MAGIC):
        return read_legacy
    return read_safetensors


def read_safetensors(path: Path) -> Source:
    """Index a safetensors file.

    Raises:
        UserError: The header is malformed, or the file has another length than it says.
    """
    with reading(path, ValueError, KeyError, TypeError, AttributeError), path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 0 < length <= min(size - 8, _HEADER_LIMIT):
            raise ValueError(f"{size} bytes with a header of {length}")
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        start = 8 + length
        spans = sorted(tuple(entry["data_offsets"]) for entry in header.values())
        ends = [0, *(end for _, end in spans)]
        if [begin for begin, _ in spans] != ends[:-1] or start + ends[-1] != size:
            raise ValueError(f"{size} bytes where the header tells of {start + ends[-1]}")
        tensors = {name: _stored(path, start, entry) for name, entry in header.items()}
    return Source(path, (path,), tensors)


def _stored(path: Path, start: int, entry: Mapping) -> Tensor:
    shape = tuple(int(n) for n in entry["shape"])
    dtype = np.dtype(_SAFETENSORS_DTYPES[entry["dtype"]])
    begin, end = entry["data_offsets"]
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{end - begin} bytes for shape {shape} of {dtype}")
    return Tensor(shape, dtype, lambda: read_span(path, start + begin, shape, dtype))


def read_span(path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Read an array in C order that starts `offset` bytes into a file.

    Raises:
        UserError: The file ends before it.
    """
    size = math.prod(shape) * dtype.itemsize
    with reading(path), path.open("rb") as file:
        data = np.fromfile(file, np.uint8, size, offset=offset)
    if data.size != size:
        raise damaged(path, "it became shorter")
    return data.view(dtype).reshape(shape)


def read_sharded(path: Path) -> Source:
    """Index the files that an index names, and hold them against it.

    Raises:
        UserError: The index is malformed, files are missing or hold other tensors than it says.
    """
    with reading(path, ValueError, KeyError, TypeError, AttributeError):
        places = dict(json.loads(path.read_text())["weight_map"])
        names = sorted(set(places.values()))
        if any(Path(name).name != name for name in names):
            raise ValueError("weight_map names files in other folders")
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise UserError(f"{path}: {', '.join(missing)} missing beside it; download all parts")
    parts = {name: _reader(path.parent / name)(path.parent / name) for name in names}
    held = {(key, name) for name, part in parts.items() for key in part.tensors}
    if wrong := sorted(held ^ set(places.items())):
        raise damaged(path, f"{len(wrong)} tensors are not where it says, as {wrong[0][0]}")
    tensors = {key: parts[name].tensors[key] for key, name in places.items()}
    files = (path, *(file for part in parts.values() for file in part.files))
    return Source(path, files, tensors)
