import json

import numpy as np
import pytest

from tpc_jax._types import Keypoints
from tpc_jax.errors import InputWarning, UserError
from tpc_jax.io.keypoint_files import read_keypoint_file, write_keypoint_file

RNG = np.random.default_rng(3)


def person(count):
    return np.concatenate([RNG.uniform(5, 90, (count, 2)), RNG.uniform(0.2, 1, (count, 1))], 1)


def save(path, document):
    path.write_text(json.dumps(document))
    return path


def test_own_format_round_trip_of_a_still(tmp_path):
    people = np.stack([person(17), person(17)])
    people[1, 4] = (np.nan, np.nan, 0)
    keypoints = Keypoints(people[..., :2], people[..., 2])
    write_keypoint_file(tmp_path / "k.json", keypoints, size=(480, 640))
    read = read_keypoint_file(tmp_path / "k.json")
    assert (read.layout, read.size) == ("coco-17", (480, 640))
    np.testing.assert_allclose(read.points[:, 0], np.nan_to_num(people), atol=6e-4)


def test_own_format_round_trip_of_a_clip(tmp_path):
    points = np.stack([person(17) for _ in range(4)])[None]
    write_keypoint_file(tmp_path / "k.json", Keypoints(points[..., :2], points[..., 2]))
    read = read_keypoint_file(tmp_path / "k.json")
    assert read.size is None
    np.testing.assert_allclose(read.points, points, atol=6e-4)


def test_frames_with_fewer_people_have_zero_confidence(tmp_path):
    one, two = person(17).tolist(), person(17).tolist()
    frames = [{"people": []}, {"people": [{"keypoints": one}, {"keypoints": two}]}]
    read = read_keypoint_file(save(tmp_path / "k.json", {"format": "coco-17", "frames": frames}))
    assert read.points.shape == (2, 2, 17, 3)
    assert (read.points[:, 0] == 0).all()
    np.testing.assert_allclose(read.points[:, 1], [one, two])


def test_coco_annotations(tmp_path):
    points = person(17)
    points[:, 2] = RNG.integers(1, 3, 17)
    document = {
        "images": [{"id": 7, "file_name": "f10.png"}, {"id": 9, "file_name": "f2.png"}],
        "annotations": [{"image_id": 7, "keypoints": points.ravel().tolist()}],
    }
    read = read_keypoint_file(save(tmp_path / "k.json", document))
    assert read.points.shape == (1, 2, 17, 3)  # f2 precedes f10 and shows nobody
    assert (read.points[0, 0] == 0).all()
    np.testing.assert_allclose(read.points[0, 1, :, 2], points[:, 2] / 2)
    np.testing.assert_allclose(read.points[0, 1, :, :2], points[:, :2])


def test_coco_results(tmp_path):
    people = [person(17) for _ in range(3)]
    document = [
        {"image_id": image, "category_id": 1, "keypoints": p.ravel().tolist(), "score": 0.9}
        for image, p in zip([2, 1, 2], people, strict=True)
    ]
    read = read_keypoint_file(save(tmp_path / "k.json", document))
    np.testing.assert_allclose(read.points[0, 0], people[1])
    np.testing.assert_allclose(read.points[:, 1], np.stack([people[0], people[2]]))


def mmpose(points):
    return {"keypoints": points[:, :2].tolist(), "keypoint_scores": points[:, 2].tolist()}


@pytest.mark.parametrize("count", [17, 133])
@pytest.mark.parametrize("nested", [False, True])
def test_mmpose_picture(tmp_path, count, nested):
    points = person(count)
    points[0, 2] = 1.07  # simulated-coordinate scores may exceed one
    document = [[mmpose(points)]] if nested else [mmpose(points)]
    read = read_keypoint_file(save(tmp_path / "k.json", document))
    assert read.layout == ("coco-17" if count == 17 else "wholebody-133")
    np.testing.assert_allclose(read.points[0, 0], np.minimum(points, [np.inf, np.inf, 1]))


