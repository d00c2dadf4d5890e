"""MagicAnimate: where its published files lie and how they become one model."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from tpc_jax.animators.magicanimate import EMPTY_PROMPT, MagicAnimateAnimator, MagicAnimateConfig
from tpc_jax.convert.base import StableDiffusion, open_vae
from tpc_jax.convert.configs import (
    Settings,
    check_positions,
    controlnet_config,
    motion_config,
    text_config,
    unet_config,
    vae_config,
)
from tpc_jax.convert.core import Conversion, Part
from tpc_jax.convert.folders import NETWORK, Names
from tpc_jax.convert.inputs import Inputs
from tpc_jax.convert.rules import ignore
from tpc_jax.convert.tables import CONTROLNET, MOTION, TEXT, UNET, VAE, appearance_encoder
from tpc_jax.errors import UserError
from tpc_jax.model import params as P
from tpc_jax.model.config import MotionConfig, TextConfig, VAEConfig
from tpc_jax.model.params import Params
from tpc_jax.model.text import TextEncoder, empty_prompt
from tpc_jax.sampler.schedule import ScheduleConfig

INFERENCE_CONFIGS = ("inference_config.json", "inference.yaml")
_TEMPORAL = Names(("temporal_attention", *NETWORK.stems), "temporal_attention.ckpt")
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "merges.txt")

# A file may hold the whole denoiser; the original then takes the motion modules out of it.
_SPATIAL = tuple(ignore(rf"(?:unet\.)?(?:{rule.pattern})") for rule in UNET)


def describe_model(
    sd15: Path, vae: Path, animate: Path, inference_config: Path | None = None
) -> Conversion:
    """Index the published files and describe the model they make.

    Args:
        sd15: Stable Diffusion 1.5: its folder, with `unet`, `text_encoder` and `tokenizer`, or
            the file of the whole model.
        vae: The autoencoder: its folder or its file.
        animate: Folder of MagicAnimate, with `appearance_encoder`, `densepose_controlnet` and
            `temporal_attention`.
        inference_config: The original's inference config; looked for in `animate` if left out,
            and the published values hold where there is none.

    Raises:
        UserError: A file is missing, damaged or of another model.
    """
    inputs = Inputs()
    base = StableDiffusion(inputs, "sd15", sd15)
    autoencoder, vae_settings = open_vae(inputs, vae)
    sources = {
        "vae": autoencoder,
        "unet": base.source("unet"),
        "text_encoder": base.source("text_encoder"),
        "appearance_encoder": inputs.source(animate, "magicanimate", "appearance_encoder"),
        "controlnet": inputs.source(animate, "magicanimate", "densepose_controlnet"),
    }
    motion = inputs.source(animate, "magicanimate", "temporal_attention", _TEMPORAL)
    text = text_config(base.settings("text_encoder"))
    config = _config(inputs, text, base, vae_config(vae_settings), animate, inference_config)
    check_positions(config.unet, motion)
    rules = {
        "vae": VAE,
        "text_encoder": TEXT,
        "appearance_encoder": appearance_encoder(config.appearance_encoder),
        "controlnet": CONTROLNET,
    }
    parts = [Part(name, [(sources[name], table)]) for name, table in rules.items()]
    parts.append(Part("unet", [(sources["unet"], UNET), (motion, (*MOTION, *_SPATIAL))]))
    return Conversion(
        config={"animator": "magicanimate", **config.to_dict()},
        networks=MagicAnimateAnimator(config).networks(),
        parts=parts,
        computed={f"context.{EMPTY_PROMPT}": _empty_prompt(text)},
        inputs=inputs.files,
        copies=_tokenizer(inputs, sd15),
    )


def _config(
    inputs: Inputs,
    text: TextConfig,
    base: StableDiffusion,
    autoencoder: VAEConfig,
    animate: Path,
    inference_config: Path | None,
) -> MagicAnimateConfig:
    def settings(folder: str) -> Settings:
        return inputs.settings(animate, "magicanimate", animate / folder / "config.json")

    spatial, encoder = base.settings("unet"), settings("appearance_encoder")
    motion, schedule = _video_settings(inputs, animate, inference_config, spatial)
    side = spatial.get("sample_size", 64) * autoencoder.downscale
    config = MagicAnimateConfig(
        vae=autoencoder,
        unet=unet_config(spatial, motion=motion, norm_over_frames=True, reads="midup"),
        controlnet=controlnet_config(settings("densepose_controlnet")),
        appearance_encoder=unet_config(encoder, reads="midup"),
        text_encoder=text,
        context_tokens=text.max_tokens,
        schedule=schedule,
        image_size=(side, side),
    )
    _check_agreement(config, text, base, animate)
    return config


def _video_settings(
    inputs: Inputs, animate: Path, path: Path | None, spatial: Settings
) -> tuple[MotionConfig, ScheduleConfig]:
    """Read the inference config, which belongs to the original's code, not to its weights."""
    if path is None:
        found = [animate / name for name in INFERENCE_CONFIGS if (animate / name).is_file()]
        if not found:
            return MotionConfig(), ScheduleConfig()
        path = found[0]
    settings = inputs.settings(path.parent, "inference_config", path)
    motion = motion_config(settings, levels=len(spatial["block_out_channels"]))
    noise = settings.inside("noise_scheduler_kwargs")
    try:
        return motion, ScheduleConfig.from_dict(
            {name: noise[name] for name in ("beta_start", "beta_end", "beta_schedule")}
        )
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


def _check_agreement(
    config: MagicAnimateConfig, text: TextConfig, base: StableDiffusion, animate: Path
) -> None:
    """Check that the networks fit each other."""
    unet = dataclasses.replace(config.unet, motion=None, norm_over_frames=False)
    if config.appearance_encoder != unet:
        raise UserError(
            f"{animate / 'appearance_encoder'}: not of the layout of {base.place('unet')}"
        )
    if dataclasses.replace(config.controlnet.trunk, reads=unet.reads) != unet:
        raise UserError(
            f"{animate / 'densepose_controlnet'}: not of the layout of {base.place('unet')}"
        )
    if text.width != unet.cross_attention_dim:
        raise UserError(
            f"{base.path}: text_encoder has {text.width} features per token where unet "
            f"reads {unet.cross_attention_dim}; take both from one download"
        )
    if config.vae.latent_channels != unet.in_channels:
        raise UserError(
            f"{base.path}: unet has {unet.in_channels} channels where the autoencoder has "
            f"{config.vae.latent_channels}"
        )


def _empty_prompt(config: TextConfig):
    """Return the function that embeds the empty prompt."""

    def compute(load: Callable[[str], Params]) -> np.ndarray:
        network = P.abstract(TextEncoder, config)
        with jax.default_device(jax.devices("cpu")[0]):
            embed = jax.jit(lambda params, ids: P.bind(network, params)(ids))
            return np.asarray(embed(load("text_encoder"), empty_prompt(config))[0])

    return compute


def _tokenizer(inputs: Inputs, sd15: Path) -> dict[str, Path]:
    """Return the tokenizer's files, which real prompts need."""
    found = {f"tokenizer/{name}": sd15 / "tokenizer" / name for name in TOKENIZER_FILES}
    found = {name: path for name, path in found.items() if path.is_file()}
    for path in found.values():
        inputs.note(sd15, "sd15", path)
    return found
