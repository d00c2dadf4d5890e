"""Part maps drawn from landmarks show the sides of a body that a camera sees."""

import numpy as np
import pytest
from standing import landmarks

from tpc_jax.detect.blazepose import COCO
from tpc_jax.detect.part_maps import draw_parts
from tpc_jax.pose.densepose import SEGMENTS, segments_of
from tpc_jax.pose.densepose_keypoints import keypoints_from_parts

EVERYWHERE = np.ones((512, 512), bool)
BACKS = (1, 7, 8, 11, 12)
FRONTS = (2, 9, 10, 13, 14)


def share(parts, numbers):
    return np.isin(parts, numbers).sum() / max((parts > 0).sum(), 1)


def test_every_segment_of_a_standing_person_shows():
    parts = draw_parts(landmarks(), EVERYWHERE)
    assert set(np.unique(segments_of(parts))) == set(range(len(SEGMENTS) + 1))


def test_from_the_front_fronts_show_and_from_behind_backs():
    assert share(draw_parts(landmarks(0), EVERYWHERE), BACKS) < 0.02
    assert share(draw_parts(landmarks(180), EVERYWHERE), FRONTS) < 0.02


@pytest.mark.parametrize(("turn", "hidden", "seen"), [(90, 24, 23), (-90, 23, 24)])
def test_from_the_side_one_half_of_the_head_shows(turn, hidden, seen):
    head = draw_parts(landmarks(turn), EVERYWHERE)
    sides = {number: (head == number).sum() for number in (hidden, seen)}
    assert sides[hidden] < 0.1 * sides[seen]


def test_from_the_front_both_halves_of_the_head_are_as_large():
    parts = draw_parts(landmarks(), EVERYWHERE)
    right, left = ((parts == number).sum() for number in (23, 24))
    assert 0.8 < right / left < 1.25
    assert np.nonzero(parts == 23)[1].mean() < np.nonzero(parts == 24)[1].mean()


def test_arms_that_hang_show_inner_halves_next_to_the_body():
    parts = draw_parts(landmarks(), EVERYWHERE)
    inner, outer = (np.nonzero(parts == number)[1].mean() for number in (15, 17))
    assert 256 < inner < outer


def test_the_nearer_arm_hides_the_trunk():
    person = landmarks()
    person[[13, 15, 17, 19, 21]] = [
        (280, 130, -60), (240, 150, -70), (228, 152, -70), (228, 150, -70), (232, 146, -70)
    ]  # fmt: skip
    in_front = draw_parts(person, EVERYWHERE)
    person[[13, 15, 17, 19, 21], 2] *= -1
    behind = draw_parts(person, EVERYWHERE)
    forearm = SEGMENTS["left_lower_arm"]
    assert share(in_front, forearm) > 0.02
    assert share(behind, forearm) < share(in_front, forearm) / 4


def test_nothing_is_painted_beside_the_mask_or_far_from_the_body():
    mask = EVERYWHERE.copy()
    mask[:, :256] = False
    parts = draw_parts(landmarks(), mask)
    assert not parts[:, :256].any()
    assert not parts[:, 400:].any()
    assert not draw_parts(landmarks(), np.zeros_like(mask)).any()


def test_a_person_beyond_the_picture_leaves_it_empty():
    assert not draw_parts(landmarks(at=(3000, -2000)), EVERYWHERE).any()


@pytest.mark.parametrize("scale", [40.0, 100.0])
@pytest.mark.parametrize("turn", [0, 30, 180])
def test_the_landmarks_are_read_back_from_the_part_map(turn, scale):
    person = landmarks(turn, scale)
    parts = draw_parts(person, EVERYWHERE)
    found = keypoints_from_parts(parts, parts > 0)
    distance = np.linalg.norm(np.asarray(found.xy) - person[list(COCO), :2], axis=-1) / scale
    # Hips lie deeper than the seam of trunk and thigh.
    limits = np.full(17, 0.15)
    limits[11:13] = 0.3
    limbs = np.asarray(found.conf)[5:] > 0.3
    assert limbs.mean() > 0.8
    assert (distance[5:] < limits[5:])[limbs].all()
