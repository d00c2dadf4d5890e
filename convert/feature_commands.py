"""The converter's commands for the feature networks of the evaluation metrics."""

from collections.abc import Callable, Mapping
from pathlib import Path


def lpips_vgg(vgg16: Path, heads: Path, out: Path) -> None:
    """Convert the network of LPIPS with VGG-16.

    Args:
        vgg16: torchvision's vgg16-397923af.pth.
        heads: vgg.pth of the lpips package, version 0.1.
        out: Folder to make.
    """
    _convert("lpips_vgg", out, vgg16, heads)


def lpips_alex(alexnet: Path, heads: Path, out: Path) -> None:
    """Convert the network of LPIPS with AlexNet.

    Args:
        alexnet: torchvision's alexnet-owt-7be5be79.pth.
        heads: alex.pth of the lpips package, version 0.1.
        out: Folder to make.
    """
    _convert("lpips_alex", out, alexnet, heads)


def inception_v3(weights: Path, out: Path) -> None:
    """Convert the network of FID.

    Args:
        weights: pt_inception-2015-12-05-6726825d.pth of the pytorch-fid package.
        out: Folder to make.
    """
    _convert("inception_v3", out, weights)


def resnet3d_50(weights: Path, out: Path) -> None:
    """Convert the network of FID-VID.

    Args:
        weights: resnet-50-kinetics.pth of DisCo's evaluation.
        out: Folder to make.
    """
    _convert("resnet3d_50", out, weights)


def i3d(weights: Path, out: Path) -> None:
    """Convert the network of FVD.

    Args:
        weights: i3d_pretrained_400.pt of DisCo's evaluation.
        out: Folder to make.
    """
    _convert("i3d", out, weights)


def _convert(name, out: Path, *files: Path) -> None:
    from convert.core import convert_model
    from convert.feature_networks import describe_feature_network

    report = convert_model(describe_feature_network(name, files), out)
    print(f"{name}: {report['parameters']['network']:,} parameters\nwrote {out}")


FEATURE_COMMANDS: Mapping[str, Callable[..., None]] = {
    "lpips-vgg": lpips_vgg,
    "lpips-alex": lpips_alex,
    "inception-v3": inception_v3,
    "resnet3d-50": resnet3d_50,
    "i3d": i3d,
}
