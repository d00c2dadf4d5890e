"""Coordinates of drawn people are fixed to the body."""

import cv2
import numpy as np
import pytest

from tpc_jax._types import Keypoints
from tpc_jax.studies.datasets.interface import move_keypoints, similarity_matrix
from tpc_jax.studies.datasets.synthetic import SyntheticPeople
from tpc_jax.studies.people.coordinates import body_coordinates

SIZE = 128


@pytest.fixture(scope="module")
def motion():
    return SyntheticPeople(SIZE, 1).read("0000-plain", [0, 5])


def test_nobody_is_zero_and_everybody_between_0_and_1(motion):
    is_body = motion.parts > 0
    assert motion.uv.shape == (2, SIZE, SIZE, 2)
    assert (motion.uv[~is_body] == 0).all()
    assert (motion.uv[is_body] > 0).all()
    assert (motion.uv[is_body] < 1).all()
    assert motion.uv[is_body].std(0).min() > 0.05


def test_they_turn_and_shrink_with_the_body(motion):
    matrix = similarity_matrix(0.5, 0.8, (0.05, 0.0), (SIZE, SIZE))
    people = motion.keypoints.select(np.s_[0])
    moved = move_keypoints(people, matrix, (SIZE, SIZE))
    parts = np.stack(
        [cv2.warpAffine(p, matrix, (SIZE, SIZE), flags=cv2.INTER_NEAREST) for p in motion.parts]
    )
    uv = body_coordinates(parts, Keypoints(moved.xy, moved.conf))
    expected = np.stack(
        [cv2.warpAffine(x, matrix, (SIZE, SIZE), flags=cv2.INTER_NEAREST) for x in motion.uv]
    )
    # Nearest pixels lie up to one half pixel aside.
    error = np.abs(uv - expected)[parts > 0]
    assert np.median(error) < 0.02
    assert np.quantile(error, 0.95) < 0.1
