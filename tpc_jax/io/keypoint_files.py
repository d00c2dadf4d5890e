"""Read keypoint files of every known detector, and read and write our own format.

Our own format is JSON with one list `[x, y, confidence]` per COCO-17 point, in pixels:

    {"format": "coco-17", "width": 512, "height": 512, "people": [{"keypoints": [...]}]}
    {"format": "coco-17", "frames": [{"people": [{"keypoints": [...]}]}, ...]}

`width` and `height` of the annotated picture are optional; points are scaled to a picture of
another size. Beside `keypoints` a person may have `face_kpts`, `lefthand_kpts` and
`righthand_kpts`, as in COCO-WholeBody. Mapping other point sets to COCO-17 is the business of
`pose.adapters`.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError, warn
from tpc_jax.io.atomic import write_json
from tpc_jax.io.keypoints.clips import OWN_FORMAT, read_document
from tpc_jax.io.keypoints.documents import (
    KNOWN,
    Document,
    FormatError,
    Person,
)
from tpc_jax.io.keypoints.loading import keypoint_files, load_document
from tpc_jax.io.keypoints.people import body_only, read_person, whole_person
from tpc_jax.io.keypoints.placing import Pictures, place_frames
from tpc_jax.io.keypoints.units import settle_confidences, to_pixels

# What goes wrong where a document does not have the shape of its kind.
_DAMAGE = (KeyError, TypeError, IndexError, AttributeError, ValueError, OverflowError,
           RecursionError, MemoryError)  # fmt: skip


_ANY_PICTURES = Pictures()


class KeypointFile(NamedTuple):
    """What a keypoint file holds, in the detector's own point set.

    Attributes:
        layout: A point set of `pose.adapters.COCO_FROM_LAYOUT`.
        points: (x, y, confidence); pixels, confidence in [0, 1]. People that a frame lacks, and
            missing points, are zero.
        size: (height, width) of the picture in whose pixels the points are, where it is known.
    """

    layout: str
    points: Float[np.ndarray, "people frames points 3"]
    size: tuple[int, int] | None


def read_keypoint_file(path: str | Path, pictures: Pictures = _ANY_PICTURES) -> KeypointFile:
    """Read a keypoint file of any known kind; the kind is recognised by its content.

    Frames are ordered by their numbers or names, people without a body are left out, points are
    scaled to the picture; each of these is said by a warning where it changes anything.

    Args:
        path: JSON, JSON lines or NumPy arrays, of a picture or a clip; or a folder with one such
            file per frame.
        pictures: What the keypoints belong to.

    Returns:
        The points of every frame and person.

    Raises:
        UserError: If the file is missing, of an unknown format, holds no people, does not fit the
            pictures, or its unit, order or time cannot be known.
    """
    path = Path(path)
    files = keypoint_files(path)
    num_frames = pictures.num_frames if len(files) == 1 else 1
    documents = [_read_document(file, num_frames) for file in files]
    document = documents[0]
    if len(files) > 1:
        document = _one_clip(files, documents)
    try:
        return _settle(path, document, pictures)
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _read_document(path: Path, num_frames: int | None) -> Document:
    document = load_document(path)
    try:
        return read_document(document, num_frames)
    except _DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: BaseException) -> UserError:
    reason = " ".join(str(error).split())
    if isinstance(error, FormatError):
        return UserError(f"{path}: {reason}")
    reason = f"it lacks {reason[:150]}" if isinstance(error, KeyError) else reason[:150]
    return UserError(f"{path}: is incomplete or damaged ({reason}); give {KNOWN}")


def _one_clip(files: list[Path], documents: list[Document]) -> Document:
    """Join the documents of a folder, each of them one frame."""
    frames = []
    for file, document in zip(files, documents, strict=True):
        if len(document.frames) != 1:
            raise UserError(
                f"{file}: holds {len(document.frames)} frames beside other files; give one file "
                "per frame, or one for all"
            )
        frame = document.frames[0]
        frames.append(frame._replace(name=file.name if frame.name is None else frame.name))
    first = documents[0]
    names = next((document.names for document in documents if document.names), first.names)
    lost = tuple(reason for document in documents for reason in document.lost)
    is_own = any(document.is_own for document in documents)
    return Document(frames, names, is_own=is_own, lost=lost)


def _settle(path: Path, document: Document, pictures: Pictures) -> KeypointFile:
    """Settle order, time and units of what was found."""
    layout, frames = _read_people(path, document)
    places, total = place_frames(path, document, pictures)
    by_place: list[list[Person]] = [[] for _ in range(total)]
    stated: list[tuple[int, int] | None] = [None] * total
    for place, people, frame in zip(places, frames, document.frames, strict=True):
        by_place[place] += people
        stated[place] = frame.size or stated[place]
    count = len(next(person for people in frames for person in people).points)
    points = np.zeros((max(map(len, by_place)), total, count, 3))
    for place, people in enumerate(by_place):
        for index, person in enumerate(people):
            points[index, place] = person.points
    is_flagged = any(person.is_flagged for people in frames for person in people)
    points[..., 2] = settle_confidences(path, points[..., 2], is_flagged=is_flagged)
    if not (points[..., 2] > 0).any():
        raise UserError(
            f"{path}: holds no people with a visible point; give keypoints of confidence above 0"
        )
    points, size = to_pixels(path, points, stated, pictures)
    layout, points = body_only(layout, points)
    return KeypointFile(layout, points, size)


def _read_people(path: Path, document: Document) -> tuple[str, list[list[Person]]]:
    """Read the people of all frames; those without a body, or of another point set, are left out.

    Returns:
        The point set, and the people of every frame.
    """
    odd = list(document.lost)
    found: list[list[tuple[str, Person]]] = []
    for frame_index, frame in enumerate(document.frames):
        found.append([])
        for index, entry in enumerate(frame.people):
            where = f"frame {frame_index}, person {index}"
            category = str(entry.get("category_id")) if isinstance(entry, dict) else ""
            names = document.names.get(category, document.names.get(""))
            try:
                person = read_person(entry, names, is_own=document.is_own)
            except _DAMAGE as error:
                reason = error if isinstance(error, ValueError) else "is incomplete or damaged"
                odd.append(f"{where} {reason}")
            else:
                found[-1].append((where, person))
    layouts = Counter(person.layout for people in found for _, person in people)
    if not layouts:
        if not odd:
            raise UserError(f"{path}: holds no people; annotate at least one")
        reason = " ".join(odd[0].split())[:250]
        raise UserError(f"{path}: holds no people that can be read: {reason}")
    layout = layouts.most_common(1)[0][0]
    if {layout, "coco-17", "wholebody-133"} <= set(layouts):  # some people without hands and face
        layout = "wholebody-133"
        found = [[(where, whole_person(person)) for where, person in people] for people in found]
    for where, person in (one for people in found for one in people):
        if person.layout != layout:
            odd.append(f"{where} is {person.layout} among {layout}")
    if odd:
        said = "1 entry is" if len(odd) == 1 else f"{len(odd)} entries are"
        reason = " ".join(odd[0].split())[:200]
        warn(f"{path}: {said} left out; {reason}")
    return layout, [[p for _, p in people if p.layout == layout] for people in found]


def write_keypoint_file(
    path: str | Path,
    keypoints: Keypoints,
    size: tuple[int, int] | None = None,
    beside: Mapping[str, Keypoints] | None = None,
) -> None:
    """Write COCO-17 keypoints in our own format, atomically.

    Args:
        path: The JSON file.
        keypoints: `[people 17]` of one picture or `[people frames 17]` of a clip.
        size: (height, width) of the picture in pixels, checked when the file is read.
        beside: More points of the same people and frames, by the names that COCO-WholeBody gives
            them.

    Raises:
        UserError: If the file cannot be written.
        ValueError: If the arrays do not have these shapes or a visible point is not finite.
    """
    xy, conf = np.asarray(keypoints.xy), np.asarray(keypoints.conf)
    if conf.ndim not in (2, 3) or conf.shape[-1] != 17 or xy.shape != (*conf.shape, 2):
        raise ValueError(
            f"keypoints must be [people 17] or [people frames 17], got {xy.shape}, {conf.shape}"
        )
    values = {"keypoints": _triples(keypoints)}
    values |= {name: _triples(points) for name, points in (beside or {}).items()}
    document: dict[str, Any] = {"format": OWN_FORMAT}
    if size is not None:
        document |= {"height": size[0], "width": size[1]}
    if conf.ndim == 2:
        document |= _people_json(values)
    else:
        document["frames"] = [
            _people_json({name: points[:, frame] for name, points in values.items()})
            for frame in range(conf.shape[1])
        ]
    write_json(path, document)


def _triples(keypoints: Keypoints) -> np.ndarray:
    xy, conf = np.asarray(keypoints.xy, float), np.asarray(keypoints.conf, float)[..., None]
    return np.concatenate([np.where(conf > 0, xy, 0.0), conf], axis=-1).round(3)


def _people_json(values: Mapping[str, np.ndarray]) -> dict[str, Any]:
    num_people = len(values["keypoints"])
    return {
        "people": [
            {name: points[person].tolist() for name, points in values.items()}
            for person in range(num_people)
        ]
    }
