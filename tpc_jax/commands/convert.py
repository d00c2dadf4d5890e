"""The command that converts published weights, with one sub-command for each model."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import tyro

Dtype = Literal["float32", "bfloat16"]


def magicanimate(
    sd15: Path,
    vae: Path,
    magicanimate: Path,
    out: Path,
    dtype: Dtype = "float32",
    inference_config: Path | None = None,
) -> None:
    """Convert MagicAnimate's published files into a folder for `tpc-jax animate --model`.

    Args:
        sd15: Stable Diffusion 1.5: its folder with unet, text_encoder and tokenizer, or the file of
            the whole model, such as v1-5-pruned-emaonly.safetensors.
        vae: sd-vae-ft-mse: its folder, or a file such as vae-ft-mse-840000-ema-pruned.safetensors.
        magicanimate: Folder of MagicAnimate with appearance_encoder, densepose_controlnet and
            temporal_attention.
        out: Folder to make.
        dtype: Type of storage; bfloat16 halves the size and rounds.
        inference_config: The original's inference config (YAML or JSON), needed only if its motion
            modules or noise schedule differ from the published ones.
    """
    from tpc_jax.convert.magicanimate import describe_model

    _write(describe_model(sd15, vae, magicanimate, inference_config), out, dtype)


def animateanyone(
    sd15: Path,
    vae: Path,
    image_encoder: Path,
    weights: Path,
    out: Path,
    dtype: Dtype = "float32",
    inference_config: Path | None = None,
) -> None:
    """Convert AnimateAnyone's published files into a folder for `tpc-jax animate --model`.

    Args:
        sd15: Stable Diffusion 1.5: its folder, of which only unet/config.json is read, or the file
            of the whole model.
        vae: sd-vae-ft-mse: its folder, or a file such as vae-ft-mse-840000-ema-pruned.safetensors.
        image_encoder: Folder of the image encoder of sd-image-variations.
        weights: Folder with denoising_unet.pth, motion_module.pth, reference_unet.pth and
            pose_guider.pth.
        out: Folder to make.
        dtype: Type of storage; bfloat16 halves the size and rounds.
        inference_config: The original's inference config (YAML or JSON), needed only if its motion
            modules or noise schedule differ from the published ones.
    """
    from tpc_jax.convert.animateanyone import describe_model

    _write(describe_model(sd15, vae, image_encoder, weights, inference_config), out, dtype)


def dreampose(
    sd14: Path,
    clip: Path,
    unet: Path,
    adapter: Path,
    out: Path,
    vae: Path | None = None,
    image_size: tuple[int, int] = (640, 512),
    dtype: Dtype = "float32",
) -> None:
    """Convert DreamPose's published files into a folder for `tpc-jax animate --model`.

    Args:
        sd14: Stable Diffusion 1.4: its folder with unet (its config), vae and scheduler, or the
            file of the whole model, such as sd-v1-4.ckpt.
        clip: Folder of CLIP ViT-B/32.
        unet: The denoiser, such as unet_epoch_20.pth.
        adapter: The adapter, such as adapter_20.pth.
        out: Folder to make.
        vae: An autoencoder fine-tuned on the person, such as vae_1499.pth.
        image_size: Height and width of the pictures in pixels; the adapter fits one area only.
        dtype: Type of storage; bfloat16 halves the size and rounds.
    """
    from tpc_jax.convert.dreampose import NOTE, describe_model

    _write(describe_model(sd14, clip, unet, adapter, vae, image_size), out, dtype)
    print(NOTE)


def disco(
    variations: Path,
    disco: Path,
    out: Path,
    recipe: Literal["cfg", "no-cfg"] = "cfg",
    image_size: int = 256,
    window_length: int | None = None,
    dtype: Dtype = "float32",
) -> None:
    """Convert DisCo's published files into a folder for `tpc-jax animate --model`.

    Args:
        variations: Folder of sd-image-variations; of it only the configs are read.
        disco: The weights, mp_rank_00_model_states.pt, of the image or the temporal model.
        out: Folder to make.
        recipe: Whether the weights were trained with dropped references (cfg) or not.
        image_size: Side of the pictures in pixels.
        window_length: Frames denoised together; 8, or 16 with temporal module, if left out.
        dtype: Type of storage; bfloat16 halves the size and rounds.
    """
    from tpc_jax.convert.disco import describe_model

    _write(describe_model(variations, disco, recipe, image_size, window_length), out, dtype)


def lpips_vgg(vgg16: Path, heads: Path, out: Path) -> None:
    """Convert the network of LPIPS with VGG-16.

    Args:
        vgg16: torchvision's vgg16-397923af.pth.
        heads: vgg.pth of the lpips package, version 0.1.
        out: Folder to make.
    """
    _write_features("lpips_vgg", out, vgg16, heads)


def lpips_alex(alexnet: Path, heads: Path, out: Path) -> None:
    """Convert the network of LPIPS with AlexNet.

    Args:
        alexnet: torchvision's alexnet-owt-7be5be79.pth.
        heads: alex.pth of the lpips package, version 0.1.
        out: Folder to make.
    """
    _write_features("lpips_alex", out, alexnet, heads)


def inception_v3(weights: Path, out: Path) -> None:
    """Convert the network of FID.

    Args:
        weights: pt_inception-2015-12-05-6726825d.pth of the pytorch-fid package.
        out: Folder to make.
    """
    _write_features("inception_v3", out, weights)


def resnet3d_50(weights: Path, out: Path) -> None:
    """Convert the network of FID-VID.

    Args:
        weights: resnet-50-kinetics.pth of DisCo's evaluation.
        out: Folder to make.
    """
    _write_features("resnet3d_50", out, weights)


def i3d(weights: Path, out: Path) -> None:
    """Convert the network of FVD.

    Args:
        weights: i3d_pretrained_400.pt of DisCo's evaluation.
        out: Folder to make.
    """
    _write_features("i3d", out, weights)


def _write_features(name, out: Path, *files: Path) -> None:
    from tpc_jax.convert.feature_networks import describe_feature_network

    _write(describe_feature_network(name, files), out)


def _write(conversion, out: Path, dtype: Dtype = "float32") -> None:
    from tpc_jax.convert.core import convert_model

    # Ended from outside, the half-written folder is removed as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = convert_model(conversion, out, dtype)
    for name, count in report["parameters"].items():
        print(f"{name:20}{count:>15,} parameters")
    print(f"wrote {out}")


_CONVERTERS = (
    *(magicanimate, animateanyone, dreampose, disco),
    *(lpips_vgg, lpips_alex, inception_v3, resnet3d_50, i3d),
)
_MODELS: Any = Union[  # noqa: UP007
    tuple(
        Annotated[
            Any,
            tyro.conf.subcommand(name=convert.__name__.replace("_", "-"), constructor=convert),
        ]
        for convert in _CONVERTERS
    )
]


def convert(
    model: Annotated[
        Any,
        tyro.conf.arg(constructor=_MODELS),
        tyro.conf.OmitSubcommandPrefixes,
        tyro.conf.OmitArgPrefixes,
    ],
) -> None:
    """Convert published weights, of an animator or of a metric's network.

    Args:
        model: What to convert. Nothing is downloaded; every name, shape and type is checked first.
    """
