"""Pickles of state dicts, interpreted here: containers and descriptions of tensors, nothing else.

A pickle is a program. Python's interpreter can be kept from calling functions, but not from
allocating gigabytes for a few bytes that ask for them. This one knows only the instructions that
PyTorch writes; what it holds is bounded by the length of the pickle and by a number of steps.
"""

import io
import mmap
import pickletools
from collections.abc import Callable, Sized
from typing import Any, NamedTuple, cast

import ml_dtypes
import numpy as np

# What malformed pickles raise.
MALFORMED = (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError)
# Some 60,000 tensors; whatever the steps do, they hold no more than some 300 MB.
MAX_STEPS = 2**21
_MAX_AXES = 64  # as in NumPy
_MAX_ARGUMENTS = 10

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


class Storage(NamedTuple):
    """A run of numbers that tensors are views of."""

    key: str
    dtype: np.dtype
    size: int


class View(NamedTuple):
    """A tensor as the pickle describes it; offset and strides count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Refused(Exception):
    """The pickle wants something that state dicts do not need."""


class _Inert(NamedTuple):
    """A name that stands for itself, whatever is done with it: nothing of it is imported or run."""

    name: str


class _Call(NamedTuple):
    """A function that pickles may call."""

    run: Callable[..., Any]


def unpickle(file: io.BytesIO | mmap.mmap) -> tuple[Any, dict[str, Storage]]:
    """Interpret the pickle that starts here, and stop behind it.

    Args:
        file: In memory, so that no more can be read than it holds.

    Returns:
        What the pickle describes, made of dicts, lists, tuples, plain values and views; and the
        storages of the views by key.

    Raises:
        Refused: It wants anything else, or takes too many steps.
        Exception: It is malformed; see `MALFORMED`.
    """
    machine = _Machine()
    machine.run(file)
    return machine.stack.pop(), machine.storages


def _dict(pairs: Any = ()) -> dict:
    return {_key(key): value for key, value in pairs}


def _key(key: Any) -> Any:
    # The hash of nested tuples takes a time exponential in their depth, and is not kept.
    if isinstance(key, _Inert):
        return key.name
    if key is not None and not isinstance(key, str | int | float | bytes):
        raise Refused(f"a {type(key).__name__} as a key")
    if isinstance(key, int) and key.bit_length() > 64:
        raise Refused("a huge number as a key")
    return key


def _view(storage: Any, offset: Any, shape: Any, strides: Any, *_ignored: Any) -> View:
    if not isinstance(storage, Storage):
        raise ValueError("a tensor without storage")
    (offset,) = _sizes((offset,))
    return View(storage, offset, _sizes(shape), _sizes(strides))


def _view_of_bytes(storage: Any, *arguments: Any) -> View:
    """Describe a tensor of a type that PyTorch stores as bytes."""
    dtype = arguments[5]
    if not (isinstance(storage, Storage) and isinstance(dtype, np.dtype)):
        raise ValueError("a tensor without storage or type")
    return _view(storage._replace(dtype=dtype, size=storage.size // dtype.itemsize), *arguments)


def _sizes(numbers: Any) -> tuple[int, ...]:
    if len(numbers) > _MAX_AXES:
        raise ValueError(f"a tensor with {len(numbers)} axes")
    if not all(isinstance(number, int) and 0 <= number < 2**63 for number in numbers):
        raise ValueError("a tensor with a size, a stride or an offset that is none")
    return tuple(numbers)


# What trainers store beside the state dict, as in Stable Diffusion's own .ckpt files.
_BESIDE = (
    ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint"),
    ("lightning.pytorch.callbacks.model_checkpoint", "ModelCheckpoint"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("_codecs", "encode"),
)
_GLOBALS: dict[tuple[str, str], Any] = {
    **{names: _Inert(".".join(names)) for names in _BESIDE},
    ("collections", "OrderedDict"): _Call(_dict),
    ("torch._utils", "_rebuild_tensor"): _Call(_view),
    ("torch._utils", "_rebuild_tensor_v2"): _Call(_view),
    ("torch._utils", "_rebuild_tensor_v3"): _Call(_view_of_bytes),
    ("torch._utils", "_rebuild_parameter"): _Call(lambda data, *_ignored: data),
    ("torch", "Size"): _Call(_sizes),
    # Nothing in a set is the tensor of a name.
    ("builtins", "set"): _Call(lambda *_ignored: None),
    ("__builtin__", "set"): _Call(lambda *_ignored: None),
    **{("torch", name): np.dtype(kind) for name, kind in _STORAGES.items()},
    ("torch.storage", "UntypedStorage"): np.dtype(np.uint8),
    ("torch", "float8_e4m3fn"): np.dtype(ml_dtypes.float8_e4m3fn),
    ("torch", "float8_e5m2"): np.dtype(ml_dtypes.float8_e5m2),
}


class _Machine:
    """The state between two steps: a stack, those below the last marks, and remembered values."""

    def __init__(self):
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.spent = 0

    def run(self, file: io.BytesIO | mmap.mmap) -> None:
        # The types of the module know neither mapped files nor what an argument is.
        steps: Any = pickletools.genops(cast(Any, file))
        for opcode, argument, _ in steps:
            self.spent += 1
            if self.spent > MAX_STEPS:
                raise Refused(f"more than {MAX_STEPS:,} steps")
            name, stack = opcode.name, self.stack
            if name in _VALUES:
                stack.append(argument)
            elif name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            elif name in _EMPTY:
                stack.append(_EMPTY[name]())
            elif name in _PUTS:
                self.memo[argument] = stack[-1]
            elif name == "MEMOIZE":
                self.memo[len(self.memo)] = stack[-1]
            elif name in _GETS:
                stack.append(self.memo[argument])
            elif name == "DUP":
                stack.append(stack[-1])
            elif name == "MARK":
                self.below.append(stack)
                self.stack = []
            elif name in _ON_MARKED:
                self.stack = self.below.pop()
                _ON_MARKED[name](self, stack)
            elif name in _ON_LAST:
                count, act = _ON_LAST[name]
                if len(stack) < count:
                    raise IndexError("nothing on the stack")
                last = stack[-count:]
                del stack[-count:]
                act(self, last)
            elif name == "GLOBAL":
                self.find(argument.split(" "))
            elif name not in _NOTHING:
                raise Refused(f"the instruction {name}")

    def make_tuple(self, values: list[Any]) -> None:
        self.stack.append(tuple(values))

    def extend(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError("values for something that is no list")
        self.stack[-1].extend(values)

    def update(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise TypeError("entries for something that is no dict")
        self.stack[-1].update(_dict_of(values))

    def find(self, names: list[Any]) -> None:
        module, name = names
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a global whose name is no text")
        if (module, name) not in _GLOBALS:
            raise Refused(f"{module}.{name}")
        self.stack.append(_GLOBALS[module, name])

    def call(self, values: list[Any]) -> None:
        function, arguments = values
        if isinstance(function, _Inert) and isinstance(arguments, tuple):
            self.stack.append(function)
            return
        if not (isinstance(function, _Call) and isinstance(arguments, tuple)):
            raise Refused("a call of another kind")
        if len(arguments) > _MAX_ARGUMENTS:
            raise ValueError(f"a call with {len(arguments)} arguments")
        # Containers may be copied, which is to cost as much as having written them.
        self.spent += sum(len(a) for a in arguments if isinstance(a, Sized))
        self.stack.append(function.run(*arguments))

    def drop_state(self, _state: list[Any]) -> None:
        """Ignore the attributes of a state dict, which are the versions of its modules."""
        if not isinstance(self.stack[-1], dict | _Inert):
            raise Refused("an object with a state")

    def open_storage(self, values: list[Any]) -> None:
        kind, dtype, key, _device, size, *view = values[0]
        is_plain = isinstance(dtype, np.dtype) and isinstance(key, str | int)
        if kind != "storage" or not is_plain or any(part is not None for part in view):
            raise Refused("a storage of another kind")
        (size,) = _sizes((size,))
        storage = Storage(str(key), dtype, size)
        if self.storages.setdefault(storage.key, storage) != storage:
            raise ValueError(f"storage {key} has two sizes or types")
        self.stack.append(storage)


def _dict_of(values: list[Any]) -> dict:
    return _dict(zip(values[::2], values[1::2], strict=True))


_NOTHING = {"PROTO", "FRAME", "STOP"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_SET": list, "EMPTY_DICT": dict}
_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_Act = Callable[[_Machine, list[Any]], Any]
# What is done with the values above the last mark.
_ON_MARKED: dict[str, _Act] = {
    "POP_MARK": lambda machine, marked: None,
    "TUPLE": _Machine.make_tuple,
    "LIST": lambda machine, marked: machine.stack.append(marked),
    "DICT": lambda machine, marked: machine.stack.append(_dict_of(marked)),
    "APPENDS": _Machine.extend,
    "ADDITEMS": _Machine.extend,
    "SETITEMS": _Machine.update,
}


# How many of the last values are taken off, and what is done with them.
_ON_LAST: dict[str, tuple[int, _Act]] = {
    "POP": (1, lambda machine, values: None),
    "TUPLE1": (1, _Machine.make_tuple),
    "TUPLE2": (2, _Machine.make_tuple),
    "TUPLE3": (3, _Machine.make_tuple),
    "APPEND": (1, _Machine.extend),
    "SETITEM": (2, _Machine.update),
    "STACK_GLOBAL": (2, _Machine.find),
    "REDUCE": (2, _Machine.call),
    "BUILD": (1, _Machine.drop_state),
    "BINPERSID": (1, _Machine.open_storage),
}
