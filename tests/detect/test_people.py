import cv2
import numpy as np
import pytest
from drawn_people import body_points, draw, make_model

from tpc_jax.detect.blazepose import COCO
from tpc_jax.detect.people import are_alike, detect_people
from tpc_jax.detect.regions import Region

PERSON = (150.0, 160.0, 165.0, 70.0)


def turned(person, degrees, middle=(160, 120)):
    matrix = cv2.getRotationMatrix2D(middle, degrees, 1)
    return (np.reshape(person, (2, 2)) @ matrix[:, :2].T + matrix[:, 2]).ravel().tolist()


@pytest.mark.parametrize("degrees", range(0, 360, 40))
def test_people_are_found_whichever_way_they_are_turned(degrees):
    person = turned(PERSON, degrees)
    (found,) = detect_people(make_model()[0], draw([person]))
    expected = body_points(*person)[list(COCO)]
    np.testing.assert_allclose(found.keypoints.xy, expected, atol=2)
    assert found.sureness > 0.9
    assert found.steadiness.min() > 0.9


@pytest.mark.parametrize("value", [0, 128, 255])
def test_nobody_is_in_an_empty_picture(value):
    image = np.full((120, 200, 3), value, np.uint8)
    assert detect_people(make_model()[0], image) == []


def test_people_come_from_left_to_right_each_with_their_own_mask():
    people = [(230, 170, 235, 80), (90, 180, 80, 90)]
    image = draw(people)
    found = detect_people(make_model()[0], image)
    assert len(found) == 2
    assert found[0].box[2] < found[1].box[0]
    assert not (found[0].mask & found[1].mask).any()
    is_painted = (image != draw([])).any(axis=-1)
    both = found[0].mask | found[1].mask
    assert (both & is_painted).sum() / (both | is_painted).sum() > 0.85
    for person in found:
        left, top, right, bottom = person.box.astype(int)
        assert person.mask[top:bottom, left:right].sum() == person.mask.sum()
        assert person.mask[:, left].any()
        assert person.mask[bottom - 1].any()


def test_small_people_are_found_in_parts_of_the_picture():
    person = (900.0, 500.0, 905.0, 380.0)
    image = draw([person], size=(800, 1200))
    (found,) = detect_people(make_model()[0], image)
    np.testing.assert_allclose(found.keypoints.xy, body_points(*person)[list(COCO)], atol=2.5)


def test_points_outside_the_picture_have_no_confidence():
    person = (150.0, 230.0, 150.0, 60.0)  # the legs are below
    (found,) = detect_people(make_model()[0], draw([person]))
    is_inside = body_points(*person)[list(COCO)][:, 1] <= 239
    assert not is_inside.all()
    np.testing.assert_array_equal(found.keypoints.conf > 0, is_inside)
    np.testing.assert_allclose(found.conf[list(COCO)], found.keypoints.conf)


def test_points_that_wander_are_said_to_be_unsteady():
    knees = [25, 26]
    (found,) = detect_people(make_model(wobbling=knees)[0], draw([PERSON]))
    np.testing.assert_array_equal(found.steadiness < 0.7, [COCO[i] in knees for i in range(17)])
    assert found.sureness > 0.9  # of the person


def test_somebody_all_of_whose_points_wander_is_less_sure():
    steady = detect_people(make_model()[0], draw([PERSON]))[0].sureness
    wandering = detect_people(make_model(wobbling=range(33))[0], draw([PERSON]))
    assert not wandering or wandering[0].sureness < steady - 0.01


def test_depth_is_in_pixels_of_the_picture():
    (found,) = detect_people(make_model()[0], draw([PERSON]))
    (large,) = detect_people(make_model()[0], draw([[2 * x for x in PERSON]], size=(480, 640)))
    np.testing.assert_allclose(large.landmarks[:, 2], 2 * found.landmarks[:, 2], rtol=0.05)


def test_regions_are_alike_if_place_size_and_angle_agree():
    region = Region(np.array([50.0, 50.0]), 100.0, 3.1)
    assert are_alike(region, Region(np.array([55.0, 50.0]), 120.0, -3.1))
    assert not are_alike(region, Region(np.array([80.0, 50.0]), 100.0, 3.1))
    assert not are_alike(region, Region(np.array([50.0, 50.0]), 180.0, 3.1))
    assert not are_alike(region, Region(np.array([50.0, 50.0]), 100.0, 0.0))
