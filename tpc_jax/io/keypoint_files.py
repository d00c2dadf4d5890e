"""Read detector keypoint files as they are, and read and write our own format.

Our own format is JSON with one list `[x, y, confidence]` per COCO-17 point, in pixels:

    {"format": "coco-17", "width": 512, "height": 512, "people": [{"keypoints": [...]}]}
    {"format": "coco-17", "frames": [{"people": [{"keypoints": [...]}]}, ...]}

`width` and `height` of the annotated picture are optional and checked when given. Mapping other
point sets to COCO-17 is the business of `pose.adapters`.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError
from tpc_jax.io.atomic import write_json
from tpc_jax.io.video import natural_order

OWN_FORMAT = "coco-17"
# Point sets by (detector family, number of points).
_LAYOUTS = {
    ("own", 17): "coco-17",
    ("coco", 17): "coco-17",
    ("mmpose", 17): "coco-17",
    ("mmpose", 133): "wholebody-133",
    ("openpose", 18): "openpose-18",
    ("openpose", 25): "openpose-25",
}
_KNOWN = "our coco-17, COCO, mmpose or OpenPose JSON"

# One person as found in a file: [points, 3].
_Person = Float[np.ndarray, "points 3"]
_Frames = list[list[_Person]]


class KeypointFile(NamedTuple):
    """What a keypoint file holds, in the detector's own point set.

    Attributes:
        layout: `coco-17`, `wholebody-133`, `openpose-18` or `openpose-25`.
        points: (x, y, confidence); pixels, confidence clipped to [0, 1]. People that a frame
            lacks have zero confidence.
        size: (height, width) of the annotated picture where the file says so.
    """

    layout: str
    points: Float[np.ndarray, "people frames points 3"]
    size: tuple[int, int] | None


def read_keypoint_file(path: str | Path) -> KeypointFile:
    """Read a keypoint file of any known kind; the kind is recognised by its content.

    Args:
        path: JSON in our own format, COCO annotations or results, mmpose predictions, OpenPose;
            or a folder of OpenPose files, one per frame, in natural order of their names.

    Returns:
        The points of every frame and person.

    Raises:
        UserError: If the file is missing, of an unknown format, holds no people, or a point is
            not finite. Points with zero confidence may hold anything.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file; check the path")
    files = [path]
    if path.is_dir():
        files = sorted(path.glob("*.json"), key=natural_order)
        if not files:
            raise UserError(f"{path}: the folder holds no JSON files; give one per frame")
    documents = [_load(file) for file in files]
    parsed = [_parse(document, file) for document, file in zip(documents, files, strict=True)]
    family, frames = parsed[0][0], [frame for _, part in parsed for frame in part]
    counts = sorted({len(person) for frame in frames for person in frame})
    if not counts:
        raise UserError(f"{path}: holds no people; annotate at least one")
    if len(counts) > 1 or (family, counts[0]) not in _LAYOUTS:
        allowed = " or ".join(str(count) for name, count in _LAYOUTS if name == family)
        raise UserError(
            f"{path}: people have {' and '.join(map(str, counts))} points, expected {allowed}; "
            "export with one of these point sets"
        )
    points = np.zeros((max(map(len, frames)), len(frames), counts[0], 3))
    for index, frame in enumerate(frames):
        for person_index, person in enumerate(frame):
            points[person_index, index] = person
    return KeypointFile(_LAYOUTS[family, counts[0]], points, _size(documents[0], path))


def write_keypoint_file(
    path: str | Path, keypoints: Keypoints, size: tuple[int, int] | None = None
) -> None:
    """Write COCO-17 keypoints in our own format, atomically.

    Args:
        path: The JSON file.
        keypoints: `[people 17]` of one picture or `[people frames 17]` of a clip.
        size: (height, width) of the picture in pixels, checked when the file is read.

    Raises:
        UserError: If the file cannot be written.
        ValueError: If the arrays do not have these shapes or a visible point is not finite.
    """
    xy, conf = np.asarray(keypoints.xy, float), np.asarray(keypoints.conf, float)
    if conf.ndim not in (2, 3) or conf.shape[-1] != 17 or xy.shape != (*conf.shape, 2):
        raise ValueError(
            f"keypoints must be [people 17] or [people frames 17], got {xy.shape}, {conf.shape}"
        )
    xy = np.where(conf[..., None] > 0, xy, 0.0)
    values = np.concatenate([xy, conf[..., None]], axis=-1).round(3)
    document: dict[str, Any] = {"format": OWN_FORMAT}
    if size is not None:
        document |= {"height": size[0], "width": size[1]}
    if conf.ndim == 2:
        document |= _people_json(values)
    else:
        document["frames"] = [_people_json(frame) for frame in values.swapaxes(0, 1)]
    write_json(path, document)


def _people_json(people: np.ndarray) -> dict[str, Any]:
    return {"people": [{"keypoints": person.tolist()} for person in people]}


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read; check the file's permissions") from error
    except ValueError as error:
        raise UserError(f"{path}: is not JSON; give {_KNOWN}") from error


def _size(document: Any, path: Path) -> tuple[int, int] | None:
    if not isinstance(document, dict) or "width" not in document or "height" not in document:
        return None
    try:
        return int(document["height"]), int(document["width"])
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: width and height must be numbers; mend them") from error


