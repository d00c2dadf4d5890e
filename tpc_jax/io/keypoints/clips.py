"""Find the pictures and their people in a document of any known kind."""

import contextlib
import json
from typing import Any

import numpy as np

from tpc_jax.io.keypoints.documents import (
    KNOWN,
    Document,
    FormatError,
    Frame,
    describe,
    entries,
    stated_size,
)
from tpc_jax.io.keypoints.people import is_landmarks, is_person

OWN_FORMAT = "coco-17"
# Where a picture keeps its people, and what tells it from others.
_PEOPLE = ("people", "instances", "predictions", "bodies", "pose_landmarks", "poseLandmarks",
           "landmarks", "persons", "detections")  # fmt: skip
_NUMBERS = ("frame_id", "frame", "frame_index", "frame_idx", "frame_number", "image_id")
_FILES = ("file_name", "filename", "image_name", "image_id")
_NAMES = ("keypoint_names", "joint_names", "keypoints")


def read_document(document: Any, num_frames: int | None) -> Document:
    """Find the pictures and people of a document.

    Args:
        document: What JSON holds, or a dictionary of arrays.
        num_frames: How many pictures there are, where it is known; arrays may leave it open.

    Raises:
        FormatError: It is of no known kind, or damaged; if it lacks what its kind has, also a
            KeyError, TypeError, ValueError or AttributeError.
    """
    if isinstance(document, list):
        return _listed(document)
    if not isinstance(document, dict):
        raise _unknown(document)
    if "format" in document:
        return _own(document)
    if "annotations" in document:
        return _annotated(document)
    names = _named_points(document)
    size = stated_size(document)
    if _is_array(document.get("keypoints")):
        frames = [Frame(people, size=size) for people in _arrays(document, num_frames)]
        return Document(frames, names)
    for key in ("instance_info", "frames", "predictions"):
        inner = document.get(key)
        if isinstance(inner, list) and (key != "predictions" or any(map(_is_nested, inner))):
            found = _listed(inner)
            frames = [frame._replace(size=frame.size or size) for frame in found.frames]
            return found._replace(frames=frames, names=names or found.names)
    if _is_frame(document) or is_person(document):
        return Document([_frame(document)], names)
    if document and all(map(_may_be_frame, document.values())) and any(document.values()):
        frames = [_frame(value)._replace(name=str(key)) for key, value in document.items()]
        return Document(frames, names, is_complete=False)
    raise _unknown(document)


def _unknown(document: Any) -> FormatError:
    return FormatError(f"is of an unknown keypoint format ({describe(document)}); give {KNOWN}")


def _own(document: dict[str, Any]) -> Document:
    if document["format"] != OWN_FORMAT:
        raise FormatError(
            f"format is {str(document['format'])[:40]!r}; only '{OWN_FORMAT}' is known"
        )
    size = stated_size(document)
    frames = entries(document["frames"]) if "frames" in document else [document]
    found = [Frame(entries(frame["people"]) if frame else [], size=size) for frame in frames]
    return Document(found, _named_points(document), is_own=True)


def _annotated(document: dict[str, Any]) -> Document:
    """Read COCO annotations, whose pictures are listed apart from the people."""
    people = entries(document["annotations"])
    names = _named_points(document)
    if not document.get("images"):
        frames, lost = _grouped(people)
        return Document(frames, names, is_complete=False, lost=tuple(lost))
    frames = {}
    for image in entries(document["images"]):
        name = image.get("file_name")
        name = None if name is None else str(name)
        frames[str(image["id"])] = Frame([], _number(image["id"]), name, stated_size(image))
    lost = []
    for index, person in enumerate(people):
        image = str(person.get("image_id")) if isinstance(person, dict) else None
        if image not in frames:
            lost.append(f"annotation {index} belongs to none of the images")
        elif "keypoints" in person:  # things and crowds are annotated without
            frames[image].people.append(person)
    return Document(list(frames.values()), names, lost=tuple(lost))


def _grouped(people: list[Any]) -> tuple[list[Frame], list[str]]:
    """Gather people by the picture that each of them names."""
    frames: dict[str, Frame] = {}
    lost = []
    for index, person in enumerate(people):
        image = person.get("image_id") if isinstance(person, dict) else None
        if not isinstance(image, str | int | float) or image != image:
            lost.append(f"entry {index} names no picture")
            continue
        number = _number(image)
        frame = Frame([], number, None if number is not None else str(image))
        frames.setdefault(str(image), frame).people.append(person)
    return list(frames.values()), lost


def _listed(items: list[Any]) -> Document:
    """Read a list of pictures, of people that name their pictures, or of people of one picture."""
    items = [_decoded(item) for item in items]
    if is_landmarks(items):
        return Document([Frame([items])])
    pictures = [item for item in items if isinstance(item, dict) and _is_frame(item)]
    if pictures or any(isinstance(item, list) for item in items):
        frames = [_frame(item) for item in items]
        names = next(filter(None, map(_named_points, pictures)), {})
        return Document(frames, names, is_complete=all(frame.number is None for frame in frames))
    if any(isinstance(item, dict) and "image_id" in item for item in items):
        frames, lost = _grouped(items)
        return Document(frames, is_complete=False, lost=tuple(lost))
    if any(items) and not any(map(is_person, items)):
        raise _unknown(items)
    return Document([Frame(items if any(items) else [])])


