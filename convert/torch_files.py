"""PyTorch's files (`.bin`, `.ckpt`, `.pt`, `.pth`), read without PyTorch and without their code.

Both containers are read: zip archives (PyTorch 1.6 and newer), whose checksums are verified, and
the older sequence of pickles followed by the numbers. Files are mapped into memory: tensors may be
views of one storage, such as all of a DeepSpeed file, and its bytes are to be read once.
"""

import functools
import io
import math
import mmap
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tpc_jax.convert.formats import refuse_archive
from tpc_jax.convert.read import Source, Tensor, damaged, reading
from tpc_jax.convert.unpickle import MALFORMED, Refused, Storage, View, unpickle
from tpc_jax.errors import UserError

_PICKLE_LIMIT = 2**26  # bytes; names and shapes of 10,000 tensors are some 3 MB
# Under which key trainers put the state dict, beside other things: Lightning, DeepSpeed.
_WRAPPERS = ("state_dict", "module")
# What malformed archives and pickles raise.
_MALFORMED = (
    *(zipfile.BadZipFile, struct.error, EOFError, NotImplementedError, RuntimeError),
    *MALFORMED,
)


class _Span(NamedTuple):
    """Where bytes lie in a file, and their checksum where it is known."""

    offset: int
    size: int
    crc: int | None = None


class _Mapped:
    """A file in memory that is read where it is touched.

    Attributes:
        path: The file.
        bytes: What it holds.
        spans: Its parts by name.
    """

    def __init__(self, path: Path):
        self.path = path
        self.bytes = _map(path, path.stat().st_size)
        self.spans: dict[str, _Span] = {}
        self._verified: set[str] = set()

    def verified(self, name: str) -> _Span:
        """Return a part whose checksum, where there is one, was compared once."""
        # Touching what was cut off since the file was mapped would end the process.
        if self.path.stat().st_size < len(self.bytes):
            raise damaged(self.path, "it became shorter")
        span = self.spans[name]
        if span.crc is not None and name not in self._verified:
            with memoryview(self.bytes) as whole:
                if zlib.crc32(whole[span.offset : span.offset + span.size]) != span.crc:
                    raise damaged(self.path, f"the checksum of {name} differs")
            self._verified.add(name)
        return span

    def pickle(self, name: str) -> io.BytesIO:
        """Return a part that holds pickles."""
        offset, size, _ = self.verified(name)
        if size > _PICKLE_LIMIT:
            raise ValueError(f"{name} has {size} bytes, at most {_PICKLE_LIMIT} are read")
        return io.BytesIO(self.bytes[offset : offset + size])


def _map(path: Path, size: int) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)


def read_zip(path: Path) -> Source:
    """Index a file of PyTorch 1.6 or newer.

    Raises:
        UserError: The archive is malformed, or its pickle holds more than tensors.
    """
    with reading(path, *_MALFORMED), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        refuse_archive(path, names)
        main = next(name for name in names if Path(name).name == "data.pkl")
        root, mapped = main.removesuffix("data.pkl"), _Mapped(path)
        mapped.spans |= {
            info.filename.removeprefix(root): _span(mapped.bytes, info)
            for info in archive.infolist()
            if info.filename.startswith(root)
        }
        if "byteorder" in mapped.spans:
            _check_order(path, mapped.pickle("byteorder").read() == b"little")
        content, _ = _unpickle(path, mapped.pickle("data.pkl"))
    return _source(content, mapped)


def _span(content: mmap.mmap, info: zipfile.ZipInfo) -> _Span:
    """Return where an entry lies, behind its own header."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{info.filename} is compressed")
    if info.header_offset < 0:
        raise ValueError(f"{info.filename} starts before the file")
    name, extra = struct.unpack_from("<HH", content, info.header_offset + 26)
    start = info.header_offset + 30 + name + extra
    if start + info.file_size > len(content):
        raise ValueError(f"{info.filename} ends behind the file")
    return _Span(start, info.file_size, info.CRC)


def read_legacy(path: Path) -> Source:
    """Index a file of PyTorch before 1.6.

    Raises:
        UserError: The file is malformed, or its pickle holds more than tensors.
    """
    with reading(path, *_MALFORMED):
        mapped = _Mapped(path)
        file = _map(path, min(len(mapped.bytes), _PICKLE_LIMIT))
        for _ in range(2):  # magic number, protocol
            _unpickle(path, file)
        _check_order(path, _unpickle(path, file)[0].get("little_endian", True))
        content, storages = _unpickle(path, file)
        keys, _ = _unpickle(path, file)
        end = file.tell()
        for key in keys:
            if not isinstance(key, str | int):
                raise TypeError("a storage whose key is no text")
            (count,) = struct.unpack_from("<Q", mapped.bytes, end)
            size = count * storages[str(key)].dtype.itemsize
            mapped.spans[f"data/{key}"] = _Span(end + 8, size)
            end += 8 + size
        if end != len(mapped.bytes):
            raise ValueError(f"{len(mapped.bytes)} bytes where its tables tell of {end}")
    return _source(content, mapped)


def _check_order(path: Path, is_little_endian: bool) -> None:
    if not is_little_endian:
        raise UserError(f"{path}: stored with big-endian numbers; save it again on a common PC")


def _unpickle(path: Path, file: io.BytesIO | mmap.mmap) -> tuple[Any, dict[str, Storage]]:
    try:
        return unpickle(file)
    except Refused as error:
        raise UserError(
            f"{path}: its pickle asks for {error}, which is not run; "
            "save only the state dict, as safetensors"
        ) from None


def _source(content: Any, mapped: _Mapped) -> Source:
    """Describe the tensors of a state dict, which may lie beside other things."""
    path = mapped.path
    others: tuple[str, ...] = ()
    with reading(path, *_MALFORMED):
        for key in _WRAPPERS:
            if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
                others = tuple(str(name) for name in content if name != key)
                content = content[key]
                break
        if not isinstance(content, Mapping):
            raise ValueError(f"a {type(content).__name__} instead of a state dict")
        views = {str(k): v for k, v in content.items() if isinstance(v, View)}
        others += tuple(str(k) for k, v in content.items() if not isinstance(v, View))
        for name, view in views.items():
            _check_view(name, view, mapped.spans[f"data/{view.storage.key}"].size)
    tensors = {
        name: Tensor(view.shape, view.storage.dtype, functools.partial(_read_view, mapped, view))
        for name, view in views.items()
    }
    return Source(path, (path,), tensors, others)


def _check_view(name: str, view: View, stored: int) -> None:
    storage = view.storage
    if stored != storage.size * storage.dtype.itemsize:
        raise ValueError(f"{stored} bytes stored of {name}, {storage.size} numbers expected")
    steps = [(n - 1) * step for n, step in zip(view.shape, view.strides, strict=True)]
    count = math.prod(view.shape)
    if count and view.offset + sum(steps) >= storage.size:
        raise ValueError(f"{name} reaches beyond its storage")
    # Stored numbers may be repeated, but a few bytes are not to become a huge tensor.
    if count > storage.size:
        raise ValueError(f"{name} has {count} numbers in a storage of {storage.size}")


def _read_view(mapped: _Mapped, view: View) -> np.ndarray:
    storage = view.storage
    start, _, _ = mapped.verified(f"data/{storage.key}")
    size = storage.dtype.itemsize
    strides = [step * size for step in view.strides]
    offset = start + view.offset * size
    return np.ndarray(view.shape, storage.dtype, mapped.bytes, offset, strides)
