"""Feature networks as stored by the converter or by training: from a folder to parameters."""

from pathlib import Path
from typing import Any, NamedTuple, get_args

from tpc_jax.errors import UserError
from tpc_jax.metrics.networks.registry import FeatureNetwork, feature_network
from tpc_jax.model.checkpoint import load_params, read_config
from tpc_jax.model.params import Network, Params

# Under this name the parameters stand in the folder.
NETWORK = "network"
_KIND, _SHRINK = "feature_network", "shrink"


class LoadedNetwork(NamedTuple):
    """A feature network with its numbers.

    Attributes:
        name: Which one.
        network: Its structure, as `feature_network` describes it.
        params: Its parameters.
    """

    name: FeatureNetwork
    network: Network
    params: Params


def stored_config(name: FeatureNetwork, shrink: int = 1) -> dict[str, Any]:
    """Return what the folder's config file says of a feature network."""
    return {_KIND: name, _SHRINK: shrink}


def load_feature_network(folder: Path, wanted: FeatureNetwork | None = None) -> LoadedNetwork:
    """Load a feature network that `tpc-jax convert` has made.

    Args:
        folder: Its folder.
        wanted: The network that the metric needs; None takes any.

    Raises:
        UserError: The folder holds none, another one, or a damaged one.
    """
    config = read_config(folder)
    name, shrink = config.get(_KIND), config.get(_SHRINK)
    known: tuple[FeatureNetwork, ...] = get_args(FeatureNetwork)
    if name not in known or not isinstance(shrink, int) or shrink < 1:
        raise UserError(
            f"{folder}: is no feature network of {', '.join(known)}; make one with "
            "`tpc-jax convert`"
        )
    if wanted is not None and name != wanted:
        raise UserError(f"{folder}: holds {name}, the metric needs {wanted}; give its folder")
    network = feature_network(name, shrink)
    return LoadedNetwork(name, network, load_params(folder, {NETWORK: network})[NETWORK])
