"""Whatever a keypoint file holds, it is read rightly or refused in one line."""

import json

import numpy as np
import pytest
from fuzzing import VALUES, attempt, damaged, folder, people, tries
from hypothesis import given
from hypothesis import strategies as st
from keypoint_documents import clips, pictures

from tpc_jax.io.keypoint_files import read_keypoint_file
from tpc_jax.io.keypoints.placing import Pictures
from tpc_jax.pose.reading import read_keypoints

SIZE, FRAMES = (120, 100), 3
_NOISE = np.random.default_rng(5)
TRUTH = np.concatenate(
    [_NOISE.uniform(5, 95, (FRAMES, 17, 2)), _NOISE.uniform(0.4, 1, (FRAMES, 17, 1))], axis=-1
)
CLIPS = clips(TRUTH, SIZE)
PICTURES = pictures(TRUTH[0], SIZE)


def write(path, document, encoding="utf-8"):
    path.write_text(json.dumps(document), encoding=encoding)
    return path


def require_points(document, pictures):
    with folder() as path:
        file, _ = attempt(read_keypoint_file, write(path / "k.json", document), pictures)
    if file is None:
        return
    assert np.isfinite(file.points).all()
    conf = file.points[..., 2]
    assert conf.min() >= 0
    assert 0 < conf.max() <= 1
    assert pictures.num_frames in (None, conf.shape[1])


@tries(200)
@given(VALUES, st.booleans())
def test_any_json_is_refused_or_people(document, is_known):
    require_points(document, Pictures(SIZE, FRAMES) if is_known else Pictures())


@pytest.mark.parametrize("name", CLIPS)
def test_damaged_clips_are_refused_or_people(name):
    @tries(20)
    @given(damaged(CLIPS[name]), st.booleans())
    def check(document, is_known):
        require_points(document, Pictures(SIZE, FRAMES) if is_known else Pictures())

    check()


@pytest.mark.parametrize("name", PICTURES)
def test_damaged_pictures_are_refused_or_people(name):
    @tries(20)
    @given(damaged(PICTURES[name]), st.booleans())
    def check(document, is_known):
        require_points(document, Pictures(SIZE, 1) if is_known else Pictures())

    check()


PEOPLE = ("people", "instances", "predictions", "bodies", "pose_landmarks")
ODD = st.sampled_from(
    [None, 7, "", {}, {"keypoints": None}, {"keypoints": []}, {"keypoints": [1.0] * 42},
     {"pose_keypoints_2d": None, "hand_left_keypoints_2d": [1.0] * 63}]
)  # fmt: skip
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"])
NUMBERED = [name for name in CLIPS if name.startswith(("COCO", "Alpha", "OpenPif"))] + ["mmpose"]
PIXELS = [name for name in CLIPS if not name.startswith("MediaPipe")]


def lists_of_people(value):
    """Find the lists in a document that hold people and nothing else."""
    if isinstance(value, dict):
        own = [value[key] for key in PEOPLE if isinstance(value.get(key), list)]
        own = [some for some in own if not (some and isinstance(some[0], list))]
        return own + [found for inner in value.values() for found in lists_of_people(inner)]
    if not isinstance(value, list):
        return []
    own = [item for item in value if isinstance(item, list) and isinstance(item[0], dict)
           and "keypoints" in item[0]]  # fmt: skip
    return own + [found for inner in value for found in lists_of_people(inner)]


def entries_of(document):
    """Return the numbered or named entries of a document as a list, and how to put them back."""
    if isinstance(document, list):
        return document, list
    if "instance_info" in document:
        return document["instance_info"], lambda some: document | {"instance_info": list(some)}
    return list(document.items()), dict


def require_truth(document, truth, encoding="utf-8"):
    with folder() as path:
        file = write(path / "k.json", document, encoding)
        found, said = attempt(read_keypoints, file, SIZE, len(truth))
    assert found is not None
    np.testing.assert_allclose(found.xy[0], truth[..., :2], atol=1)
    np.testing.assert_allclose(found.conf[0], truth[..., 2], atol=0.01)
    return said


@pytest.mark.parametrize("name", NUMBERED)
def test_numbered_entries_may_come_in_any_order_and_lack_some(name):
    @tries(10)
    @given(people(5, SIZE), st.permutations(range(5)), st.sets(st.integers(1, 3)))
    def check(truth, order, left_out):
        entries, back = entries_of(clips(truth, SIZE)[name])
        truth[list(left_out)] = 0
        said = require_truth(back(entries[k] for k in order if k not in left_out), truth)
        assert len(said) == (len(left_out) > 0)

    check()


@pytest.mark.parametrize("name", CLIPS)
def test_odd_people_and_byte_order_marks_change_nothing(name):
    @tries(10)
    @given(people(3, SIZE), ENCODINGS, st.lists(ODD, max_size=3), st.integers(0, 1))
    def check(truth, encoding, odd, at):
        document = clips(truth, SIZE)[name]
        for some in lists_of_people(document):
            some[at:at] = odd
        require_truth(document, truth, encoding)

    check()


@pytest.mark.parametrize("name", PIXELS)
def test_parts_of_the_picture_are_its_pixels_and_it_is_said(name):
    @tries(10)
    @given(people(3, SIZE))
    def check(truth):
        parts = truth / [SIZE[1], SIZE[0], 1]
        assert require_truth(clips(parts, SIZE)[name], truth)

    check()


@pytest.mark.parametrize("name", ["our own", "ComfyUI"])
def test_points_on_a_stated_size_are_scaled(name):
    @tries(20)
    @given(people(3, SIZE), st.integers(1, 40))
    def check(truth, scale):
        large = np.concatenate([(truth[..., :2] + 0.5) * scale - 0.5, truth[..., 2:]], axis=-1)
        size = (SIZE[0] * scale, SIZE[1] * scale)
        document = clips(large, size)[name]
        if name == "our own":
            document |= {"height": size[0], "width": size[1]}
        said = require_truth(document, truth)
        assert len(said) == (scale != 1)

    check()
