"""Names of tensors with their shapes."""

Shapes = dict[str, tuple[int, ...]]


def layer(name: str, *shape: int) -> Shapes:
    """Return weight and bias of one layer."""
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
