"""AnimateAnyone: where its published files lie and how they become one model."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path

from tpc_jax.animators.animateanyone import (
    AnimateAnyoneAnimator,
    AnimateAnyoneConfig,
    published_motion,
    published_schedule,
)
from tpc_jax.convert.base import StableDiffusion, open_vae
from tpc_jax.convert.configs import (
    check_positions,
    motion_config,
    pose_net_config,
    schedule_config,
    unet_config,
    vae_config,
    vision_config,
)
from tpc_jax.convert.core import Conversion, Part
from tpc_jax.convert.folders import CLIP, Names
from tpc_jax.convert.inputs import Inputs
from tpc_jax.convert.read import Source
from tpc_jax.convert.rules import Rule, ignore
from tpc_jax.convert.tables import MOTION, POSE_NET, UNET, VAE, VISION, appearance_encoder
from tpc_jax.errors import UserError
from tpc_jax.model.config import UNetConfig
from tpc_jax.sampler.schedule import ScheduleConfig

INFERENCE_CONFIGS = ("inference_config.json", "inference_v2.yaml", "inference.yaml")


def describe_model(
    sd15: Path,
    vae: Path,
    image_encoder: Path,
    weights: Path,
    inference_config: Path | None = None,
) -> Conversion:
    """Index the published files and describe the model they make.

    Args:
        sd15: Stable Diffusion 1.5: its folder, of which only `unet/config.json` is read, or the
            file of the whole model.
        vae: The autoencoder: its folder or its file.
        image_encoder: Folder of the CLIP vision model with projection.
        weights: Folder with `denoising_unet.pth`, `motion_module.pth`, `reference_unet.pth` and
            `pose_guider.pth`.
        inference_config: The original's inference config; looked for in `weights` if left out,
            and the published values hold where there is none.

    Raises:
        UserError: A file is missing, damaged or of another model.
    """
    inputs = Inputs()

    def published(name: str) -> Source:
        return inputs.source(weights, "weights", ".", Names((name,), f"{name}.pth"))

    spatial, reference = published("denoising_unet"), published("reference_unet")
    motion, guider = published("motion_module"), published("pose_guider")
    autoencoder, vae_settings = open_vae(inputs, vae)
    vision = inputs.source(image_encoder, "image_encoder", ".", CLIP)
    base = StableDiffusion(inputs, "sd15", sd15)
    unet, schedule = _video_settings(inputs, base, weights, inference_config)
    config = AnimateAnyoneConfig(
        vae=vae_config(vae_settings),
        unet=unet,
        appearance_encoder=dataclasses.replace(unet, motion=None, norm_over_frames=False),
        pose_net=pose_net_config(guider),
        image_encoder=vision_config(
            inputs.settings(image_encoder, "image_encoder", image_encoder / "config.json")
        ),
        schedule=schedule,
    )
    _check_agreement(config, base.place("unet"), weights)
    try:
        described = AnimateAnyoneAnimator(config).networks()
    except ValueError as error:
        raise UserError(f"{base.place('unet')}: {str(error).splitlines()[0]}") from error
    for source in (spatial, motion):
        check_positions(unet, source)
    rows: list[tuple[str, Source, Sequence[Rule]]] = [
        ("vae", autoencoder, VAE),
        ("appearance_encoder", reference, appearance_encoder(config.appearance_encoder)),
        ("pose_net", guider, POSE_NET),
        ("image_encoder", vision, VISION),
    ]
    parts = [Part(name, [(source, table)]) for name, source, table in rows]
    motion_rules = (*_repeated(motion, spatial), *MOTION)
    parts.append(Part("unet", [(spatial, (*UNET, *MOTION)), (motion, motion_rules)]))
    return Conversion(
        config={"animator": "animateanyone", **config.to_dict()},
        networks=described,
        parts=parts,
        computed={},
        inputs=inputs.files,
    )


def _repeated(motion: Source, spatial: Source) -> tuple[Rule, ...]:
    """Ignore motion modules that the denoiser's file holds too: loaded last, they win there."""
    names = [re.escape(name) for name in motion.tensors if name in spatial.tensors]
    return (ignore("|".join(names)),) if names else ()


def _video_settings(
    inputs: Inputs, base: StableDiffusion, weights: Path, path: Path | None
) -> tuple[UNetConfig, ScheduleConfig]:
    """Describe the denoiser and its noise schedule by the configs that are there."""
    spatial = base.settings("unet")
    if path is None:
        found = [weights / name for name in INFERENCE_CONFIGS if (weights / name).is_file()]
        if not found:
            return unet_config(spatial, motion=published_motion()), published_schedule()
        path = found[0]
    settings = inputs.settings(path.parent, "inference_config", path)
    motion = motion_config(settings, levels=len(spatial["block_out_channels"]))
    is_per_frame = settings.inside("unet_additional_kwargs").get("use_inflated_groupnorm", False)
    unet = unet_config(spatial, motion=motion, norm_over_frames=not is_per_frame)
    return unet, schedule_config(settings.inside("noise_scheduler_kwargs"))


def _check_agreement(config: AnimateAnyoneConfig, base: Path, weights: Path) -> None:
    """Check that the networks fit each other."""
    unet = config.unet
    if config.image_encoder.projection_width != unet.cross_attention_dim:
        raise UserError(
            f"{base}: reads {unet.cross_attention_dim} features per token where the image "
            f"encoder projects to {config.image_encoder.projection_width}; take the encoder of "
            "sd-image-variations and the config of Stable Diffusion 1.5"
        )
    if config.vae.latent_channels != unet.in_channels:
        raise UserError(
            f"{base}: has {unet.in_channels} channels where the autoencoder has "
            f"{config.vae.latent_channels}"
        )
    shape = (config.pose_net.out_channels, config.pose_net.downscale)
    if shape != (unet.block_out_channels[0], config.vae.downscale):
        raise UserError(
            f"{weights}: the pose guider makes {shape[0]} features of cells of {shape[1]} pixels "
            f"where the denoiser adds {unet.block_out_channels[0]} of {config.vae.downscale}"
        )