def _frame(value: Any) -> Frame:
    """Read one picture: its people alone, or a dictionary that has them."""
    value = _decoded(value)
    if isinstance(value, list) and not is_landmarks(value):
        return Frame([_decoded(item) for item in value])
    if not isinstance(value, dict) or not _is_frame(value):
        is_empty = not value or (isinstance(value, dict) and value.get("keypoints") == [])
        return Frame([] if is_empty else [value])
    people = next((value[key] for key in _PEOPLE if key in value), None)
    if people is None and "keypoints" in value:
        (people,) = _arrays(value, num_frames=1)
    elif is_person(people):  # one person without a list around
        people = [people]
    elif not isinstance(people, list):
        people = [] if people is None else [people]
    number = next((n for n in (_number(value.get(k)) for k in _NUMBERS) if n is not None), None)
    name = next((value[k] for k in _FILES if isinstance(value.get(k), str)), None)
    return Frame(people, number, name, stated_size(value))


def _arrays(document: dict[str, Any], num_frames: int | None) -> list[list[Any]]:
    """Read positions [..., points, 2] and scores [..., points]: the people of every frame."""
    positions = np.asarray(document["keypoints"], float)
    if positions.size == 0:
        return [[]]
    key = next((key for key in ("scores", "keypoint_scores") if key in document), None)
    if positions.shape[-1] == 3 and key is None:
        positions, scores = positions[..., :2], positions[..., 2]
    elif key is None or positions.shape[-1] != 2:
        raise FormatError(
            f"keypoints have shape {list(positions.shape)}; save [frames, people, points, 2] and "
            "scores [frames, people, points]"
        )
    else:
        scores = np.asarray(document[key], float)
        scores = scores[..., 0] if scores.ndim == positions.ndim else scores
    if scores.shape != positions.shape[:-1] or not 2 <= positions.ndim <= 4:
        raise FormatError(
            f"keypoints {list(positions.shape)} and scores {list(scores.shape)} do not fit; "
            "save one score per point"
        )
    people = np.concatenate([positions, scores[..., None]], axis=-1)
    if people.ndim == 3:
        people = people[None] if _is_one_picture(len(people), num_frames) else people[:, None]
    people = people[None, None] if people.ndim == 2 else people
    return [
        [{"keypoints": person[:, :2], "keypoint_scores": person[:, 2]} for person in frame]
        for frame in people
    ]


def _is_one_picture(count: int, num_frames: int | None) -> bool:
    """Tell whether the first axis of a clip or a picture is people, not frames."""
    if count == 1 or num_frames == 1:
        return True
    if num_frames != count:
        raise FormatError(
            f"holds {count} people of one picture or one person of {count} pictures, the shape "
            "does not tell; save [frames, people, points, 2]"
        )
    return False


def _named_points(document: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return what a document calls its points, by category of person."""
    found = {}
    for category in document.get("categories") or []:
        if isinstance(category, dict) and category.get("keypoints"):
            found[str(category.get("id"))] = tuple(map(str, entries(category["keypoints"])))
    if len(found) == 1:
        found[""] = next(iter(found.values()))
    meta = document.get("meta_info")
    if isinstance(meta, dict) and isinstance(meta.get("keypoint_id2name"), dict):
        by_id = {int(key): str(name) for key, name in meta["keypoint_id2name"].items()}
        found[""] = tuple(by_id[key] for key in sorted(by_id))
    elif isinstance(meta, dict) and isinstance(meta.get("keypoint_name2id"), dict):
        ids = {str(name): int(key) for name, key in meta["keypoint_name2id"].items()}
        found[""] = tuple(sorted(ids, key=lambda name: ids[name]))
    for key in _NAMES:
        own = document.get(key)
        if isinstance(own, list) and own and all(isinstance(name, str) for name in own):
            found[""] = tuple(own)
    return found


def _is_frame(value: dict[str, Any]) -> bool:
    return any(key in value for key in _PEOPLE) or _is_array(value.get("keypoints"))


def _may_be_frame(value: Any) -> bool:
    """Tell whether a value under a picture's name is its people."""
    if isinstance(value, dict):
        return _is_frame(value) or is_person(value)
    return value is None or (isinstance(value, list) and all(map(is_person, value)))


def _is_nested(value: Any) -> bool:
    return isinstance(value, list) and not is_landmarks(value)


def _is_array(value: Any) -> bool:
    """Tell whether a value is an array, or lists in lists in lists."""
    if isinstance(value, np.ndarray):
        return True
    for _ in range(2):
        if not isinstance(value, list) or not value:
            return False
        value = value[0]
    return isinstance(value, list)


def _decoded(value: Any) -> Any:
    """Decode what was written as JSON within JSON, as of `results.tojson()`."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


def _number(value: Any) -> int | None:
    """Return a whole number, also if it is written as a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value == value // 1 else None
