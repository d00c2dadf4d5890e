import json

import numpy as np

from tpc_jax._types import Keypoints
from tpc_jax.io.keypoint_files import read_keypoint_file
from tpc_jax.pose.comfyui import write_comfyui
from tpc_jax.pose.dwpose import whole_body

SIZE = (200, 160)


def clip():
    """Two people in three frames; the second is there once, and its left hand never."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(5, 150, (2, 3, 133, 2)), np.ones((2, 3, 133, 1))], -1)
    points[1, 1:, :, 2] = 0
    points[1, 0, 91:112, 2] = 0
    points[0, 0, 4, 2] = 0.2
    return whole_body(points, "wholebody-133")


def test_what_is_written_is_read_with_hands_and_faces(tmp_path):
    people = clip()
    write_comfyui(tmp_path / "k.json", people, SIZE)
    file = read_keypoint_file(tmp_path / "k.json")
    assert (file.layout, file.size) == ("openpose-130", SIZE)
    for wrote, found in zip(people, whole_body(file.points, file.layout), strict=True):
        seen = np.asarray(wrote.conf) > 0.3
        np.testing.assert_array_equal(np.asarray(found.conf) > 0.3, seen)
        np.testing.assert_allclose(found.xy[seen], wrote.xy[seen], atol=6e-4)


def test_the_file_is_as_comfyui_writes_it(tmp_path):
    write_comfyui(tmp_path / "k.json", clip(), SIZE)
    frames = json.loads((tmp_path / "k.json").read_text())
    assert [len(frame["people"]) for frame in frames] == [2, 1, 1]
    assert all((f["canvas_height"], f["canvas_width"]) == SIZE for f in frames)
    first, second = frames[0]["people"]
    numbers = {"pose": 54, "face": 210, "hand_left": 63, "hand_right": 63}
    assert {key: len(first[f"{key}_keypoints_2d"]) for key in numbers} == numbers
    assert first["face_keypoints_2d"][204:] == first["pose_keypoints_2d"][42:48]  # the pupils
    assert second["hand_left_keypoints_2d"] is None
    assert set(first["pose_keypoints_2d"][2::3]) == {0.0, 1.0}


def test_a_body_alone_has_no_hands_and_no_face(tmp_path):
    points = np.concatenate([np.full((1, 1, 17, 2), 50.0), np.ones((1, 1, 17, 1))], axis=-1)
    people = whole_body(points, "coco-17")
    people = people._replace(body=Keypoints(people.body.xy, people.body.conf))
    write_comfyui(tmp_path / "k.json", people, SIZE)
    (person,) = json.loads((tmp_path / "k.json").read_text())[0]["people"]
    assert [key for key, value in person.items() if value] == ["pose_keypoints_2d"]
