"""From a name or a folder to an animator with its parameters."""

from importlib import resources
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp

from tpc_jax.animators import animateanyone, disco, dreampose, magicanimate, tiny
from tpc_jax.animators.interface import Animator
from tpc_jax.errors import UserError
from tpc_jax.io.tokenizer import prompt_ids
from tpc_jax.model.checkpoint import load_params, read_config
from tpc_jax.model.params import Params

EMBEDDED = "tiny"
TOKENIZER = "tokenizer"
# Where an animator's module keeps its parts: configuration, functions, networks.
SYSTEMS = {
    "tiny": (tiny.TinyConfig, tiny.TinyAnimator, tiny.networks),
    "magicanimate": (
        magicanimate.MagicAnimateConfig,
        magicanimate.MagicAnimateAnimator,
        magicanimate.networks,
    ),
    "animateanyone": (
        animateanyone.AnimateAnyoneConfig,
        animateanyone.AnimateAnyoneAnimator,
        animateanyone.networks,
    ),
    "dreampose": (dreampose.DreamPoseConfig, dreampose.DreamPoseAnimator, dreampose.networks),
    "disco": (disco.DiscoConfig, disco.DiscoAnimator, disco.networks),
}


class LoadedModel(NamedTuple):
    """A stored model.

    Attributes:
        animator: Its functions.
        params: Its parameters.
    """

    animator: Animator
    params: Params


def load_animator(
    model: str | Path = EMBEDDED,
    dtype: jnp.dtype | type | str = jnp.float32,
    prompt: str | None = None,
    size: tuple[int, int] | None = None,
) -> LoadedModel:
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
    config = read_config(directory)
    name = config.pop("animator", None)
    if name not in SYSTEMS:
        known = ", ".join(SYSTEMS)
        raise UserError(f"{directory}: animator {name!r} is unknown; known: {known}")
    make_config, make_animator, networks = SYSTEMS[name]
    if size is not None:
        if not isinstance(config.get("image_size"), list):
            raise UserError(f"{directory}: makes pictures of one size; leave out the size")
        config["image_size"] = size
    try:
        animator = make_animator(make_config.from_dict(config))
    except (TypeError, ValueError) as error:
        raise UserError(f"{directory}: {error}") from error
    params = load_params(directory, networks(animator.config), jnp.dtype(dtype))
    if prompt is not None:
        if "text_encoder" not in params:
            raise UserError(f"{directory}: reads no prompts; leave out the prompt")
        ids = prompt_ids(directory / TOKENIZER, [prompt], animator.config.context_tokens)
        params = magicanimate.with_prompt(animator.config, params, ids)
    # It has done its work.
    params.pop("text_encoder", None)
    return LoadedModel(animator, params)


def model_folder(model: str | Path) -> Path:
    """Return where a model is stored."""
    if str(model) == EMBEDDED:
        return Path(str(resources.files("tpc_jax") / "assets" / EMBEDDED))
    return Path(model)
