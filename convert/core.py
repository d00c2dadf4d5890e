"""The conversion of any model: plan everything, stream tensor by tensor, report.

Nothing is written before every name, shape and type is known to fit; no more than some tensors are
held at a time; the model's folder appears only when complete.
"""

import dataclasses
import functools
import importlib.metadata
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from tpc_jax._version import __version__
from tpc_jax.convert.folders import describe
from tpc_jax.convert.read import Source, Tensor
from tpc_jax.convert.rules import Rule, Target, misfits, resolve, transform
from tpc_jax.errors import UserError
from tpc_jax.io.atomic import write_json
from tpc_jax.model import params as P
from tpc_jax.model.checkpoint import LazyArray, new_model, write_model
from tpc_jax.model.params import Network, Params

REPORT_FILE = "conversion.json"
_MAX_LISTED = 20  # faults


@dataclasses.dataclass(frozen=True)
class Part:
    """Where the numbers of one network come from.

    Attributes:
        network: Its name in our model.
        sources: Weight files, each with the rule table of its layout.
    """

    network: str
    sources: Sequence[tuple[Source, Sequence[Rule]]]


class Filling(NamedTuple):
    """A source tensor that is known to fit a parameter."""

    source: Source
    tensor: Tensor
    target: Target

    def read(self) -> np.ndarray:
        """Read the parameter in our order of axes."""
        return transform(self.tensor.read(), self.target.kind)


class PartPlan(NamedTuple):
    """What fills one network.

    Attributes:
        fillings: Source tensors by their names.
        ignored: Names of source tensors that rules say to ignore, and of entries that are none.
    """

    fillings: dict[str, Filling]
    ignored: tuple[str, ...]


