"""Frames of keypoint files stand where their numbers and names put them."""

import json

import numpy as np
import pytest

from tpc_jax.errors import InputWarning, UserError
from tpc_jax.io.keypoint_files import read_keypoint_file
from tpc_jax.io.keypoints.placing import Pictures


def person(mark):
    """Return a person whose nose tells the frame."""
    points = np.random.default_rng(0).uniform(20, 60, (17, 3))
    points[:, 2] = 0.9
    points[0, 0] = 10 + mark
    return {"keypoints": points.ravel().tolist()}


def results(marks, name="{}.jpg"):
    """Return AlphaPose results; with `name` None the frame is a number."""
    return [
        {"image_id": mark if name is None else name.format(mark), **person(mark)} for mark in marks
    ]


def marks_of(path, document=None, **pictures):
    """Return the mark of every frame, None where nobody is."""
    if document is not None:
        path.write_text(json.dumps(document))
    points = read_keypoint_file(path, Pictures(**pictures)).points
    found = points[0, :, 0]
    return [round(x - 10) if conf > 0 else None for x, conf in found[:, [0, 2]].tolist()]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "k.json"


@pytest.mark.parametrize("name", ["{}.jpg", "frame_{}.png", "clip2/{:05d}.jpg", None])
def test_frames_are_ordered_by_number_not_as_text(path, name):
    shuffled = np.random.default_rng(1).permutation(12).tolist()
    assert marks_of(path, results(shuffled, name), num_frames=12) == list(range(12))
    assert marks_of(path, results(shuffled, name)) == list(range(12))


@pytest.mark.parametrize("name", ["{}.jpg", None])
@pytest.mark.parametrize("start", [0, 1])
def test_gaps_are_frames_with_nobody(path, name, start):
    numbers = [start + k for k in (0, 1, 4, 5)]
    expected = [numbers[0], numbers[1], None, None, numbers[2], numbers[3]]
    with pytest.warns(InputWarning, match="holds 4 of 6 frames; nobody is in the other 2"):
        assert marks_of(path, results(numbers, name), num_frames=6) == expected
    with pytest.warns(InputWarning, match="holds 4 of 6 frames"):
        assert marks_of(path, results(numbers, name)) == expected


def test_frames_after_the_last_person_are_known_from_the_video(path):
    with pytest.warns(InputWarning, match="holds 3 of 5 frames"):
        assert marks_of(path, results([0, 1, 2]), num_frames=5) == [0, 1, 2, None, None]


def test_a_late_first_person_of_a_counted_video_stands_at_its_number(path):
    with pytest.warns(InputWarning, match="frames 2 to 3 of 5 are counted from 0"):
        assert marks_of(path, results([2, 3]), num_frames=5) == [None, None, 2, 3, None]
    with pytest.warns(InputWarning, match="frames 2 to 3 of 5 are counted from 1"):
        found = marks_of(path, results([2, 3], "f_{:04d}.png"), num_frames=5)
    assert found == [None, 2, 3, None, None]


def test_numbers_of_a_cut_clip_start_at_the_lowest(path):
    with pytest.warns(InputWarning, match="holds 3 of 4 frames"):
        assert marks_of(path, results([50, 51, 53]), num_frames=4) == [50, 51, None, 53]
    with pytest.warns(InputWarning, match="frames 50 to 51 of 4 are counted from 50"):
        assert marks_of(path, results([50, 51]), num_frames=4) == [50, 51, None, None]


def test_every_second_frame_of_a_longer_clip_is_said(path):
    with pytest.warns(InputWarning, match="numbered 0 to 6 are taken one after another"):
        assert marks_of(path, results([0, 2, 4, 6]), num_frames=4) == [0, 2, 4, 6]


@pytest.mark.parametrize("numbers", [[0, 9], [0, 1, 2, 3], [3, 100]])
def test_what_does_not_fit_the_video_is_refused(path, numbers):
    with pytest.raises(UserError, match=r"holds \d frames.*, the motion has 3; give one entry"):
        marks_of(path, results(numbers), num_frames=3)


@pytest.mark.parametrize("name", ["{}.jpg", None])
def test_timestamps_and_ids_never_allocate_by_their_value(path, name):
    numbers = [1_700_000_000_123, 1_700_000_040_123, 1_700_009_000_000]
    ranks = [mark for _, mark in sorted(zip(numbers, range(3), strict=True))]
    document = results(numbers, name)
    for entry, mark in zip(document, ranks, strict=True):
        entry["keypoints"][0] = 10 + mark
    with pytest.warns(InputWarning, match=r"go up to 1700009000000; .* one after another"):
        assert marks_of(path, document[::-1]) == ranks
    with pytest.warns(InputWarning, match="one after another"):
        assert marks_of(path, document[::-1], num_frames=3) == ranks
    with pytest.raises(UserError, match=r"holds 3 frames \(numbered 1700000000123 to"):
        marks_of(path, document, num_frames=5)


def test_names_of_the_pictures_decide(path):
    names = [f"shot_{n}.png" for n in (3, 7, 8, 20)]
    document = results([8, 3], "frames/shot_{}.jpg")
    with pytest.warns(InputWarning, match="holds 2 of 4 frames"):
        found = marks_of(path, document, num_frames=4, names=names)
    assert found == [3, None, 8, None]


def test_a_folder_with_a_missing_file_keeps_its_time(path):
    for number in (9, 10, 12):
        file = path.parent / f"v_{number}_keypoints.json"
        file.write_text(json.dumps([person(number) | {"keypoint_scores": [0.9] * 17}
                                    | {"keypoints": [[10 + number, 30]] * 17}]))  # fmt: skip
    with pytest.warns(InputWarning, match="holds 3 of 4 frames"):
        assert marks_of(path.parent, num_frames=4) == [9, 10, None, 12]
    with pytest.raises(UserError, match=r"holds 3 frames \(numbered 9 to 12\), a.mp4 has 6"):
        marks_of(path.parent, num_frames=6, title="a.mp4")


def test_a_file_of_a_folder_holds_one_frame(path):
    for number in range(2):
        file = path.parent / f"{number}.json"
        file.write_text(json.dumps(results([0, 1])))
    with pytest.raises(UserError, match=r"0\.json: holds 2 frames beside other files"):
        marks_of(path.parent)


def test_listed_images_without_people_count(path):
    images = [{"id": 40 + k, "file_name": f"{name}.png"} for k, name in enumerate((11, 9, 10))]
    document = {"images": images, "annotations": [{"image_id": 41, **person(9)}]}
    assert marks_of(path, document, num_frames=3) == [9, None, None]


def test_a_person_of_no_listed_image_is_said(path):
    people = [{"image_id": 1, **person(1)}, {"image_id": 5, **person(5)}, None]
    document = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": people}
    with pytest.warns(InputWarning, match="2 entries are left out; annotation 1 belongs to none"):
        assert marks_of(path, document, num_frames=1) == [1]


def test_the_file_of_one_picture_holds_one(path):
    with pytest.raises(UserError, match="holds 2 frames; give the keypoints of one picture"):
        marks_of(path, results([4, 5]), num_frames=1)
    assert marks_of(path, results([4]), num_frames=1) == [4]
