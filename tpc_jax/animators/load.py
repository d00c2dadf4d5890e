"""From a name or a folder to an animator with its parameters."""

from importlib import resources
from pathlib import Path

import jax.numpy as jnp

from tpc_jax.animators.tiny import TinyAnimator, TinyConfig, networks
from tpc_jax.errors import UserError
from tpc_jax.model.checkpoint import load_params, read_config
from tpc_jax.model.params import Params

EMBEDDED = "tiny"


def load_animator(
    model: str | Path = EMBEDDED, dtype: jnp.dtype | type = jnp.float32
) -> tuple[TinyAnimator, Params]:
    """Load a stored model.

    Args:
        model: "tiny" for the embedded model, or a folder made by training or conversion.
        dtype: Type to compute in.

    Raises:
        UserError: The folder is not a model, or one that this version does not know.
    """
    directory = Path(model)
    if str(model) == EMBEDDED:
        directory = Path(str(resources.files("tpc_jax") / "assets" / EMBEDDED))
    config = read_config(directory)
    name = config.pop("animator", None)
    if name != EMBEDDED:
        raise UserError(f"{directory}: animator {name!r} is unknown; known: {EMBEDDED}")
    try:
        animator = TinyAnimator(TinyConfig.from_dict(config))
    except (TypeError, ValueError) as error:
        raise UserError(f"{directory}: {error}") from error
    return animator, load_params(directory, networks(animator.config), dtype)
