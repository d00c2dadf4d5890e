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

# By their names in safetensors.
DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    **{f"I{bits}": np.dtype(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"U{bits}": np.dtype(f"uint{bits}") for bits in (8, 16, 32, 64)},
    "BOOL": np.bool_,
}
# Known to the format, but not to us: packed or complex numbers.
_UNREAD = ("F4", "F6_E2M3", "F6_E3M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64")
_HEADER_LIMIT = 100_000_000  # bytes, as in the format's own reader


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
        architecture: Which model the file says it is of, where it does.
    """

    path: Path
    files: tuple[Path, ...]
    tensors: Mapping[str, Tensor]
    others: tuple[str, ...] = ()
    architecture: str | None = None


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
    except MemoryError as error:
        raise UserError(
            f"{path}: does not fit into memory; end other programs or take a machine with more"
        ) from error
    except errors as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def inside(source: Source, prefix: str) -> Source:
    """Return the tensors of a source whose names have a prefix, under their names without it."""
    own = {
        name.removeprefix(prefix): tensor
        for name, tensor in source.tensors.items()
        if name.startswith(prefix)
    }
    return dataclasses.replace(source, tensors=own, others=())


def read_safetensors(path: Path) -> Source:
    """Index a safetensors file.

    Raises:
        UserError: The header is malformed, the file has another length than it says, or numbers
            of a type that is not read.
    """
    malformed = (ValueError, KeyError, TypeError, AttributeError, RecursionError)
    with reading(path, *malformed), path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 0 < length <= min(size - 8, _HEADER_LIMIT):
            raise ValueError(f"{size} bytes where its header alone would have {length}")
        header = json.loads(file.read(length))
        said = header.pop("__metadata__", None) or {}
        architecture = said.get("modelspec.architecture")
        start = 8 + length
        spans = sorted(tuple(entry["data_offsets"]) for entry in header.values())
        ends = [0, *(end for _, end in spans)]
        if [begin for begin, _ in spans] != ends[:-1] or start + ends[-1] != size:
            raise ValueError(f"{size} bytes where the header tells of {start + ends[-1]}")
        tensors = {name: _stored(path, start, entry) for name, entry in header.items()}
    return Source(path, (path,), tensors, architecture=architecture and str(architecture))


def _stored(path: Path, start: int, entry: Mapping) -> Tensor:
    shape = tuple(int(n) for n in entry["shape"])
    if entry["dtype"] in _UNREAD:
        raise UserError(
            f"{path}: holds numbers of type {entry['dtype']}, which are not read; take the file "
            "in float16 or float32"
        )
    dtype = np.dtype(DTYPES[entry["dtype"]])
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