@pytest.mark.parametrize("wrapped", [False, True])
def test_mmpose_video_keeps_skipped_frames(tmp_path, wrapped):
    points = [person(17), person(17)]
    entries = [
        {"frame_id": number, "instances": [mmpose(p)]}
        for number, p in zip([1, 3], points, strict=True)
    ]
    document = {"meta_info": {}, "instance_info": entries} if wrapped else entries
    with pytest.warns(InputWarning, match="holds 2 of 3 frames; nobody is in the other 1"):
        read = read_keypoint_file(save(tmp_path / "k.json", document))
    assert read.points.shape == (1, 3, 17, 3)
    assert (read.points[0, 1] == 0).all()
    np.testing.assert_allclose(read.points[0, [0, 2]], points)


@pytest.mark.parametrize("count", [18, 25])
def test_openpose_folder(tmp_path, count):
    points = [person(count), person(count)]
    for number, p in zip([10, 9], points, strict=True):
        people = [{"pose_keypoints_2d": p.ravel().tolist()}]
        save(tmp_path / f"clip_{number}_keypoints.json", {"version": 1.3, "people": people})
    save(tmp_path / "clip_11_keypoints.json", {"version": 1.3, "people": []})
    read = read_keypoint_file(tmp_path)
    assert read.layout == f"openpose-{count}"
    np.testing.assert_allclose(read.points[0, :2], points[::-1])
    assert (read.points[0, 2] == 0).all()


def own(points):
    return {"format": "coco-17", "people": [{"keypoints": points}]}


def damaged(point, value):
    points = person(17).tolist()
    points[point] = value
    return own(points)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("{not json", "is not JSON"),
        ({"format": "coco-25", "people": []}, "format is 'coco-25'"),
        ({"hello": 1}, "unknown keypoint format"),
        ([], "holds no people"),
        ({"coordinates": [1], "who": 2}, "unknown keypoint format .*coordinates, who.*COCO"),
        (3, "unknown keypoint format"),
        ([{"score": 1}], "unknown keypoint format"),
        ({"format": "coco-17", "people": []}, "holds no people"),
        ({"format": "coco-17"}, "is incomplete"),
        (own(person(16).tolist()), "16 points, expected 17"),
        (own(person(17)[:, :2].tolist()), r"person 0 is not a list of \[x, y, confidence\]"),
        (own([[1, 2, 3], [1, 2]]), r"person 0 is not a list of \[x, y, confidence\]"),
        (damaged(6, [float("nan"), 3.0, 0.9]), "frame 0, person 0 has point 6 .*not finite"),
        (damaged(2, [1.0, float("inf"), 0.9]), "point 2 .*not finite"),
        (damaged(2, [1.0, 2.0, float("nan")]), "point 2 .*not finite"),
        (damaged(2, [1.0, 2.0, None]), "point 2 .*not finite|not a list"),
        (damaged(5, [1.0, 2.0, 95]), "person 0 has point 5 of confidence 95"),
        ({"people": [{"pose_keypoints_2d": [1.0] * 53}]}, "53 numbers"),
        ({"people": [{"pose_keypoints_2d": [1.0] * 51}]}, "17 points, expected 18 or 25"),
        ([{"image_id": 1, "keypoints": [0.5] * 50}], "50 numbers, expected 51"),
        ([{"keypoint_scores": [1.0] * 17, "keypoints": [[1, 2]] * 16}], "16 points but 17 scores"),
    ],
)
def test_bad_files_are_one_line_with_a_remedy(tmp_path, document, words):
    path = tmp_path / "k.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    with pytest.raises(UserError, match=rf"k.json.*{words}") as caught:
        read_keypoint_file(path)
    assert "\n" not in str(caught.value)


def test_missing_file_and_empty_folder(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_keypoint_file(tmp_path / "k.json")
    with pytest.raises(UserError, match="no JSON files"):
        read_keypoint_file(tmp_path)


def test_nan_of_a_missing_point_is_accepted(tmp_path):
    read = read_keypoint_file(save(tmp_path / "k.json", damaged(6, [float("nan"), 3.0, 0])))
    assert read.points[0, 0, 6].tolist() == [0, 0, 0]


def test_writing_wrong_shapes_raises(tmp_path):
    with pytest.raises(ValueError, match="keypoints must be"):
        write_keypoint_file(tmp_path / "k.json", Keypoints(np.zeros((1, 9, 2)), np.zeros((1, 9))))
    assert list(tmp_path.iterdir()) == []
