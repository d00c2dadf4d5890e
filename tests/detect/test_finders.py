"""Pictures and networks in; what `pose.reading` asks for out."""

import numpy as np
import pytest
from drawn_people import draw, make_model
from onnx_files import PEOPLE, show_person, write_person_network, write_pose_network

from tpc_jax.detect.finders import find_with_blazepose, find_with_wholebody
from tpc_jax.detect.wholebody import open_wholebody

KNEES = [13, 14]  # landmarks 25 and 26


def walkers(count=3):
    people = ([(60 + 4 * i, 170, 65 + 4 * i, 80), (250, 180, 245, 90)] for i in range(count))
    return np.stack([draw(both) for both in people])


def test_everybody_comes_with_keypoints_masks_and_parts():
    seen = []
    found = find_with_blazepose(make_model()[0], seen.append)(walkers())
    assert seen == [0, 1, 2]
    assert found.is_followed
    assert found.keypoints.xy.shape == (2, 3, 17, 2)
    hips = found.keypoints.xy[:, :, 11:13, 0].mean(axis=-1)
    np.testing.assert_allclose(hips, [[60, 64, 68], [250] * 3], atol=2)
    assert (found.keypoints.conf > 0.8).all()
    assert found.masks.shape == (2, 3, 240, 320)
    assert found.people is None


def test_parts_are_of_everybody_and_within_their_masks():
    found = find_with_blazepose(make_model()[0])(walkers())
    assert found.parts.shape == (3, 240, 320)
    assert found.parts.max() <= 24
    assert not (found.parts > 0)[~found.masks.any(axis=0)].any()
    for mask in found.masks:
        assert (found.parts[mask] > 0).mean() > 0.5


def test_points_that_wander_are_less_sure():
    steady, wandering = (
        find_with_blazepose(make_model(wobbling)[0])(walkers(1)) for wobbling in ((), (25, 26))
    )
    lost = wandering.keypoints.conf / steady.keypoints.conf
    assert (lost[..., KNEES] < 0.7).all()
    assert (np.delete(lost, KNEES, axis=-1) > 0.95).all()


def test_nobody_is_no_rows():
    found = find_with_blazepose(make_model()[0])(np.zeros((2, 48, 64, 3), np.uint8))
    assert found.keypoints.xy.shape == (0, 2, 17, 2)
    assert found.masks.shape == (0, 2, 48, 64)
    assert not found.parts.any()


def test_the_whole_body_comes_with_hands_and_faces_but_without_masks(tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    models = write_person_network(tmp_path / "a.onnx"), write_pose_network(tmp_path / "b.onnx")
    image, seen = np.zeros((600, 800, 3), np.uint8), []
    show_person(image, next(iter(PEOPLE)), (300, 60, 560, 560))
    found = find_with_wholebody(open_wholebody(*models), seen.append)(np.stack([image] * 2))
    assert seen == [0, 1]
    assert found.is_followed
    assert found.keypoints.xy.shape == (1, 2, 17, 2)
    assert (found.masks, found.parts) == (None, None)
    assert found.people.hands.conf.any()
    assert found.people.face.conf.any()
