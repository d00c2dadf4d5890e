"""DisCo: where its published files lie and how they become one model."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import jax
import numpy as np

from tpc_jax.animators.base import CONTEXT
from tpc_jax.animators.disco import DiscoAnimator, DiscoConfig
from tpc_jax.animators.tokens import NULL
from tpc_jax.convert.configs import schedule_config, unet_config, vae_config, vision_config
from tpc_jax.convert.core import Conversion, Part
from tpc_jax.convert.inputs import Inputs
from tpc_jax.convert.read import Source, inside
from tpc_jax.convert.rules import Rule, ignore
from tpc_jax.convert.tables import CONTROLNET, TEMPORAL, UNET, VAE, VISION
from tpc_jax.errors import UserError
from tpc_jax.model.config import ControlNetConfig, UNetConfig
from tpc_jax.model.params import Params

# "cfg": trained with dropped references. "no-cfg": not, so that the unconditional tokens are zeros.
Recipe = Literal["cfg", "no-cfg"]
_GUIDANCE: dict[Recipe, float] = {"cfg": 1.5, "no-cfg": 3.0}

_PREFIXES = {
    "unet": "unet.",
    "pose_controlnet": "controlnet.nets.0.",
    "background_controlnet": "controlnet.nets.1.",
    "image_encoder": "clip_image_encoder.",
    "vae": "vae.",
}
_PROJECTION = "refer_clip_proj."
# CLIP's own projection lies in the file too, but DisCo reads its trained copy.
_TOWER = (ignore(r"visual_projection\.weight"), *VISION)
_OWN_PROJECTION = (Rule(r"weight", "visual_projection.kernel", "linear"),)


def describe_model(
    variations: Path,
    disco: Path,
    recipe: Recipe = "cfg",
    image_size: int = 256,
    window_length: int | None = None,
) -> Conversion:
    """Index the published files and describe the model they make.

    Args:
        variations: Folder of sd-image-variations, whose configs are read.
        disco: DisCo's weights, `mp_rank_00_model_states.pt`, of the image or the temporal model.
        recipe: How it was trained, which the file does not tell.
        image_size: Side of the pictures in pixels; the base's config tells of larger ones.
        window_length: Frames denoised together; 8, or 16 with temporal module, if left out.

    Raises:
        UserError: A file is missing, damaged or of another model.
    """
    inputs = Inputs()
    source = inputs.file("disco", disco)
    sources = _divide(source)
    is_temporal = any(".tem_conv." in name for name in source.tensors)
    config = dataclasses.replace(
        _config(inputs, variations, sources, is_temporal),
        guidance_scale=(_GUIDANCE[recipe],),
        image_size=(image_size, image_size),
        window_length=window_length or (16 if is_temporal else 8),
    )
    temporal = TEMPORAL if is_temporal else ()
    rules = {
        "unet": (*UNET, *temporal),
        "pose_controlnet": (*CONTROLNET, *temporal),
        "background_controlnet": (*CONTROLNET, *temporal),
        "vae": VAE,
    }
    parts = [Part(name, [(sources[name], table)]) for name, table in rules.items()]
    projection = inside(source, _PROJECTION)
    tower = [(sources["image_encoder"], _TOWER), (projection, _OWN_PROJECTION)]
    animator = DiscoAnimator(config)
    return Conversion(
        config={"animator": "disco", **config.to_dict()},
        networks=animator.networks(),
        parts=[*parts, Part("image_encoder", tower)],
        computed={f"{CONTEXT}.{NULL}": _null(animator, recipe)},
        inputs=inputs.files,
    )


def _divide(source: Source) -> dict[str, Source]:
    """Return the networks that lie in one file."""
    prefixes = (*_PREFIXES.values(), _PROJECTION)
    strange = [name for name in source.tensors if not name.startswith(prefixes)]
    if any(name.startswith("controlnet.") for name in strange):
        raise UserError(
            f"{source.path}: has one ControlNet, so it comes from attribute pre-training, which "
            "knows no poses; give the weights of the second stage"
        )
    if strange:
        more = ", ".join(strange[:3])
        raise UserError(f"{source.path}: {len(strange)} tensors are not of DisCo, as {more}")
    return {name: inside(source, prefix) for name, prefix in _PREFIXES.items()}


def _config(
    inputs: Inputs, variations: Path, sources: dict[str, Source], is_temporal: bool
) -> DiscoConfig:
    def settings(folder: str, file: str = "config.json"):
        return inputs.settings(variations, "variations", variations / folder / file)

    options = {"temporal": is_temporal, "norm_over_frames": is_temporal}
    unet = unet_config(settings("unet"), **options)
    tower = vision_config(settings("image_encoder"))
    autoencoder = vae_config(settings("vae"))
    schedule = schedule_config(settings("scheduler", "scheduler_config.json"))
    return DiscoConfig(
        vae=autoencoder,
        unet=unet,
        pose_controlnet=_pose_controlnet(sources["pose_controlnet"], unet),
        background_controlnet=ControlNetConfig(unet, autoencoder.latent_channels, None),
        image_encoder=dataclasses.replace(tower, projection_width=unet.cross_attention_dim),
        # The base's own sampler is PLMS; DisCo evaluates with DDIM.
        schedule=dataclasses.replace(schedule, sampler="ddim"),
    )


def _pose_controlnet(source: Source, unet: UNetConfig) -> ControlNetConfig:
    """Read the widths of the condition's convolutions off the file, for no config holds them."""
    widths = {}
    for name, tensor in source.tensors.items():
        parts = name.split(".")
        if parts[0] == "controlnet_cond_embedding" and parts[-1] == "weight":
            widths[".".join(parts[1:-1])] = tensor.shape[0]
    first = widths.get("conv_in")
    if first is None:
        raise UserError(
            f"{source.path}: the pose ControlNet reads no pictures; is it another file?"
        )
    halving = [f"blocks.{index}" for index in range(1, len(widths), 2)]
    levels = (first, *(widths[name] for name in halving if name in widths))
    return ControlNetConfig(unet, condition_channels=levels)


def _null(animator: DiscoAnimator, recipe: Recipe):
    """Return the function that computes the unconditional tokens."""

    def compute(load: Callable[[str], Params]) -> np.ndarray:
        if recipe == "no-cfg":
            return np.zeros(animator.networks()[CONTEXT].spec[NULL].shape, np.float32)
        params = {"image_encoder": load("image_encoder")}
        with jax.default_device(jax.devices("cpu")[0]):
            return np.asarray(jax.jit(animator.null_tokens)(params))

    return compute
