"""Stored models: a folder with the configuration as JSON and the parameters in Orbax format.

Parameters are stored as a flat dict by dotted path, so that no list index can be mistaken. They
are written and read in portions, so that memory holds the model at most once: not at all when a
conversion streams it from file to file.
"""

import contextlib
import dataclasses
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from tpc_jax.errors import UserError
from tpc_jax.io.atomic import atomic_path
from tpc_jax.model import params as P
from tpc_jax.model.params import Network, Params

CONFIG_FILE = "config.json"
PARAMS_FOLDER = "params"

# Bytes handed to Orbax at a time, which needs about twice as much beside them.
_PORTION = 256 * 2**20


@dataclasses.dataclass(frozen=True)
class LazyArray:
    """An array that is made only when it is written, and then let go.

    Attributes:
        shape: Its shape.
        dtype: Its type.
        read: Makes it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize


class _LazyHandler(ocp.type_handlers.NumpyHandler):
    """Makes and writes lazy arrays in portions; on disk they are common arrays."""

    def __init__(self):
        super().__init__(deepcopy_host_arrays=False)

    async def serialize(self, values, infos, args=None):
        """Write everything before returning: nothing is left to wait for."""
        args = args or [ocp.SaveArgs()] * len(values)
        for portion in _portions(list(range(len(values))), [v.nbytes for v in values]):
            arrays = [values[i].read() for i in portion]
            futures = await super().serialize(
                arrays, [infos[i] for i in portion], [args[i] for i in portion]
            )
            for future in futures:
                future.result()
        return []


def save_checkpoint(
    directory: Path,
    config: Mapping[str, Any],
    params: Params,
    files: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write a model; the folder appears under its name only when complete.

    Args:
        directory: Folder to create; must not exist.
        config: Plain values, among them "animator".
        params: Nested dict of arrays, one entry per network.
        files: Further text files by name, such as a model card.

    Raises:
        UserError: The folder exists or cannot be written.
    """
    with new_model(directory) as partial:
        write_model(partial, config, P.flatten(params))
        for name, text in files.items():
            (partial / name).write_text(text)


@contextlib.contextmanager
def new_model(directory: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `directory` when the block ends well.

    Raises:
        UserError: The folder exists or cannot be written.
    """
    if directory.exists():
        raise UserError(f"{directory}: exists already; remove it or choose another folder")
    with atomic_path(directory, directory=True) as partial:
        yield partial


def write_model(
    folder: Path,
    config: Mapping[str, Any],
    flat: Mapping[str, LazyArray | np.ndarray | jax.Array],
) -> None:
    """Write configuration and parameters into a folder that exists.

    Args:
        folder: Where to.
        config: Plain values, among them "animator".
        flat: The parameters by dotted path, the network's name in front.
    """
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")
    # Orbax warns where nothing is registered for arrays of JAX.
    registry = ocp.type_handlers.create_type_handler_registry(
        (LazyArray, _LazyHandler()), (jax.Array, ocp.type_handlers.ArrayHandler())
    )
    handler = ocp.PyTreeCheckpointHandler(type_handler_registry=registry)
    params = (folder / PARAMS_FOLDER).absolute()
    with ocp.Checkpointer(handler) as checkpointer:
        tree = {path: _lazy(array) for path, array in flat.items()}
        checkpointer.save(params, args=ocp.args.PyTreeSave(tree))
    # Orbax's note of success holds the path it was written to, which is nobody's business.
    (params / "commit_success.txt").unlink(missing_ok=True)


def _lazy(array: LazyArray | np.ndarray | jax.Array) -> LazyArray:
    if isinstance(array, LazyArray):
        return array
    return LazyArray(array.shape, np.dtype(array.dtype), lambda: np.asarray(array))


def read_config(directory: Path) -> dict[str, Any]:
    """Return a stored model's configuration.

    Raises:
        UserError: The folder is not a stored model.
    """
    path = directory / CONFIG_FILE
    try:
        config = json.loads(path.read_text())
    except OSError:
        raise UserError(
            f"{directory}: no {CONFIG_FILE} there; give the folder of a converted or trained model"
        ) from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); restore the file") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: not a table of settings; restore the file")
    return config


def load_params(
    directory: Path, networks: Mapping[str, Network], dtype: jnp.dtype | type = jnp.float32
) -> Params:
    """Return a stored model's parameters, checked against its networks.

    Args:
        directory: Folder of the model.
        networks: The networks that the model's configuration describes.
        dtype: Type to hold them in; they are cast while they are read.

    Raises:
        UserError: Parameters are missing, surplus, misshapen or unreadable.
    """
    wanted = {name: network.spec for name, network in networks.items()}
    folder = (directory / PARAMS_FOLDER).absolute()
    with ocp.PyTreeCheckpointer() as checkpointer:
        stored = _stored_shapes(checkpointer, folder)
        try:
            P.check(Network(None, wanted), stored)
        except ValueError as error:
            raise UserError(f"{directory}: {error}") from error
        sizes = [math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in stored.values()]
        flat = {}
        for portion in _portions(list(stored), sizes):
            targets = {path: _target(stored[path], dtype) for path in portion}
            try:
                flat |= checkpointer.restore(folder, args=_restore_some(targets))
            except Exception as error:  # Orbax raises no narrower one for damaged files.
                raise _damaged(folder) from error
    params = {}
    for name, network in networks.items():
        own = {path: flat[f"{name}.{path}"] for path in P.flatten(network.spec)}
        params[name] = P.unflatten(network, own)
    return params


def _portions(items: Sequence, sizes: Sequence[int]) -> Iterator[list]:
    """Split items, in order, into lists of about `_PORTION` bytes."""
    portion, total = [], 0
    for item, size in zip(items, sizes, strict=True):
        portion.append(item)
        total += size
        if total >= _PORTION:
            yield portion
            portion, total = [], 0
    if portion:
        yield portion


def _stored_shapes(checkpointer, folder: Path) -> dict[str, jax.ShapeDtypeStruct]:
    metadata = checkpointer.metadata(folder).item_metadata if folder.is_dir() else None
    if metadata is None:
        raise _damaged(folder)
    return {
        path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for path, leaf in metadata.tree.items()
    }


def _damaged(folder: Path) -> UserError:
    return UserError(f"{folder}: missing or damaged; train or convert the model again")


def _target(stored: jax.ShapeDtypeStruct, dtype) -> jax.ShapeDtypeStruct:
    """Say how to hold a parameter: cast, and on the first device whatever machine stored it."""
    kept = dtype if jnp.issubdtype(stored.dtype, jnp.floating) else stored.dtype
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(stored.shape, kept, sharding=sharding)


def _restore_some(targets: Mapping[str, jax.ShapeDtypeStruct]):
    restore_args = ocp.checkpoint_utils.construct_restore_args(targets)
    return ocp.args.PyTreeRestore(targets, restore_args=restore_args, partial_restore=True)


def to_storage(params: Params, dtype: jnp.dtype | type = jnp.bfloat16) -> Params:
    """Cast to the type of storage, on the host."""
    return jax.tree.map(np.asarray, P.cast(params, dtype))
