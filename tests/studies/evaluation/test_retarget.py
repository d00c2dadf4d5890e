"""Motions moved onto the reference's person."""

import numpy as np
import pytest

from tpc_jax._types import Keypoints
from tpc_jax.studies.datasets.interface import move_keypoints, similarity_matrix
from tpc_jax.studies.datasets.synthetic import SyntheticPeople
from tpc_jax.studies.evaluation.retarget import retarget_limbs, shift_and_scale

SIZE = 64
PEOPLE = SyntheticPeople(SIZE, 8)
FRAMES = (3, 7, 11)


def motion(name="0002-plain", *, use_parts=True):
    clip = PEOPLE.read(name, FRAMES)
    parts = clip.parts if use_parts else None
    everything = np.ones_like(clip.keypoints.conf)
    keypoints = Keypoints(clip.keypoints.xy, everything)
    return clip._replace(keypoints=keypoints, parts=parts)


def person_of(driving, frame=0):
    return driving.keypoints.select(np.s_[:, frame])


@pytest.mark.parametrize("move", [shift_and_scale, retarget_limbs])
def test_the_motions_own_first_frame_changes_little(move):
    driving = motion()
    still = driving._replace(
        frames=driving.frames[:1], masks=driving.masks[:, :1], parts=driving.parts[:1],
        keypoints=driving.keypoints.select(np.s_[:, :1]),
    )  # fmt: skip
    moved = move(still, person_of(still))
    np.testing.assert_allclose(moved.keypoints.xy, still.keypoints.xy, atol=1e-3)
    assert (moved.parts == still.parts).mean() > 0.97
    assert (moved.masks == still.masks).mean() > 0.99


@pytest.mark.parametrize("move", [shift_and_scale, retarget_limbs])
def test_a_smaller_shifted_reference_is_met(move):
    driving = motion()
    matrix = similarity_matrix(0.0, 0.5, (0.1, -0.05), (SIZE, SIZE))
    large = (4 * SIZE, 4 * SIZE)
    reference = move_keypoints(person_of(driving), matrix, large)
    moved = move(driving, reference)
    ratio = np.sqrt((moved.parts > 0).sum() / (driving.parts > 0).sum())
    assert ratio == pytest.approx(0.5, rel=0.25)
    torso = [5, 6, 11, 12]
    away = moved.keypoints.xy[0, 0, torso] - reference.xy[0, torso]
    assert np.linalg.norm(away, axis=-1).max() < 2.5
    inside = [
        frame[np.clip(np.rint(y), 0, 63).astype(int), np.clip(np.rint(x), 0, 63).astype(int)]
        for frame, points in zip(moved.masks[0], moved.keypoints.xy[0], strict=True)
        for x, y in points[torso]
    ]
    assert np.mean(inside) > 0.9


def test_the_shift_keeps_shapes_and_limbs_keep_directions():
    driving, other = motion(), motion("0005-plain")
    reference = person_of(other)
    old = driving.keypoints.xy[0]
    new = shift_and_scale(driving, reference).keypoints.xy[0]
    lengths = [np.linalg.norm(xy[:, 1:] - xy[:, :1], axis=-1) for xy in (old, new)]
    ratios = lengths[1] / lengths[0]
    np.testing.assert_allclose(ratios, ratios[0, 0], rtol=1e-3)
    new = retarget_limbs(driving, reference).keypoints.xy[0]
    for parent, child in ((5, 7), (7, 9), (12, 14), (14, 16)):
        steps = [xy[:, child] - xy[:, parent] for xy in (old, new)]
        units = [step / np.linalg.norm(step, axis=-1, keepdims=True) for step in steps]
        np.testing.assert_allclose(units[0], units[1], atol=1e-3)


def test_limbs_take_the_references_lengths():
    driving = motion(use_parts=False)
    reference = person_of(driving)
    longer = reference.xy.copy()
    # Both forearms 1.3 times as long.
    for elbow, wrist in ((7, 9), (8, 10)):
        longer[0, wrist] = longer[0, elbow] + 1.3 * (longer[0, wrist] - longer[0, elbow])
    plain, long = (
        retarget_limbs(driving, Keypoints(xy, reference.conf)).keypoints.xy[0]
        for xy in (reference.xy, longer)
    )

    def forearm(xy):
        return np.linalg.norm(xy[:, 9] - xy[:, 7], axis=-1)

    np.testing.assert_allclose(forearm(long) / forearm(plain), 1.3, rtol=1e-3)
    kept = [0, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16]
    np.testing.assert_allclose(long[:, kept], plain[:, kept], atol=1e-3)


def test_a_turned_reference_scales_by_spread():
    driving = motion()
    matrix = similarity_matrix(np.pi, 0.5, (0.0, 0.0), (SIZE, SIZE))
    moved = shift_and_scale(driving, move_keypoints(person_of(driving), matrix, (SIZE, SIZE)))
    spread = [np.ptp(x.keypoints.xy[0, 0, :, 1]) for x in (driving, moved)]
    assert spread[1] / spread[0] == pytest.approx(0.5, rel=0.2)


@pytest.mark.parametrize("move", [shift_and_scale, retarget_limbs])
def test_nothing_in_common_changes_nothing(move):
    driving = motion()
    nobody = Keypoints(np.zeros((1, 17, 2), np.float32), np.zeros((1, 17), np.float32))
    moved = move(driving, nobody)
    np.testing.assert_array_equal(moved.keypoints.xy, driving.keypoints.xy)
    hidden = driving._replace(
        keypoints=Keypoints(driving.keypoints.xy, np.zeros_like(driving.keypoints.conf))
    )
    np.testing.assert_array_equal(move(hidden, person_of(driving)).parts, driving.parts)
