"""What the fuzzers share: how much they try, people, and documents with something wrong in them."""

import contextlib
import copy
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tpc_jax.errors import InputWarning, UserError

# A standing person, COCO-17, in torsos about the middle of the hips.
BODY = np.array(
    [
        (0, -1.45), (0.08, -1.55), (-0.08, -1.55), (0.2, -1.5), (-0.2, -1.5),
        (0.45, -1), (-0.45, -1), (0.7, -0.5), (-0.7, -0.5), (0.9, 0), (-0.9, 0),
        (0.25, 0), (-0.25, 0), (0.3, 0.8), (-0.3, 0.8), (0.34, 1.6), (-0.34, 1.6),
    ]
)  # fmt: skip
KEYS = (
    "annotations", "bodies", "canvas_height", "canvas_width", "categories", "category_id", "format",
    "frame_id", "frames", "height", "id", "image_id", "images", "instance_info", "instances",
    "joints", "keypoint_scores", "keypoints", "labels", "landmark", "meta_info", "people",
    "pose_keypoints_2d", "pose_landmarks", "predictions", "scores", "visibility", "width", "x", "y",
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-3, 300),
    st.floats(-1, 2),
    st.floats(),
    st.sampled_from([10**400, -(2**63), 1e300, float("nan"), float("-inf"), True]),
)
TEXTS = st.one_of(
    st.sampled_from([*KEYS, "coco-17", "[[1]]", "9.jpg", "\ud800", "a\nb"]), st.text()
)
VALUES = st.recursive(
    st.one_of(st.none(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(TEXTS, inner, max_size=5)),
    max_leaves=12,
)


def tries(count):
    """Try so many examples, the same ones every time; a fault is shown as it was found."""
    return settings(
        max_examples=count, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip


@contextlib.contextmanager
def folder():
    """A folder for one example; pytest's own is one for all examples."""
    path = Path(tempfile.mkdtemp())
    try:
        yield path
    finally:
        shutil.rmtree(path)


def attempt(read, *arguments, **options):
    """Return what is read, None if it is refused, and the warnings about it.

    Whatever is said has to be one line that any terminal can show.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found, error = read(*arguments, **options), None
        except UserError as refusal:
            found, error = None, str(refusal)
    said = [str(one.message) for one in caught if issubclass(one.category, InputWarning)]
    for line in said if error is None else [*said, error]:
        assert line.isprintable(), line
    return found, said


@st.composite
def people(draw, frames, size):
    """Draw a person who stands in pictures and hardly moves, `[frames 17 3]`."""
    height, width = size
    torso = draw(st.floats(0.15, 0.25)) * min(size)
    at = np.array([draw(st.floats(0.4, 0.6)) * width, draw(st.floats(0.45, 0.55)) * height])
    step = np.array([draw(st.floats(-0.1, 0.1)), draw(st.floats(-0.1, 0.1))]) * torso
    xy = torso * BODY + at + step * np.arange(frames)[:, None, None] / frames
    conf = np.full((frames, 17, 1), draw(st.floats(0.5, 1)))
    return np.concatenate([xy, conf], axis=-1)


@st.composite
def damaged(draw, document):
    """Draw a document in which a few values are replaced, removed, doubled or re-typed."""
    document = [copy.deepcopy(document)]
    for _ in range(draw(st.integers(1, 4))):
        holder, key = document, 0
        for _ in range(draw(st.integers(0, 7))):
            inner = holder[key]
            if not isinstance(inner, list | dict) or not inner:
                break
            holder, key = inner, draw(st.sampled_from(_keys(inner)))
        _damage(draw, holder, key)
        if not document:
            return None
    return document[0]


def _keys(value):
    return list(value) if isinstance(value, dict) else range(len(value))


def _damage(draw, holder, key):
    kind = draw(st.sampled_from(["replace", "number", "remove", "wrap", "text", "double"]))
    if kind == "remove":
        del holder[key]
    elif kind == "double" and isinstance(holder, list):
        holder.insert(key, holder[key])
    else:
        made = {
            "number": NUMBERS,
            "wrap": st.just([holder[key]]),
            "text": st.just(str(holder[key])),
        }
        holder[key] = draw(made.get(kind, VALUES))
