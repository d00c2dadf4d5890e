"""The feature networks by name: what metrics load and the converter fills."""

from typing import Literal, get_args

from tpc_jax.metrics.networks.i3d import I3D
from tpc_jax.metrics.networks.inception import InceptionV3
from tpc_jax.metrics.networks.lpips import LPIPS
from tpc_jax.metrics.networks.resnet3d import ResNet3D
from tpc_jax.model.params import Network, abstract

FeatureNetwork = Literal["lpips_vgg", "lpips_alex", "inception_v3", "resnet3d_50", "i3d"]

_MAKERS = {
    "lpips_vgg": (LPIPS, "vgg"),
    "lpips_alex": (LPIPS, "alex"),
    "inception_v3": (InceptionV3,),
    "resnet3d_50": (ResNet3D,),
    "i3d": (I3D,),
}


def feature_network(name: FeatureNetwork, shrink: int = 1) -> Network:
    """Describe a feature network without its numbers.

    Args:
        name: `lpips_vgg` and `lpips_alex` for LPIPS, `inception_v3` for FID, `resnet3d_50` for
            FID-VID, `i3d` for FVD.
        shrink: Divides the published channel counts; above 1 the network is small enough to train
            and no published weights fit.

    Raises:
        ValueError: The name is unknown or `shrink` is below 1.
    """
    if name not in _MAKERS:
        raise ValueError(f"name must be one of {get_args(FeatureNetwork)}, got {name!r}")
    if shrink < 1:
        raise ValueError(f"shrink must be at least 1, got {shrink}")
    maker, *options = _MAKERS[name]
    return abstract(maker, *options, shrink)