def _parse(document: Any, path: Path) -> tuple[str, _Frames]:
    """Recognise the format and return (detector family, frames)."""
    try:
        if isinstance(document, dict):
            if "format" in document:
                return "own", _parse_own(document, path)
            if "annotations" in document:
                return "coco", _parse_coco(document["annotations"], document.get("images"), path)
            if "instance_info" in document:
                return "mmpose", _parse_mmpose(document["instance_info"], path)
            if "people" in document:
                return "openpose", [_parse_openpose(document["people"], path)]
        elif isinstance(document, list) and document:
            first = document[0][0] if isinstance(document[0], list) else document[0]
            if "image_id" in first:
                return "coco", _parse_coco(document, None, path)
            if "instances" in first or "keypoint_scores" in first:
                return "mmpose", _parse_mmpose(document, path)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"{path}: is incomplete ({error}); give {_KNOWN}") from error
    raise UserError(f"{path}: is of an unknown keypoint format; give {_KNOWN}")


def _parse_own(document: dict[str, Any], path: Path) -> _Frames:
    if document["format"] != OWN_FORMAT:
        raise UserError(f"{path}: format is {document['format']!r}; only '{OWN_FORMAT}' is known")
    frames = document["frames"] if "frames" in document else [document]
    return [
        [
            _person(person["keypoints"], path, frame_index, index, strict=True)
            for index, person in enumerate(frame["people"])
        ]
        for frame_index, frame in enumerate(frames)
    ]


def _parse_coco(
    people: list[dict[str, Any]], images: list[dict[str, Any]] | None, path: Path
) -> _Frames:
    by_image: dict[Any, list[_Person]] = {}
    if images:
        images = sorted(images, key=lambda image: natural_order(Path(str(image["file_name"]))))
        by_image = {image["id"]: [] for image in images}
    else:
        by_image = {key: [] for key in sorted({person["image_id"] for person in people})}
    for index, entry in enumerate(people):
        flat = np.asarray(entry["keypoints"], dtype=object)
        if flat.ndim != 1 or len(flat) % 3:
            raise UserError(
                f"{path}: person {index} has {flat.size} numbers, expected 51 (x, y, v per point)"
            )
        frame = by_image[entry["image_id"]]
        frame.append(_person(flat.reshape(-1, 3), path, len(by_image), index, coco_flags=True))
    return list(by_image.values())


def _parse_mmpose(entries: list[Any], path: Path) -> _Frames:
    if isinstance(entries[0], list):
        entries = entries[0]
    if "instances" not in entries[0]:
        entries = [{"instances": entries}]
    # Predictions of a video carry a frame number, from 0 or 1 by the tool that wrote them.
    start = 0 if any(entry.get("frame_id") == 0 for entry in entries) else 1
    numbers = [entry.get("frame_id", start + i) - start for i, entry in enumerate(entries)]
    frames: _Frames = [[] for _ in range(max(numbers) + 1)]
    for number, entry in zip(numbers, entries, strict=True):
        for index, person in enumerate(entry["instances"]):
            scores = np.asarray(person["keypoint_scores"], dtype=object).reshape(-1, 1)
            positions = np.asarray(person["keypoints"], dtype=object)[:, :2]
            if len(scores) != len(positions):
                raise UserError(
                    f"{path}: frame {number}, person {index} has {len(positions)} points but "
                    f"{len(scores)} scores; export the predictions again"
                )
            values = np.concatenate([positions, scores], axis=1)
            frames[number].append(_person(values, path, number, index))
    return frames


def _parse_openpose(people: list[dict[str, Any]], path: Path) -> list[_Person]:
    found = []
    for index, person in enumerate(people):
        flat = np.asarray(person["pose_keypoints_2d"], dtype=object)
        if flat.ndim != 1 or len(flat) % 3:
            raise UserError(f"{path}: person {index} has {flat.size} numbers, expected 54 or 75")
        found.append(_person(flat.reshape(-1, 3), path, 0, index))
    return found


def _person(
    values: Any,
    path: Path,
    frame: int,
    index: int,
    *,
    strict: bool = False,
    coco_flags: bool = False,
) -> _Person:
    """Check one person's [points, 3] and bring its confidences to [0, 1]."""
    where = f"{path}: frame {frame}, person {index}"
    try:
        points = np.array(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where} is not a list of [x, y, confidence]; mend the file") from error
    if points.ndim != 2 or points.shape[1] != 3:
        raise UserError(f"{where} is not a list of [x, y, confidence]; mend the file")
    conf = points[:, 2]
    missing = conf == 0
    bad = ~np.isfinite(conf) | (~missing & ~np.isfinite(points[:, :2]).all(axis=1))
    if bad.any():
        point = int(np.argmax(bad))
        raise UserError(
            f"{where}, point {point} is {points[point].tolist()}, not finite; "
            "set its confidence to 0 if the point is missing"
        )
    if strict and ((conf < 0) | (conf > 1)).any():
        point = int(np.argmax((conf < 0) | (conf > 1)))
        raise UserError(f"{where}, point {point} has confidence {conf[point]}; use 0 to 1")
    if coco_flags and np.isin(conf, (0, 1, 2)).all():
        points[:, 2] = conf / 2  # annotations: 1 is marked but hidden, 2 is visible
    points[:, 2] = np.clip(points[:, 2], 0, 1)
    points[missing] = 0
    return points
