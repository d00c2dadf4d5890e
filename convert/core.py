"""The conversion of any model: plan everything, stream tensor by tensor, report.

Nothing is written before every name, shape and type is known to fit; no more than some tensors are
held at a time; the model's folder appears only when complete.
"""

import dataclasses
import importlib.metadata
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from convert.folders import describe
from convert.read import Source, Tensor
from convert.rules import Misfit, Plan, Rule, Target, misfits, resolve, transform
from tpc_jax import __version__
from tpc_jax.errors import UserError
from tpc_jax.io.atomic import write_json
from tpc_jax.model import params as P
from tpc_jax.model.checkpoint import LazyArray, new_model, write_model
from tpc_jax.model.params import Network, Params

REPORT_FILE = "conversion.json"


@dataclasses.dataclass(frozen=True)
class Part:
    """Where the numbers of one network come from.

    Attributes:
        network: Its name in our model.
        sources: Weight files, each with the rule table of its layout.
    """

    network: str
    sources: Sequence[tuple[Source, Sequence[Rule]]]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name."""
        return {name: t for source, _ in self.sources for name, t in source.tensors.items()}


# Computes an array, given a function that reads the parameters of a network in float32.
Compute = Callable[[Callable[[str], Params]], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Conversion:
    """All that makes up one model.

    Attributes:
        config: Plain values for the model's config file, among them "animator".
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
            fit; then with the full list.
    """
    kind = np.dtype(getattr(jnp, dtype))
    faults: list[str] = []
    with new_model(out) as partial:
        plans = plan_parts(conversion)
        total = sum(P.count(network.spec) for network in conversion.networks.values())
        _check_space(partial, total * kind.itemsize)
        with tqdm(total=total, desc="converting", unit_scale=True, disable=None) as bar:
            arrays = _lazy_arrays(conversion, plans, kind, faults, bar.update)
            write_model(partial, conversion.config, arrays)
        if faults:
            raise UserError(_listed(faults))
        for name, path in conversion.copies.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, partial / name)
        report = _report(conversion, plans, dtype)
        write_json(partial / REPORT_FILE, report)
    return report


def plan_parts(conversion: Conversion) -> dict[str, Plan]:
    """Return where every tensor goes, by network.

    Raises:
        UserError: Something does not fit; all faults of all networks are listed.
    """
    plans, faults = {}, []
    for part in conversion.parts:
        try:
            plans[part.network] = _plan_part(part, conversion.networks[part.network])
        except Misfit as error:
            files = ", ".join(source.path.name for source, _ in part.sources)
            faults += [f"{part.network} ({files}): {fault}" for fault in error.faults]
    if faults:
        raise UserError(_listed(faults))
    return plans


def _plan_part(part: Part, network: Network) -> Plan:
    targets: dict[str, Target] = {}
    ignored: tuple[str, ...] = ()
    faults = []
    for source, rules in part.sources:
        own, unwanted, unknown = resolve(rules, source.tensors)
        faults += unknown
        faults += [f"{name} is in several files" for name in own if name in targets]
        targets |= own
        ignored += (*unwanted, *(f"{name} (no tensor)" for name in source.others))
    tensors = {name: tensor for name, tensor in part.tensors.items() if name in targets}
    faults += misfits(targets, {name: t.shape for name, t in tensors.items()}, network)
    faults += [
        f"{name} has numbers of type {tensor.dtype}"
        for name, tensor in tensors.items()
        if not jnp.issubdtype(tensor.dtype, jnp.floating)
    ]
    if faults:
        raise Misfit(faults)
    return Plan(targets, ignored)


def _lazy_arrays(
    conversion: Conversion,
    plans: Mapping[str, Plan],
    dtype: np.dtype,
    faults: list[str],
    advance: Callable[[int], Any],
) -> dict[str, LazyArray]:
    """Describe all parameters; reading one notes what is wrong with its numbers in `faults`."""

    def lazy(path: str, shape: tuple[int, ...], make: Callable[[], np.ndarray]) -> LazyArray:
        def read() -> np.ndarray:
            array = np.ascontiguousarray(make().astype(dtype))
            if not np.isfinite(array).all():
                faults.append(f"{path} has NaN or infinity as {dtype}")
            advance(array.size)
            return array

        return LazyArray(shape, dtype, read)

    arrays = {}
    for part in conversion.parts:
        shapes = {path: leaf.shape for path, leaf in _flat(conversion, part.network).items()}
        tensors = part.tensors
        for name, target in plans[part.network].targets.items():

            def make(tensor=tensors[name], target=target) -> np.ndarray:
                return transform(tensor.read(), target.kind)

            path = f"{part.network}.{target.path}"
            arrays[path] = lazy(path, shapes[target.path], make)

    def load(name: str) -> Params:
        return _load(conversion, plans, name)

    for path, compute in conversion.computed.items():
        network, _, inner = path.partition(".")
        shape = _flat(conversion, network)[inner].shape
        arrays[path] = lazy(path, shape, lambda compute=compute: compute(load))
    return arrays


def _flat(conversion: Conversion, network: str) -> dict[str, jax.ShapeDtypeStruct]:
    return P.flatten(conversion.networks[network].spec)


def _load(conversion: Conversion, plans: Mapping[str, Plan], name: str) -> Params:
    """Return the parameters of one network in float32."""
    (tensors,) = (part.tensors for part in conversion.parts if part.network == name)
    flat = {
        target.path: jnp.asarray(transform(tensors[source].read(), target.kind), jnp.float32)
        for source, target in plans[name].targets.items()
    }
    return P.unflatten(conversion.networks[name], flat)


def _check_space(folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise UserError(
            f"{folder.parent}: the model needs {wanted / 1e9:.1f} GB, only {free / 1e9:.1f} GB "
            "are free; make room or choose another output path"
        )


def _listed(faults: Sequence[str]) -> str:
    return f"{len(faults)} faults, nothing is converted:\n" + "\n".join(faults)


def _report(conversion: Conversion, plans: Mapping[str, Plan], dtype: str) -> dict[str, Any]:
    packages = ("jax", "flax", "orbax-checkpoint", "numpy")
    networks = {
        part.network: {
            "parameters": P.count(conversion.networks[part.network].spec),
            "used": {name: t.path for name, t in plans[part.network].targets.items()},
            "ignored": list(plans[part.network].ignored),
        }
        for part in conversion.parts
    }
    return {
        "animator": conversion.config["animator"],
        "dtype": dtype,
        "parameters": {n: P.count(network.spec) for n, network in conversion.networks.items()},
        "files": {name: describe(path) for name, path in conversion.inputs.items()},
        "networks": networks,
        "computed": list(conversion.computed),
        "versions": {
            "tpc-jax": __version__,
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }
