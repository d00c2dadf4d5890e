"""Classifier-free guidance."""

from jaxtyping import Array, Float


def guide(
    unconditional: Float[Array, "*shape"], conditional: Float[Array, "*shape"], scale: float
) -> Float[Array, "*shape"]:
    """Return unconditional + scale * (conditional - unconditional); scale 1 means off."""
    return unconditional + scale * (conditional - unconditional)
