"""Feature networks in Flax NNX; `tpc_jax.metrics` itself can be imported without Flax."""

from tpc_jax.metrics.networks.i3d import I3D
from tpc_jax.metrics.networks.inception import InceptionV3
from tpc_jax.metrics.networks.lpips import LPIPS
from tpc_jax.metrics.networks.registry import FeatureNetwork, feature_network
from tpc_jax.metrics.networks.resnet3d import ResNet3D
from tpc_jax.metrics.networks.store import LoadedNetwork, load_feature_network

__all__ = [
    "I3D",
    "LPIPS",
    "FeatureNetwork",
    "InceptionV3",
    "LoadedNetwork",
    "ResNet3D",
    "feature_network",
    "load_feature_network",
]
