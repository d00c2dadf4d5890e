"""What is taken out of a document of any kind, before its order, time and units are settled."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

KNOWN = (
    "our coco-17, COCO or COCO-WholeBody (annotations or results), AlphaPose, mmpose, OpenPose, "
    "ComfyUI POSE_KEYPOINT, ViTPose, ultralytics, OpenPifPaf or MediaPipe JSON, or rtmlib arrays"
)
# A picture of a larger side is a mistake, and would be allocated when it is drawn.
_MAX_SIDE = 1 << 14

# Point sets by the order of their first points and by their number. Those of OpenPose are always
# read with hands and face, which are dropped where nobody has any.
LAYOUTS = {
    "own": {17: "coco-17"},
    "coco": {17: "coco-17", 26: "halpe-26", 133: "wholebody-133", 136: "halpe-136"},
    "openpose": {18: "openpose-18", 25: "openpose-25"},
    "mediapipe": {33: "mediapipe-33"},
}


_NO_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType({})


class FormatError(ValueError):
    """A document that cannot be read; the message says what was seen and what to do."""


class OddPerson(ValueError):
    """An entry that is no person with a body; the message says why."""


class Person(NamedTuple):
    """One person as found.

    Attributes:
        layout: The name of the point set.
        points: (x, y, confidence) in the unit of the file; a missing point is zero.
        is_flagged: Whether the third column may hold COCO's flags 0, 1, 2.
    """

    layout: str
    points: Float[np.ndarray, "points 3"]
    is_flagged: bool = False


class Frame(NamedTuple):
    """One picture as found.

    Attributes:
        people: The entries of its people, yet to be read.
        number: The number that the file gives to the picture.
        name: The file name that it gives to it.
        size: (height, width) in pixels that it says the picture has.
    """

    people: list[Any]
    number: int | None = None
    name: str | None = None
    size: tuple[int, int] | None = None


class Document(NamedTuple):
    """The pictures of one document.

    Attributes:
        frames: The pictures, in the order of the document.
        names: Names of the points by category of person; under "" for all others.
        is_complete: Whether pictures without people are listed too.
        is_own: Whether it is of our own format, which is read strictly.
        lost: Why entries belong to no picture.
    """

    frames: list[Frame]
    names: Mapping[str, tuple[str, ...]] = _NO_NAMES
    is_complete: bool = True
    is_own: bool = False
    lost: tuple[str, ...] = ()


def entries(value: Any) -> list[Any]:
    """Return a list as it is and nothing as an empty one.

    Raises:
        TypeError: It is something else.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise TypeError(f"{describe(value)} in place of a list")
    return value


def stated_size(value: Any) -> tuple[int, int] | None:
    """Return (height, width) of the picture where a dictionary states it.

    Raises:
        FormatError: They are no sizes of a picture.
    """
    for prefix in ("canvas_", "", "image_"):
        size = [value.get(f"{prefix}{axis}") for axis in ("height", "width")]
        if any(side is None for side in size):
            continue
        try:
            height, width = (int(side) for side in size)
        except (TypeError, ValueError, OverflowError) as error:
            raise FormatError("width and height must be numbers; mend them") from error
        if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
            raise FormatError(
                f"width and height are {width:.6g} and {height:.6g}, not 1 to {_MAX_SIDE} pixels; "
                "mend them"
            )
        return height, width
    return None


def describe(value: Any) -> str:
    """Say in a few words what a value is."""
    if isinstance(value, dict):
        keys = ", ".join(str(key)[:30] for key in list(value)[:6])
        return f"a dictionary of {keys or 'nothing'}" + (" ..." if len(value) > 6 else "")
    if isinstance(value, list):
        return f"a list of {len(value)}, first {describe(value[0])}"[:200] if value else "a list"
    return "null" if value is None else f"{type(value).__name__} {str(value)[:30]!r}"
