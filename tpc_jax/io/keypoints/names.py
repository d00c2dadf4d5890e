"""Find the points of COCO-17 by the names that a file gives to its own."""

import re
from collections.abc import Sequence

from tpc_jax._types import KEYPOINT_NAMES

# The nose, eyes and ears may be missing from a set of points, shoulders to ankles may not.
_FIRST_NEEDED = 5
_JOINTS = {name.split("_")[-1] for name in KEYPOINT_NAMES}
_SIDES = {"l": "left", "left": "left", "r": "right", "right": "right"}


def places_by_name(names: Sequence[str]) -> list[int | None]:
    """Find the COCO-17 points among named ones, however sides and words are written.

    Args:
        names: What a file calls its points, in its order: `left_shoulder`, `LShoulder`,
            `Left Shoulder`, `shoulder.L`.

    Returns:
        The index of every COCO-17 point; None for a missing point of the face.

    Raises:
        ValueError: If a joint of the body is missing, or a name stands there twice.
    """
    found: dict[str, int] = {}
    for index, name in enumerate(names):
        known = _canonical(name)
        if known in found:
            raise ValueError(f"names {known} twice")
        if known is not None:
            found[known] = index
    if missing := [name for name in KEYPOINT_NAMES[_FIRST_NEEDED:] if name not in found]:
        raise ValueError(f"names no {', '.join(missing)} among its points")
    return [found.get(name) for name in KEYPOINT_NAMES]


def _canonical(name: str) -> str | None:
    """Return the COCO-17 name of a point, None if it is another point."""
    spaced = re.sub(r"([a-z])([A-Z])|([A-Z])([A-Z][a-z])", r"\1\3 \2\4", str(name))
    words = re.findall(r"[a-z0-9]+", spaced.lower())
    if words == ["nose"]:
        return "nose"
    if len(words) == 1:  # one word for both, as in lshoulder
        match = re.fullmatch(r"(left|right|l|r)(\w+)", words[0])
        words = list(match.groups()) if match else words
    sides = [_SIDES[word] for word in words if word in _SIDES]
    joint = "".join(word for word in words if word not in _SIDES)
    if len(sides) != 1 or joint not in _JOINTS:
        return None
    return f"{sides[0]}_{joint}"
