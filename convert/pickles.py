"""PyTorch's files (`.bin`, `.ckpt`, `.pt`), read without PyTorch and without running their code.

A pickle can call any function. Here it may only build dictionaries, lists and descriptions of
tensors; everything else is refused. Both containers are read: zip archives (PyTorch 1.6 and newer),
whose checksums are verified, and the older sequence of pickles followed by the numbers.
"""

import io
import math
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import ml_dtypes
import numpy as np

from tpc_jax.convert.read import Source, Tensor, damaged, read_span, reading
from tpc_jax.errors import UserError

ZIP_MAGIC = b"PK\x03\x04"
# The number 0x1950a86a20f9469cfc6c, pickled.
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"

_STORAGES = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
# Under which key trainers put the state dict, beside other things: Lightning, DeepSpeed.
_WRAPPERS = ("state_dict", "module")
# What malformed pickles and archives raise.
_MALFORMED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    *(EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError, UnicodeError),
    *(NotImplementedError, OverflowError, RuntimeError),
)


class _Storage(NamedTuple):
    """A run of numbers that tensors are views of."""

    key: str
    dtype: np.dtype
    size: int


class _View(NamedTuple):
    """A tensor as the pickle describes it; offset and strides count numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Refused(Exception):
    """The pickle wants something that tensors do not need."""


def _rebuild_tensor(storage, offset, shape, strides, *_ignored) -> _View:
    return _View(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(data, *_ignored) -> _View:
    return data


_ALLOWED: dict[tuple[str, str], Callable] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): tuple,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
}


class _Unpickler(pickle.Unpickler):
    """Builds containers and views, and refuses every other class and function."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return np.dtype(_STORAGES[name])
        if (module, name) not in _ALLOWED:
            raise _Refused(f"{module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: tuple) -> _Storage:
        kind, dtype, key, _device, size, *view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or view not in ([], [None]):
            raise _Refused(f"storage {pid}")
        return _Storage(str(key), dtype, int(size))


def read_zip(path: Path) -> Source:
    """Index a file of PyTorch 1.6 or newer.

    Raises:
        UserError: The archive is malformed, or its pickle holds more than tensors.
    """
    with reading(path, *_MALFORMED), zipfile.ZipFile(path) as archive:
        main = next((name for name in archive.namelist() if Path(name).name == "data.pkl"), None)
        if main is None:
            raise ValueError("no data.pkl in it")
        root = main.removesuffix("data.pkl")
        entries = {info.filename: info for info in archive.infolist()}
        if f"{root}byteorder" in entries and archive.read(f"{root}byteorder") != b"little":
            raise UserError(f"{path}: stored with big-endian numbers; save it again on a common PC")
        content = _unpickle(path, io.BytesIO(archive.read(main)))
        with path.open("rb") as file:
            starts = {
                name: _start(file, info)
                for name, info in entries.items()
                if name.startswith(f"{root}data/")
            }

    def read(storage: _Storage) -> np.ndarray:
        name = f"{root}data/{storage.key}"
        numbers = read_span(path, starts[name], (storage.size,), storage.dtype)
        if zlib.crc32(numbers.view(np.uint8)) != entries[name].CRC:
            raise damaged(path, f"the checksum of {name} differs")
        return numbers

    return _source(path, content, lambda s: entries[f"{root}data/{s.key}"].file_size, read)


def _start(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Return where the bytes of an entry start, behind its own header."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{info.filename} is compressed")
    file.seek(info.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4))
    return info.header_offset + 30 + name + extra


def read_legacy(path: Path) -> Source:
    """Index a file of PyTorch before 1.6.

    Raises:
        UserError: The file is malformed, or its pickle holds more than tensors.
    """
    with reading(path, *_MALFORMED), path.open("rb") as file:
        for _ in range(2):  # magic number, protocol
            _unpickle(path, file)
        if not _unpickle(path, file).get("little_endian", True):
            raise UserError(f"{path}: stored with big-endian numbers; save it again on a common PC")
        content = _unpickle(path, file)
        keys = [str(key) for key in _unpickle(path, file)]
        storages = {view.storage.key: view.storage for view in _views(content)}
        spans: dict[str, tuple[int, int]] = {}
        end = file.tell()
        for key in keys:
            file.seek(end)
            (count,) = struct.unpack("<q", file.read(8))
            size = count * storages[key].dtype.itemsize
            spans[key] = (end + 8, size)
            end += 8 + size
        if end != path.stat().st_size:
            raise ValueError(f"{path.stat().st_size} bytes where its tables tell of {end}")

    def read(storage: _Storage) -> np.ndarray:
        return read_span(path, spans[storage.key][0], (storage.size,), storage.dtype)

    return _source(path, content, lambda storage: spans[storage.key][1], read)


def _unpickle(path: Path, file: Any) -> Any:
    try:
        return _Unpickler(file, encoding="utf-8").load()
    except _Refused as error:
        raise UserError(
            f"{path}: its pickle asks for {error}, which is not run; "
            "save only the state dict, as safetensors"
        ) from None


def _views(content: Any) -> Iterator[_View]:
    """Yield all tensors inside containers."""
    if isinstance(content, _View):
        yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _views(value)
    elif isinstance(content, list | tuple | set):
        for value in content:
            yield from _views(value)


def _source(path: Path, content: Any, stored_size: Callable, read: Callable) -> Source:
    """Describe the tensors of a state dict, which may lie beside other things."""
    others: tuple[str, ...] = ()
    with reading(path, *_MALFORMED):
        for key in _WRAPPERS:
            if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
                others = tuple(str(name) for name in content if name != key)
                content = content[key]
                break
        if not isinstance(content, Mapping):
            raise ValueError(f"a {type(content).__name__} instead of a state dict")
        views = {str(k): v for k, v in content.items() if isinstance(v, _View)}
        others += tuple(str(k) for k, v in content.items() if not isinstance(v, _View))
        for name, view in views.items():
            _check_view(name, view, stored_size(view.storage))
    tensors = {
        name: Tensor(view.shape, view.storage.dtype, lambda view=view: _read_view(path, view, read))
        for name, view in views.items()
    }
    return Source(path, (path,), tensors, others)


def _check_view(name: str, view: _View, stored: int) -> None:
    storage = view.storage
    if stored != storage.size * storage.dtype.itemsize:
        raise ValueError(f"{stored} bytes stored of {name}, {storage.size} numbers expected")
    steps = [(n - 1) * step for n, step in zip(view.shape, view.strides, strict=True)]
    last = view.offset + sum(steps)
    if min(view.offset, *view.shape, *view.strides, 0) < 0:
        raise ValueError(f"negative size in {name}")
    if math.prod(view.shape) and last >= storage.size:
        raise ValueError(f"{name} reaches beyond its storage")


def _read_view(path: Path, view: _View, read: Callable) -> np.ndarray:
    numbers = read(view.storage)
    if numbers.size != view.storage.size:
        raise damaged(path, "it became shorter")
    strides = [step * numbers.itemsize for step in view.strides]
    return np.lib.stride_tricks.as_strided(
        numbers[view.offset :], view.shape, strides, writeable=False
    )
