"""The published feature networks that the evaluation metrics need: names and conversion.

| network | published file |
|---|---|
| `lpips_vgg` | torchvision's `vgg16-397923af.pth`, and `vgg.pth` of the lpips package (0.1) |
| `lpips_alex` | torchvision's `alexnet-owt-7be5be79.pth`, and `alex.pth` of that package |
| `inception_v3` | `pt_inception-2015-12-05-6726825d.pth` of pytorch-fid |
| `resnet3d_50` | `resnet-50-kinetics.pth`, its entry `state_dict` |
| `i3d` | `i3d_pretrained_400.pt` |
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tpc_jax.convert.core import Conversion, Part
from tpc_jax.convert.open import open_source
from tpc_jax.convert.recognise import refuse_foreign_tensors
from tpc_jax.convert.rules import Kind, Rule, ignore, layer
from tpc_jax.metrics.networks import FeatureNetwork, feature_network
from tpc_jax.metrics.networks.store import NETWORK, stored_config

_ROLES = ("network", "heads")
# DataParallel puts this in front of every name.
_WRAPPED = r"(?:module\.)?"


def _weights(kind: Kind, pattern: str) -> tuple[Rule, ...]:
    """Return the rule for convolutions without bias."""
    return (Rule(rf"{_WRAPPED}(?P<layer>{pattern})\.weight", r"\g<layer>.kernel", kind),)


def _norms(pattern: str) -> tuple[Rule, ...]:
    """Return the rules for batch norms with their running statistics."""
    names = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
    found = rf"{_WRAPPED}(?P<layer>{pattern})"
    return (
        *(Rule(rf"{found}\.{old}", rf"\g<layer>.{new}", "norm") for old, new in names.items()),
        ignore(rf"{found}\.num_batches_tracked"),
    )


# The classifier's own last layers serve no metric.
LPIPS_BACKBONE = (*layer("conv", r"features\.\d+"), ignore(r"classifier\.\d+\.(?:weight|bias)"))
LPIPS_HEADS = (Rule(r"lin(\d)\.model\.1\.weight", r"lins.\1.kernel", "conv"),)

_INCEPTION_UNIT = r"(?:Conv2d_\w+|Mixed_\w+\.branch\w+)"
INCEPTION_V3 = (
    *_weights("conv", rf"{_INCEPTION_UNIT}\.conv"),
    *_norms(rf"{_INCEPTION_UNIT}\.bn"),
    ignore(r"fc\.(?:weight|bias)"),
)

_RESNET_BLOCK = r"layer[1-4]\.\d+"
RESNET3D_50 = (
    *_weights("conv3d", rf"conv1|{_RESNET_BLOCK}\.(?:conv[123]|downsample\.0)"),
    *_norms(rf"bn1|{_RESNET_BLOCK}\.(?:bn[123]|downsample\.1)"),
    ignore(rf"{_WRAPPED}fc\.(?:weight|bias)"),
)

_I3D_UNIT = r"(?:Conv3d_\w+|Mixed_\w+\.b\w+)"
I3D = (
    *_weights("conv3d", rf"{_I3D_UNIT}\.conv3d"),
    *_norms(rf"{_I3D_UNIT}\.bn"),
    *layer("conv3d", r"logits\.conv3d"),
)

# One table per published file of each network, in the order of the list above.
FEATURE_NETWORKS: Mapping[FeatureNetwork, tuple[tuple[Rule, ...], ...]] = {
    "lpips_vgg": (LPIPS_BACKBONE, LPIPS_HEADS),
    "lpips_alex": (LPIPS_BACKBONE, LPIPS_HEADS),
    "inception_v3": (INCEPTION_V3,),
    "resnet3d_50": (RESNET3D_50,),
    "i3d": (I3D,),
}


def describe_feature_network(
    name: FeatureNetwork, files: Sequence[Path], shrink: int = 1
) -> Conversion:
    """Say how published files become a stored feature network.

    Args:
        name: Which network.
        files: Its files, in the order of the list above.
        shrink: Divides the published channel counts, for files of a smaller network.

    Raises:
        UserError: A file is missing or damaged.
        ValueError: The number of files is not that of the list.
    """
    tables = FEATURE_NETWORKS[name]
    if len(files) != len(tables):
        raise ValueError(f"{name} is published in {len(tables)} files, got {len(files)}")
    sources = [(open_source(path), rules) for path, rules in zip(files, tables, strict=True)]
    for source, _ in sources:
        refuse_foreign_tensors(source)
    return Conversion(
        config=stored_config(name, shrink),
        networks={NETWORK: feature_network(name, shrink)},
        parts=[Part(NETWORK, sources)],
        computed={},
        # The heads of LPIPS may have the name of another package's backbone.
        inputs={f"{role}/{path.name}": path for role, path in zip(_ROLES, files, strict=False)},
    )
