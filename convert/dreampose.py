"""DreamPose: where its published files lie and how they become one model."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tpc_jax.animators.base import CONTEXT
from tpc_jax.animators.dreampose import DreamPoseAnimator, DreamPoseConfig
from tpc_jax.animators.tokens import NULL
from tpc_jax.convert.base import StableDiffusion
from tpc_jax.convert.configs import schedule_config, unet_config, vae_config, vision_config
from tpc_jax.convert.core import Conversion, Part
from tpc_jax.convert.folders import CLIP
from tpc_jax.convert.inputs import Inputs
from tpc_jax.convert.ldm import take_network
from tpc_jax.convert.read import Source
from tpc_jax.convert.tables import ADAPTER, UNET, VAE, vision_tower
from tpc_jax.errors import UserError
from tpc_jax.model.config import AdapterConfig, VAEConfig
from tpc_jax.model.params import Params

NOTE = """\
DreamPose's published weights belong to the people that they were fine-tuned on. For another person
fine-tune them first: python scripts/finetune_dreampose.py --help"""


def describe_model(
    sd14: Path,
    clip: Path,
    unet: Path,
    adapter: Path,
    vae: Path | None = None,
    image_size: tuple[int, int] = (640, 512),
) -> Conversion:
    """Index the published files and describe the model they make.

    Args:
        sd14: Stable Diffusion 1.4: its folder, with `unet/config.json`, `vae` and `scheduler`, or
            the file of the whole model.
        clip: Folder of CLIP ViT-B/32.
        unet: DreamPose's denoiser, such as `unet_epoch_20.pth`.
        adapter: Its adapter, such as `adapter_20.pth`.
        vae: An autoencoder fine-tuned on the person, such as `vae_1499.pth`; that of `sd14` if left
            out.
        image_size: Height and width of the pictures, which the adapter must fit.

    Raises:
        UserError: A file is missing, damaged or of another model.
    """
    inputs = Inputs()
    base = StableDiffusion(inputs, "sd14", sd14)
    sources = {
        "unet": inputs.file("unet", unet),
        "adapter": inputs.file("adapter", adapter),
        "image_encoder": inputs.source(clip, "clip", ".", CLIP),
        "vae": take_network(inputs.file("vae", vae), "vae") if vae else base.source("vae"),
    }
    config = _config(inputs, base, clip, sources, image_size)
    rules = {
        "unet": UNET,
        "adapter": ADAPTER,
        "image_encoder": vision_tower(config.image_encoder),
        "vae": VAE,
    }
    animator = DreamPoseAnimator(config)
    return Conversion(
        config={"animator": "dreampose", **config.to_dict()},
        networks=animator.networks(),
        parts=[Part(name, [(sources[name], table)]) for name, table in rules.items()],
        computed={f"{CONTEXT}.{NULL}": _null(animator)},
        inputs=inputs.files,
    )


def _config(
    inputs: Inputs, base: StableDiffusion, clip: Path, sources, image_size
) -> DreamPoseConfig:
    spatial, autoencoder = unet_config(base.settings("unet")), vae_config(base.settings("vae"))
    # The published config may still tell of the denoiser that it was made from.
    channels = _shape(sources["unet"], "conv_in.weight", 4)[1]
    try:
        return DreamPoseConfig(
            vae=autoencoder,
            unet=dataclasses.replace(spatial, in_channels=channels),
            image_encoder=vision_config(
                inputs.settings(clip, "clip", clip / "config.json"), is_projected=False
            ),
            adapter=_adapter_config(sources["adapter"], autoencoder),
            schedule=schedule_config(base.settings("scheduler"), "PNDMScheduler"),
            image_size=image_size,
            num_poses=(channels - autoencoder.latent_channels) // 2,
        )
    except ValueError as error:
        raise UserError(f"{sources['adapter'].path.parent}: {error}") from error


def _adapter_config(source: Source, vae: VAEConfig) -> AdapterConfig:
    width, pooled = _shape(source, "vae2clip.weight", 2)
    return AdapterConfig(
        num_pooled=pooled, width=width, num_tokens=_shape(source, "linear1.weight", 2)[0],
        latent_channels=vae.latent_channels,
    )  # fmt: skip


def _shape(source: Source, name: str, rank: int) -> tuple[int, ...]:
    tensor = source.tensors.get(name)
    if tensor is None or len(tensor.shape) != rank:
        raise UserError(f"{source.path}: has no {name} of {rank} axes; is it another file?")
    return tensor.shape


def _null(animator: DreamPoseAnimator):
    """Return the function that computes the tokens of the empty picture."""

    def compute(load: Callable[[str], Params]) -> np.ndarray:
        params = {name: load(name) for name in ("image_encoder", "adapter", "vae")}
        return animator.stored_null_tokens(params)

    return compute
