"""Read one person, whichever detector wrote it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tpc_jax._types import KEYPOINT_NAMES
from tpc_jax.io.keypoints.documents import LAYOUTS, OddPerson, Person, describe
from tpc_jax.io.keypoints.names import places_by_name

# Beyond this no picture reaches.
_FARTHEST = 1e6
_SCORES = ("keypoint_scores", "scores", "kp_scores")
_BODIES = ("pose_keypoints_2d", "pose_keypoints", "joints")
# Parts that COCO-WholeBody keeps apart from the body, in the order of the 133 points.
_WHOLE = {"foot_kpts": 6, "face_kpts": 68, "lefthand_kpts": 21, "righthand_kpts": 21}
# Parts that OpenPose keeps apart from the body; early versions left out the dimension.
_OPENPOSE = {"face_keypoints": 70, "hand_left_keypoints": 21, "hand_right_keypoints": 21}
_OPENPOSE_PARTS = sum(_OPENPOSE.values())


def is_person(value: Any) -> bool:
    """Tell whether a value has the keys, or is the list, of a detector's person."""
    if isinstance(value, dict):
        keys = ("keypoints", "landmark", *_BODIES)
        return any(key in value or f"{key}_2d" in value for key in (*keys, *_OPENPOSE))
    return is_landmarks(value)


def is_landmarks(value: Any) -> bool:
    """Tell whether a value is a list of landmarks `{x, y, ...}` or of MediaPipe's rows."""
    if not isinstance(value, list) or not value:
        return False
    if all(isinstance(point, dict) and "x" in point and "y" in point for point in value):
        return True
    return all(
        isinstance(point, list)
        and 2 <= len(point) <= 6
        and all(isinstance(number, int | float | None) for number in point)
        for point in value
    )


def read_person(value: Any, names: Sequence[str] | None = None, *, is_own: bool = False) -> Person:
    """Read one person.

    Args:
        value: The entry of the person.
        names: What the file calls the points, in its order.
        is_own: Whether it is of our own format.

    Raises:
        OddPerson: It is no person with a body.
    """
    if is_own:
        order, points = "own", _own(value)
    elif isinstance(value, list):
        order, points = "mediapipe", _landmarks(value)
    elif not isinstance(value, dict):
        raise OddPerson(f"is {describe(value)}")
    elif "landmark" in value:
        order, points = "mediapipe", _landmarks(value["landmark"])
    elif body := next((key for key in _BODIES if key in value), None):
        order, points = "openpose", _triples(value[body], LAYOUTS["openpose"])
    elif "keypoints" in value:
        order, points = "coco", _keypoints(value)
    else:
        raise OddPerson(f"has no body, but is {describe(value)}")
    is_flagged = order == "coco" and not any(key in value for key in _SCORES)
    if names and order != "mediapipe":
        order, points = "coco", _by_name(points, names)
    points = points if is_own else _without_missing(points)
    if len(points) not in LAYOUTS[order]:
        known = " or ".join(map(str, LAYOUTS[order]))
        raise OddPerson(f"has {len(points)} points, expected {known}")
    layout = LAYOUTS[order][len(points)]
    if order == "openpose":
        points = np.concatenate([points, *_beside(value, _OPENPOSE)])
    elif layout == "coco-17" and isinstance(value, dict) and any(map(value.get, _WHOLE)):
        layout = LAYOUTS["coco"][133]
        points = np.concatenate([points, *_beside(value, _WHOLE)])
    return Person(layout, points, is_flagged)


def whole_person(person: Person) -> Person:
    """Return a person of COCO-17 with feet, hands and face that are missing, others as they are."""
    if person.layout != "coco-17":
        return person
    points = np.concatenate([person.points, np.zeros((sum(_WHOLE.values()), 3))])
    return person._replace(layout="wholebody-133", points=points)


def body_only(layout: str, points: np.ndarray) -> tuple[str, np.ndarray]:
    """Drop OpenPose's hands and faces where nobody has any, or name the set by all its points."""
    if not layout.startswith("openpose"):
        return layout, points
    count = points.shape[-2] - _OPENPOSE_PARTS
    if (points[..., count:, 2] > 0).any():
        return f"openpose-{points.shape[-2]}", points
    return layout, points[..., :count, :]


def _own(value: Any) -> np.ndarray:
    if not isinstance(value, dict) or not value.get("keypoints"):
        raise OddPerson(f"is {describe(value)}")
    points = _numbers(value["keypoints"])
    if points.ndim != 2 or points.shape[1] != 3:
        raise OddPerson("is not a list of [x, y, confidence]")
    conf = points[:, 2]
    missing = conf == 0
    bad = ~np.isfinite(conf) | (~missing & ~(np.abs(points[:, :2]) < _FARTHEST).all(axis=1))
    if bad.any():
        point = int(np.argmax(bad))
        raise OddPerson(
            f"has point {point} at {points[point].tolist()}, not finite; "
            "set its confidence to 0 if the point is missing"
        )
    if (outside := (conf < 0) | (conf > 1)).any():
        point = int(np.argmax(outside))
        raise OddPerson(f"has point {point} of confidence {conf[point]}; use 0 to 1")
    points[missing] = 0
    return points


