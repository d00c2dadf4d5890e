"""Flax's msgpack files, presented with PyTorch's names and order of axes.

So one rule table serves both layouts: turning the axes back costs nothing, for numbers only move
when they are written.
"""

import math
import mmap
import re
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tpc_jax.convert.read import DTYPES, Source, Tensor, read_span, reading

_EXTENSION_SIZES = {0xC7: ">B", 0xC8: ">H", 0xC9: ">I"}
_FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
_BYTES_SIZES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
_TEXT_SIZES = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_MAP_SIZES = {0xDE: ">H", 0xDF: ">I"}
_INTEGERS = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
_DTYPES = {np.dtype(kind).name: np.dtype(kind) for kind in DTYPES.values()}
_ARRAY_TYPE = 1  # Flax's extension for arrays: packed (shape, name of the dtype, bytes)

# Order of PyTorch's axes in Flax's arrays.
_TORCH_AXES = {4: (3, 2, 0, 1), 2: (1, 0)}


class _Place(NamedTuple):
    """Where an array's bytes start."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype


def read_msgpack(path: Path) -> Source:
    """Index a Flax file of diffusers or transformers.

    Raises:
        UserError: The file is truncated, or holds something else than nested dicts of arrays.
    """
    places: dict[str, _Place] = {}
    malformed = (ValueError, KeyError, TypeError, struct.error, UnicodeError, RecursionError)
    with reading(path, *malformed), path.open("rb") as stored:
        # Of a mapped file no more can be read than it holds, whatever lengths it tells of.
        with mmap.mmap(stored.fileno(), 0, access=mmap.ACCESS_READ) as file:
            _index(file, len(file), (), places)
            if file.tell() != len(file):
                raise ValueError(f"{len(file) - file.tell()} bytes too many")
    tensors: dict[str, Tensor] = {}
    for flax_name, place in places.items():
        tensors[torch_name(flax_name)] = _torch_tensor(path, flax_name, place)
    return Source(path, (path,), tensors)


def torch_name(name: str) -> str:
    """Return PyTorch's name of a parameter of diffusers' or transformers' Flax networks."""
    name = name.removeprefix("params.")
    # Lists are spelt down_blocks_0 in Flax; linear_1 is called so in both.
    name = re.sub(r"(?<!linear)_(\d+)(?=\.|$)", r".\1", name)
    return re.sub(r"\.(?:kernel|scale|embedding)$", ".weight", name)


def _torch_tensor(path: Path, name: str, place: _Place) -> Tensor:
    rank = len(place.shape)
    axes = _TORCH_AXES.get(rank) if name.endswith(".kernel") else None
    axes = tuple(range(rank)) if axes is None else axes
    shape = tuple(place.shape[axis] for axis in axes)
    return Tensor(
        shape,
        place.dtype,
        lambda: read_span(path, place.offset, place.shape, place.dtype).transpose(axes),
    )


def _index(file: mmap.mmap, size: int, path: tuple[str, ...], places: dict[str, _Place]) -> None:
    """Note the arrays of the value that starts here, and stop behind it."""
    kind = _byte(file)
    if 0x80 <= kind <= 0x8F or kind in _MAP_SIZES:
        count = kind & 0x0F if kind <= 0x8F else _number(file, _MAP_SIZES[kind])
        for _ in range(count):
            _index(file, size, (*path, _text(file)), places)
        return
    if kind in _FIXED_EXTENSIONS:
        length = _FIXED_EXTENSIONS[kind]
    elif kind in _EXTENSION_SIZES:
        length = _number(file, _EXTENSION_SIZES[kind])
    else:
        raise ValueError(f"{'.'.join(path)} is no array (type {kind:#x})")
    if _byte(file) != _ARRAY_TYPE:
        raise ValueError(f"{'.'.join(path)} is no array")
    end = file.tell() + length
    if end > size:
        raise ValueError(f"{'.'.join(path)} ends {end - size} bytes behind the file")
    places[".".join(path)] = _array(file, end)
    file.seek(end)


def _array(file: mmap.mmap, end: int) -> _Place:
    if _byte(file) != 0x93:
        raise ValueError("an array is not stored as shape, type and bytes")
    rank = _byte(file)
    if not 0x90 <= rank <= 0x9F:
        raise ValueError("the shape of an array is no list")
    shape = tuple(_integer(file) for _ in range(rank & 0x0F))
    dtype = _DTYPES[_text(file)]
    length = _number(file, _BYTES_SIZES.get(_byte(file)))
    if length != math.prod(shape) * dtype.itemsize or file.tell() + length != end:
        raise ValueError(f"{length} bytes for shape {shape} of {dtype}")
    return _Place(file.tell(), shape, dtype)


def _byte(file: mmap.mmap) -> int:
    return _number(file, ">B")


def _number(file: mmap.mmap, code: str | None) -> int:
    if code is None:
        raise ValueError("not the type of value that an array has here")
    return struct.unpack(code, file.read(struct.calcsize(code)))[0]


def _integer(file: mmap.mmap) -> int:
    kind = _byte(file)
    return kind if kind < 0x80 else _number(file, _INTEGERS.get(kind))


def _text(file: mmap.mmap) -> str:
    kind = _byte(file)
    length = kind & 0x1F if 0xA0 <= kind <= 0xBF else _number(file, _TEXT_SIZES.get(kind))
    return file.read(length).decode()
