"""Rules that turn a published state dict into the parameters of one of our networks.

Names and shapes are matched first, by `resolve` and `misfits`, so that every fault is known before
a single number is read; afterwards tensors can be taken over one at a time with `transform`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from tpc_jax.model.params import Network, flatten

Kind = Literal["conv", "conv1d", "conv3d", "linear", "norm", "copy"]

# Order of the source's axes in our layout; None keeps any shape.
AXES: dict[Kind, tuple[int, ...] | None] = {
    "conv": (2, 3, 1, 0),  # OIHW -> HWIO
    "conv1d": (2, 1, 0),  # OIT -> TIO
    "conv3d": (2, 3, 4, 1, 0),  # OITHW -> THWIO
    "linear": (1, 0),  # out, in -> in, out
    "norm": (0,),
    "copy": None,
}


class Rule(NamedTuple):
    """Where the tensors of some names go.

    Attributes:
        pattern: Regular expression for the whole source name.
        path: Dotted path of the parameter, with the groups of the pattern as in `re.Match.expand`;
            None: the tensor is knowingly ignored.
        kind: How the axes change.
    """

    pattern: str
    path: str | None
    kind: Kind = "copy"


class Target(NamedTuple):
    """The parameter that a source tensor fills."""

    path: str
    kind: Kind


def ignore(pattern: str) -> Rule:
    """Make the rule that source tensors of these names are not wanted."""
    return Rule(pattern, None)


def layer(kind: Kind, pattern: str, path: str = r"\g<layer>") -> tuple[Rule, Rule]:
    """Make the rules for weight and bias of layers.

    Args:
        kind: What the layers are.
        pattern: Regular expression for the whole name of a layer.
        path: Dotted path of the layer; the default keeps the name.
    """
    ours = "scale" if kind == "norm" else "kernel"
    return (
        Rule(rf"(?P<layer>{pattern})\.weight", rf"{path}.{ours}", kind),
        Rule(rf"(?P<layer>{pattern})\.bias", rf"{path}.bias"),
    )


def find_target(rules: Sequence[Rule], name: str) -> Target | None:
    """Return where the source tensor `name` goes, or None where it is ignored.

    The first rule that matches decides.

    Raises:
        ValueError: No rule matches.
    """
    for rule in rules:
        match = re.fullmatch(rule.pattern, name)
        if match is not None:
            return None if rule.path is None else Target(match.expand(rule.path), rule.kind)
    raise ValueError(f"no rule for {name}")


def resolve(
    rules: Sequence[Rule], names: Iterable[str]
) -> tuple[dict[str, Target], tuple[str, ...], list[str]]:
    """Find where source tensors go.

    Returns:
        The parameter that each tensor fills, the tensors to ignore, and what has no rule.
    """
    targets: dict[str, Target] = {}
    ignored, faults = [], []
    for name in names:
        try:
            target = find_target(rules, name)
        except ValueError as error:
            faults.append(str(error))
            continue
        if target is None:
            ignored.append(name)
        else:
            targets[name] = target
    return targets, tuple(ignored), faults


def misfits(
    targets: Mapping[str, Target], shapes: Mapping[str, tuple[int, ...]], network: Network
) -> list[str]:
    """Say what keeps source tensors from filling a network exactly once, with fitting shapes."""
    wanted = {path: leaf.shape for path, leaf in flatten(network.spec).items()}
    sources: dict[str, str] = {}  # by the path they fill
    faults = []
    for name, target in targets.items():
        first = sources.setdefault(target.path, name)
        if first != name:
            faults.append(f"{first} and {name} both fill {target.path}")
        elif fault := _misfit(name, tuple(shapes[name]), target, wanted):
            faults.append(fault)
    return faults + [
        f"nothing fills {path} {wanted[path]}" for path in wanted if path not in sources
    ]


def transform(array: np.ndarray, kind: Kind) -> np.ndarray:
    """Return the array, or a view of it, in our order of axes."""
    axes = AXES[kind]
    return array if axes is None else array.transpose(axes)


def _misfit(
    name: str, shape: tuple[int, ...], target: Target, wanted: Mapping[str, tuple[int, ...]]
) -> str | None:
    """Say what keeps a source tensor from filling its parameter."""
    if target.path not in wanted:
        return f"{name} would fill {target.path}, which the network does not have"
    axes = AXES[target.kind]
    fits_rank = axes is None or len(axes) == len(shape)
    ours = tuple(shape[axis] for axis in axes) if axes is not None and fits_rank else shape
    if fits_rank and ours == wanted[target.path]:
        return None
    return f"{name} {shape} ({target.kind}) does not fit {target.path} {wanted[target.path]}"