def _keypoints(value: dict[str, Any]) -> np.ndarray:
    """Read `keypoints` of the COCO family: triples, or positions with scores beside them."""
    keypoints = value["keypoints"]
    scores = next((value[key] for key in _SCORES if key in value), None)
    if isinstance(keypoints, dict):  # ultralytics
        columns = [_numbers(keypoints.get(key)) for key in ("x", "y", "visible")]
        if any(column.shape != columns[0].shape or column.ndim != 1 for column in columns):
            raise OddPerson("has no x, y and visible of one length")
        points = np.stack(columns, axis=-1)
    elif scores is not None:
        points = _scored(_numbers(keypoints), _numbers(scores), value.get("labels"))
    else:
        return _triples(keypoints, LAYOUTS["coco"])
    points[:, 2] = np.clip(np.nan_to_num(points[:, 2]), 0, 1)
    return points


def _scored(positions: np.ndarray, scores: np.ndarray, labels: Any) -> np.ndarray:
    scores = scores.reshape(-1)
    if positions.ndim != 2 or positions.shape[-1] not in (2, 3):
        raise OddPerson("is not a list of [x, y] and one of scores")
    if positions.shape[1] == 3:
        raise OddPerson("has positions of three coordinates, so depths; give 2-D keypoints")
    if len(scores) != len(positions):
        raise OddPerson(f"has {len(positions)} points but {len(scores)} scores")
    points = np.concatenate([positions, scores[:, None]], axis=1)
    if labels is None:
        return points
    # ViTPose leaves out weak points and says which ones are left.
    places = np.nan_to_num(_numbers(labels), nan=-1).clip(-1, _FARTHEST).astype(int)
    if places.shape != scores.shape or len(set(places.tolist())) != len(places):
        raise OddPerson("has labels that do not fit its points")
    counts = [count for count in LAYOUTS["coco"] if 0 <= places.min() and places.max() < count]
    if not counts:
        raise OddPerson(f"has labels up to {places.max()}, none of a known set of points")
    everything = np.zeros((counts[0], 3))
    everything[places] = points
    return everything


def _triples(value: Any, layouts: dict[int, str]) -> np.ndarray:
    flat = _numbers(value)
    if flat.ndim == 2 and flat.shape[1] == 3:
        return flat
    if flat.ndim != 1 or flat.size == 0 or flat.size % 3:
        known = " or ".join(str(3 * count) for count in layouts)
        raise OddPerson(f"has {flat.size} numbers, expected {known} (x, y, confidence per point)")
    return flat.reshape(-1, 3)


def _beside(value: Any, parts: Mapping[str, int]) -> list[np.ndarray]:
    """Return hands, face or feet; zeros where they are missing or of another number."""
    found = []
    for key, count in parts.items():
        part = np.zeros((count, 3))
        try:
            points = _numbers(value.get(f"{key}_2d", value.get(key))).reshape(-1, 3)
        except ValueError:
            points = part[:0]
        if len(points) in (count, count - 2):  # faces may lack the pupils
            part[: len(points)] = _without_missing(points)
        found.append(part)
    return found


def _landmarks(value: Any) -> np.ndarray:
    """Read MediaPipe's landmarks; z says how deep a point lies and is left out."""
    if not is_landmarks(value):
        raise OddPerson(f"is {describe(value)}")
    try:
        if isinstance(value[0], dict):
            rows = [[point["x"], point["y"], point["visibility"]] for point in value]
        else:
            rows = [[point[0], point[1], point[3]] for point in value]
    except (KeyError, IndexError) as error:
        raise OddPerson(
            f"is a list of {len(value)} points without visibility or names; only MediaPipe's "
            "33 landmarks (x, y, z, visibility) are known as such"
        ) from error
    points = _numbers(rows)
    points[:, 2] = np.clip(np.nan_to_num(points[:, 2]), 0, 1)
    return points


def _by_name(points: np.ndarray, names: Sequence[str]) -> np.ndarray:
    if len(names) != len(points):
        raise OddPerson(f"has {len(points)} points where the file names {len(names)}")
    places = places_by_name(names)
    if places == list(range(len(KEYPOINT_NAMES))) and len(points) in LAYOUTS["coco"]:
        return points
    known = [place if place is not None else -1 for place in places]
    return np.concatenate([points, np.zeros((1, 3))])[known]


def _without_missing(points: np.ndarray) -> np.ndarray:
    """Zero the points that detectors mark as missing.

    These are such without confidence or position, at exactly (0, 0), and at exactly (-1, -1).
    """
    xy, conf = points[:, :2], points[:, 2]
    missing = ~(np.abs(xy) < _FARTHEST).all(axis=1) | ~np.isfinite(conf) | (conf == 0)
    missing |= (xy == 0).all(axis=1) | (xy == -1).all(axis=1)
    return np.where(missing[:, None], 0.0, points)


def _numbers(value: Any) -> np.ndarray:
    """Return an array of numbers, NaN for null."""
    if value is None or isinstance(value, str | dict):
        raise OddPerson(f"has {describe(value)} in place of numbers")
    try:
        return np.array(value, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise OddPerson("is not a list of [x, y, confidence]") from error
