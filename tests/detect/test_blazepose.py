import numpy as np
import pytest
from drawn_people import Detector, LandmarkNetwork, body_points, draw, make_model

from tpc_jax.detect.blazepose import (
    COCO,
    MIRRORED,
    BlazePose,
    anchors,
    refine_by_heatmap,
    suppress,
)
from tpc_jax.detect.regions import Picture, whole_picture
from tpc_jax.errors import UserError
from tpc_jax.pose.skeletons import MIRRORED as COCO_MIRRORED

PERSON = (150.0, 160.0, 165.0, 70.0)


def test_anchors_are_the_middles_of_the_cells_of_three_grids():
    assert anchors().shape == (2254, 2)
    np.testing.assert_allclose(anchors()[[0, 1]], 0.5 / 28)
    np.testing.assert_allclose(anchors()[2], [1.5 / 28, 0.5 / 28])
    np.testing.assert_allclose(anchors()[28 * 28 * 2], 0.5 / 14)
    np.testing.assert_allclose(anchors()[-6:], 6.5 / 7)


def test_mirrored_landmarks_are_mirrored_keypoints():
    assert sorted(MIRRORED) == list(range(35))
    assert [MIRRORED[i] for i in COCO] == [COCO[i] for i in COCO_MIRRORED]


def test_overlapping_detections_become_their_weighted_mean():
    def box(x, y):
        return [[x, y], [0.2, 0.2], [x, y], [x, y - 0.1], [x, y], [x, y]]

    codes = np.array([box(0.3, 0.5), box(0.7, 0.5), box(0.32, 0.5), box(0.72, 0.5)])
    groups = suppress(codes, np.array([0.9, 0.6, 0.45, 0.3]))
    assert [score for score, _ in groups] == [0.9, 0.6]
    np.testing.assert_allclose(groups[0][1][0], [(0.3 * 0.9 + 0.32 * 0.45) / 1.35, 0.5])
    np.testing.assert_allclose(groups[1][1][0], [(0.7 * 0.6 + 0.72 * 0.3) / 0.9, 0.5])


def test_nothing_is_suppressed_of_nothing():
    assert suppress(np.zeros((0, 6, 2)), np.zeros(0)) == []


def test_boxes_without_area_are_kept_once_each():
    codes = np.zeros((2, 6, 2))
    assert sum(len(codes) > 0 for _ in suppress(codes, np.array([0.9, 0.8]))) == 2


def test_the_detector_answers_in_pixels_of_the_picture():
    picture = Picture(draw([PERSON]))
    (found,) = make_model()[0].detect(picture, whole_picture(picture.size))
    assert found.score == pytest.approx(1 / (1 + np.exp(-3)))
    np.testing.assert_allclose(found.points[:2].ravel(), PERSON, atol=1)
    assert found.region.angle == pytest.approx(np.arctan2(15, 90), abs=0.03)


def test_nobody_is_detected_in_an_empty_picture():
    picture = Picture(draw([]))
    assert make_model()[0].detect(picture, whole_picture(picture.size)) == []


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 30])
def test_landmarks_lie_on_the_person_also_seen_in_a_mirror(is_mirrored, degrees):
    picture = Picture(draw([PERSON]))
    view = whole_picture(picture.size, np.deg2rad(degrees))
    found = make_model()[0].landmarks(picture, view, is_mirrored=is_mirrored)
    expected = body_points(*PERSON)
    np.testing.assert_allclose(found.xyz[:, :2], expected, atol=1.5)
    np.testing.assert_allclose(found.xyz[:, 2], 5 / 256 * view.side, rtol=1e-5)
    assert found.score == 1
    np.testing.assert_allclose(found.visibility, 1 / (1 + np.exp(-4)), rtol=1e-5)
    again = found.next_region
    assert again.side == pytest.approx(2.5 * np.hypot(15, 90), abs=3)


def test_points_move_to_the_heat_around_them():
    heat = np.full((64, 64, 2), -20.0, np.float32)
    heat[31, 33, 0] = 20
    u = refine_by_heatmap(np.array([[32.5, 32.5], [10.0, 10.0]], np.float32) / 64, heat)
    np.testing.assert_allclose(u * 64, [[33, 31], [10, 10]], atol=1e-4)


def test_points_at_and_beyond_the_border_are_left_in_peace():
    heat = np.full((64, 64, 3), -20.0, np.float32)
    u = np.array([[-0.2, 0.5], [1.0, 0.5], [0.999, 0.001]], np.float32)
    np.testing.assert_array_equal(refine_by_heatmap(u, heat), u)


def test_networks_of_another_kind_are_refused():
    with pytest.raises(UserError, match=r"model\.task: takes \[1, 224, 224, 3\].*BlazePose"):
        BlazePose(Detector(), Detector(), name="model.task")
    with pytest.raises(UserError, match="unlike the networks of BlazePose"):
        BlazePose(LandmarkNetwork(), LandmarkNetwork())


def test_a_network_that_gives_no_numbers_is_said_to_be_damaged():
    class Damaged(Detector):
        def __call__(self, x):
            return [output * np.nan for output in super().__call__(x)]

    picture = Picture(draw([PERSON]))
    model = BlazePose(Damaged(), LandmarkNetwork(), name="pose.task")
    with pytest.raises(UserError, match=r"pose\.task: gives no numbers"):
        model.detect(picture, whole_picture(picture.size))
