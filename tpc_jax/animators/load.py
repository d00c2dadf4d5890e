"""From a name or a folder to a model: an animator with its parameters."""

import dataclasses
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from tpc_jax.animators.animateanyone import AnimateAnyoneAnimator, AnimateAnyoneConfig
from tpc_jax.animators.base import Animator, SystemConfig
from tpc_jax.animators.disco import DiscoAnimator, DiscoConfig
from tpc_jax.animators.dreampose import DreamPoseAnimator, DreamPoseConfig
from tpc_jax.animators.magicanimate import MagicAnimateAnimator, MagicAnimateConfig
from tpc_jax.animators.tiny import TinyAnimator, TinyConfig
from tpc_jax.errors import UserError
from tpc_jax.io.tokenizer import prompt_ids
from tpc_jax.model.checkpoint import load_params, read_config
from tpc_jax.model.params import Params

EMBEDDED = "tiny"
TOKENIZER = "tokenizer"
# What a stored model may be.
SYSTEMS: dict[str, tuple[type[SystemConfig], type[Animator]]] = {
    "tiny": (TinyConfig, TinyAnimator),
    "magicanimate": (MagicAnimateConfig, MagicAnimateAnimator),
    "animateanyone": (AnimateAnyoneConfig, AnimateAnyoneAnimator),
    "dreampose": (DreamPoseConfig, DreamPoseAnimator),
    "disco": (DiscoConfig, DiscoAnimator),
}


class Model(NamedTuple):
    """A model that animates.

    Attributes:
        animator: Its functions.
        params: Its parameters.
        prompt: Tokens of a text to animate by; None is the empty one.
    """

    animator: Animator
    params: Params
    prompt: Int[np.ndarray, "1 tokens"] | None = None


def load(
    model: str | Path = EMBEDDED,
    dtype: jnp.dtype | type | str = jnp.float32,
    *,
    prompt: str | None = None,
    size: tuple[int, int] | None = None,
) -> Model:
    """Load a stored model.

    Args:
        model: "tiny" for the embedded model, or a folder made by training or conversion.
        dtype: Type to compute in.
        prompt: Text to animate by; None is the empty one, which needs no text encoder.
        size: Height and width of the pictures in pixels; None is the model's own.

    Raises:
        UserError: The folder is not a model, or one that this version does not know; or it reads no
            prompts, or makes no pictures of this size.
    """
    directory = model_folder(model)
    animator = _animator(directory, size)
    params = load_params(directory, animator.networks(), jnp.dtype(dtype))
    if prompt is None:
        # It embeds prompts and does nothing else.
        params.pop("text_encoder", None)
        return Model(animator, params)
    if "text_encoder" not in params:
        raise UserError(f"{directory}: reads no prompts; leave out the prompt")
    ids = prompt_ids(directory / TOKENIZER, [prompt], animator.config.context_tokens)
    return Model(animator, params, ids)


def _animator(directory: Path, size: tuple[int, int] | None) -> Animator:
    """Read what a folder holds."""
    values = read_config(directory)
    name = values.pop("animator", None)
    if name not in SYSTEMS:
        known = ", ".join(SYSTEMS)
        raise UserError(f"{directory}: animator {name!r} is unknown; known: {known}")
    make_config, make_animator = SYSTEMS[name]
    if size is not None and make_animator.fixed_size:
        raise UserError(f"{directory}: makes pictures of one size; leave out the size")
    try:
        config = make_config.from_dict(values)
        return make_animator(
            config if size is None else dataclasses.replace(config, image_size=size)
        )
    except (TypeError, ValueError) as error:
        raise UserError(f"{directory}: {error}") from error


def model_folder(model: str | Path) -> Path:
    """Return where a model is stored."""
    if str(model) == EMBEDDED:
        return Path(str(resources.files("tpc_jax") / "assets" / EMBEDDED))
    return Path(model)
