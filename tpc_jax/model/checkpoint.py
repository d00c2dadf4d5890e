"""Stored models: a folder with the configuration as JSON and the parameters in Orbax format.

Parameters are stored as a flat dict by dotted path, so that no list index can be mistaken.
"""

import json
from collections.abc import Mapping
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
    if directory.exists():
        raise UserError(f"{directory}: exists already; remove it or choose another folder")
    with atomic_path(directory, directory=True) as partial:
        (partial / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")
        for name, text in files.items():
            (partial / name).write_text(text)
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save((partial / PARAMS_FOLDER).absolute(), P.flatten(params))
        # Orbax's note of success holds the path it was written to, which is nobody's business.
        (partial / PARAMS_FOLDER / "commit_success.txt").unlink(missing_ok=True)


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
        dtype: Type to hold them in.

    Raises:
        UserError: Parameters are missing, surplus, misshapen or unreadable.
    """
    wanted = {name: network.spec for name, network in networks.items()}
    folder = (directory / PARAMS_FOLDER).absolute()
    with ocp.StandardCheckpointer() as checkpointer:
        stored = _stored_shapes(checkpointer, folder)
        try:
            P.check(Network(None, wanted), stored)
        except ValueError as error:
            raise UserError(f"{directory}: {error}") from error
        try:
            flat = checkpointer.restore(folder, _on_one_device(stored))
        except Exception as error:  # Orbax raises no narrower one for damaged files.
            raise _damaged(folder) from error
    params = {}
    for name, network in networks.items():
        own = {path: flat[f"{name}.{path}"] for path in P.flatten(network.spec)}
        params[name] = P.unflatten(network, own)
    return P.cast(params, dtype)


def _stored_shapes(checkpointer, folder: Path) -> dict[str, jax.ShapeDtypeStruct]:
    metadata = checkpointer.metadata(folder).item_metadata if folder.is_dir() else None
    if metadata is None:
        raise _damaged(folder)
    return {
        path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for path, leaf in metadata.tree.items()
    }


def _damaged(folder: Path) -> UserError:
    return UserError(f"{folder}: missing or damaged; train or convert the model again")


def _on_one_device(stored: Mapping[str, jax.ShapeDtypeStruct]):
    """Place every parameter on the first device, whatever machine stored it."""
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return {
        path: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)
        for path, leaf in stored.items()
    }


def to_storage(params: Params, dtype: jnp.dtype | type = jnp.bfloat16) -> Params:
    """Cast to the type of storage, on the host."""
    return jax.tree.map(np.asarray, P.cast(params, dtype))