Plans = Mapping[str, PartPlan]
# Computes an array, given a function that reads the parameters of a network in float32.
Compute = Callable[[Callable[[str], Params]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Conversion:
    """All that makes up one model.

    Attributes:
        config: Plain values for the model's config file, among them "animator" or
            "feature_network".
        networks: The networks that the config describes.
        parts: Where the numbers of most networks come from.
        computed: How the others are computed, by dotted path.
        inputs: Every file that is read, by its name in the report.
        copies: Files to take along, by their path inside the model's folder.
    """

    config: Mapping[str, Any]
    networks: Mapping[str, Network]
    parts: Sequence[Part]
    computed: Mapping[str, Compute]
    inputs: Mapping[str, Path]
    copies: Mapping[str, Path] = dataclasses.field(default_factory=dict)


def convert_model(conversion: Conversion, out: Path, dtype: str = "float32") -> dict[str, Any]:
    """Convert a model into a new folder.

    Args:
        conversion: What to convert.
        out: Folder to make; must not exist.
        dtype: Type of storage, "float32" or "bfloat16".

    Returns:
        The report, which is also stored beside the parameters.

    Raises:
        UserError: The folder exists, a file is damaged, or names, shapes, types or numbers do not
            fit; then with a list.
    """
    kind = np.dtype(getattr(jnp, dtype))
    faults: list[str] = []
    digests = _Digests()
    with new_model(out) as partial:
        plans = plan_parts(conversion)
        total = sum(P.count(network.spec) for network in conversion.networks.values())
        _check_space(partial, total * kind.itemsize)
        with tqdm(total=total, desc="converting", unit_scale=True, disable=None) as bar:

            def checked(path: str, array: np.ndarray) -> np.ndarray:
                array = np.ascontiguousarray(array.astype(kind))
                if not np.isfinite(array).all():
                    faults.append(f"{path} has NaN or infinity as {dtype}")
                bar.update(array.size)
                return array

            arrays = _arrays(conversion, plans, digests)
            lazy = {
                path: _lazy(path, shape, make, kind, checked)
                for path, (shape, make) in arrays.items()
            }
            for name, network in conversion.networks.items():
                start = f"{name}."
                own = {p.removeprefix(start): x for p, x in lazy.items() if p.startswith(start)}
                P.check(network, own)
            write_model(partial, conversion.config, lazy)
        if faults:
            raise UserError(_listed(faults))
        for name, path in conversion.copies.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, partial / name)
        report = _report(conversion, plans, dtype, digests)
        write_json(partial / REPORT_FILE, report)
    return report


class _Digests(dict[Path, dict[str, Any]]):
    """Size and checksum of files by path, computed when first asked for."""

    def __missing__(self, path: Path) -> dict[str, Any]:
        self[path] = describe(path)
        return self[path]


def plan_parts(conversion: Conversion) -> dict[str, PartPlan]:
    """Return where every tensor goes, by network.

    Raises:
        UserError: Something does not fit; faults of all networks are listed, 20 at most.
    """
    plans, faults = {}, []
    for part in conversion.parts:
        plan, own = _plan_part(part, conversion.networks[part.network])
        plans[part.network] = plan
        files = ", ".join(source.path.name for source, _ in part.sources)
        faults += [f"{part.network} ({files}): {fault}" for fault in own]
    if faults:
        raise UserError(_listed(faults))
    return plans


def _plan_part(part: Part, network: Network) -> tuple[PartPlan, list[str]]:
    fillings: dict[str, Filling] = {}
    ignored: list[str] = []
    faults = []
    for source, rules in part.sources:
        targets, unwanted, unknown = resolve(rules, source.tensors)
        ignored += [*unwanted, *(f"{name} (no tensor)" for name in source.others)]
        faults += [
            *unknown,
            *(f"{name} is in several files" for name in targets if name in fillings),
        ]
        fillings |= {
            name: Filling(source, source.tensors[name], target) for name, target in targets.items()
        }
    targets = {name: filling.target for name, filling in fillings.items()}
    tensors = {name: filling.tensor for name, filling in fillings.items()}
    faults += misfits(targets, {name: t.shape for name, t in tensors.items()}, network)
    faults += [
        f"{name} has numbers of type {tensor.dtype}"
        for name, tensor in tensors.items()
        if not jnp.issubdtype(tensor.dtype, jnp.floating)
    ]
    return PartPlan(fillings, tuple(ignored)), faults


def _arrays(
    conversion: Conversion, plans: Plans, digests: _Digests
) -> dict[str, tuple[tuple[int, ...], Callable[[], np.ndarray]]]:
    """Return shape and maker of every parameter by its path in the stored model."""

    def load(name: str) -> Params:
        flat = {
            filling.target.path: jnp.asarray(filling.read(), jnp.float32)
            for filling in plans[name].fillings.values()
        }
        return P.unflatten(conversion.networks[name], flat)

    def make(filling: Filling) -> np.ndarray:
        # The checksum reads a file just before its tensors are read, while it is in the cache.
        for file in filling.source.files:
            digests[file]
        return filling.read()

    makers: dict[str, Callable[[], np.ndarray]] = {
        f"{network}.{filling.target.path}": functools.partial(make, filling)
        for network, plan in plans.items()
        for filling in plan.fillings.values()
    }
    makers |= {
        path: functools.partial(compute, load) for path, compute in conversion.computed.items()
    }
    specs = P.flatten(_specs(conversion))
    return {path: (specs[path].shape, maker) for path, maker in makers.items()}


def _specs(conversion: Conversion) -> Params:
    return {name: network.spec for name, network in conversion.networks.items()}


def _lazy(path: str, shape: tuple[int, ...], make, dtype: np.dtype, checked) -> LazyArray:
    return LazyArray(shape, dtype, lambda: checked(path, make()))


def _check_space(folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise UserError(
            f"{folder.parent}: the model needs {wanted / 1e9:.1f} GB, only {free / 1e9:.1f} GB "
            "are free; make room or choose another output path"
        )


def _listed(faults: Sequence[str]) -> str:
    more = len(faults) - _MAX_LISTED
    listed = [*faults[:_MAX_LISTED], *([f"and {more} more"] if more > 0 else [])]
    return f"{len(faults)} faults, nothing is converted:\n" + "\n".join(listed)


def _report(conversion: Conversion, plans: Plans, dtype: str, digests: _Digests) -> dict[str, Any]:
    packages = ("jax", "flax", "orbax-checkpoint", "numpy")
    networks = {
        name: {
            "used": {source: filling.target.path for source, filling in plan.fillings.items()},
            "ignored": list(plan.ignored),
        }
        for name, plan in plans.items()
    }
    kinds = ("animator", "feature_network")
    return {
        **{kind: conversion.config[kind] for kind in kinds if kind in conversion.config},
        "dtype": dtype,
        "parameters": {n: P.count(network.spec) for n, network in conversion.networks.items()},
        "files": {name: digests[path] for name, path in conversion.inputs.items()},
        "networks": networks,
        "computed": list(conversion.computed),
        "versions": {
            "tpc-jax": __version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }
