"""Points come in the pixels of their picture, or are refused."""

import json

import numpy as np
import pytest

from tpc_jax.errors import InputWarning, UserError
from tpc_jax.io.keypoint_files import read_keypoint_file
from tpc_jax.io.keypoints.placing import Pictures

SIZE = (200, 160)
POINTS = np.concatenate([np.random.default_rng(2).uniform(15, 150, (18, 2)), np.ones((18, 1))], 1)


def canvas(points, size=None):
    stated = {} if size is None else {"canvas_height": size[0], "canvas_width": size[1]}
    return {"people": [{"pose_keypoints_2d": points.ravel().tolist()}], **stated}


def read(tmp_path, document, size: tuple[int, int] | None = SIZE):
    (tmp_path / "k.json").write_text(json.dumps(document))
    return read_keypoint_file(tmp_path / "k.json", Pictures(size, 1))


def scaled(points, x, y, add=0.0):
    return points * [x, y, 1.0] + np.array([add, add, 0.0])


def parts(points=POINTS):
    return scaled(points, 1 / SIZE[1], 1 / SIZE[0])


@pytest.mark.parametrize("stated", [None, SIZE, (400, 320)])
def test_parts_of_the_picture_are_scaled_by_it(tmp_path, stated):
    with pytest.warns(InputWarning, match="0 and 1 are taken as parts of the picture's 160x200"):
        file = read(tmp_path, canvas(parts(), stated))
    np.testing.assert_allclose(file.points[0, 0], POINTS)
    assert file.size == SIZE


def test_parts_are_scaled_by_the_stated_canvas_where_no_picture_is_known(tmp_path):
    with pytest.warns(InputWarning, match="160x200"):
        file = read(tmp_path, canvas(parts(), SIZE), None)
    np.testing.assert_allclose(file.points[0, 0], POINTS)


def test_one_wrong_point_does_not_change_the_unit(tmp_path):
    points = np.concatenate([parts()] * 3)[:25]
    points[7] = [300, 40, -0.4]
    with pytest.warns(InputWarning, match="parts of the picture"):
        found = read(tmp_path, canvas(points)).points[0, 0]
    np.testing.assert_allclose(np.delete(found, 7, axis=0)[:17], np.delete(POINTS, 7, axis=0))


def test_parts_of_an_unknown_canvas_are_refused(tmp_path):
    with pytest.raises(UserError, match="lie between 0 and 1 and the size of the picture is not"):
        read(tmp_path, canvas(parts()), None)


def test_truncated_people_reach_beyond_the_picture(tmp_path):
    points = POINTS.copy()
    points[:4, 1] = [-30, 230, 240, 250]
    with pytest.warns(InputWarning, match="parts of the picture"):
        file = read(tmp_path, canvas(parts(points)))
    np.testing.assert_allclose(file.points[0, 0], points)
    np.testing.assert_allclose(read(tmp_path, canvas(points)).points[0, 0], points)


@pytest.mark.parametrize("low", [-1.0, -0.9])
def test_other_units_are_refused(tmp_path, low):
    metres = scaled(POINTS, 2 / 160, 2 / 160, low)
    with pytest.raises(UserError, match=r"lie between .* so they are metres or another unit"):
        read(tmp_path, canvas(metres))


@pytest.mark.parametrize("depth", [-0.4, 3.2, 250.0])
def test_depths_in_the_third_column_are_refused(tmp_path, depth):
    points = POINTS.copy()
    points[:, 2] = depth * np.linspace(0.5, 1, 18)
    with pytest.raises(UserError, match=r"third values of its points are .* so depths"):
        read(tmp_path, canvas(points))


@pytest.mark.parametrize("document", [
    [{"keypoints": np.ones((17, 3)).tolist(), "keypoint_scores": [1.0] * 17}],
    [{"frame_id": 1, "instances": [{"keypoints": [[0, 1, 2]] * 17, "keypoint_scores": [1] * 17}]}],
])  # fmt: skip
def test_positions_of_three_coordinates_are_refused(tmp_path, document):
    with pytest.raises(UserError, match="positions of three coordinates, so depths"):
        read(tmp_path, document)


@pytest.mark.parametrize("factor", [0.5, 2, 3])
def test_points_on_a_stated_size_are_scaled_to_the_picture(tmp_path, factor):
    other = (round(SIZE[0] * factor), round(SIZE[1] * factor))
    points = POINTS.copy()
    points[:, :2] = (points[:, :2] + 0.5) * factor - 0.5
    said = f"points on {other[1]}x{other[0]} pixels are scaled to the picture's 160x200"
    people = {"keypoints": points[:17].tolist()}
    own = {"format": "coco-17", "height": other[0], "width": other[1], "people": [people]}
    image = {"id": 3, "file_name": "a.png", "height": other[0], "width": other[1]}
    annotation = {"image_id": 3, "keypoints": points[:17].ravel().tolist()}
    for document in (canvas(points, other), own, {"images": [image], "annotations": [annotation]}):
        with pytest.warns(InputWarning, match=said):
            found = read(tmp_path, document).points[0, 0]
        np.testing.assert_allclose(found, POINTS[: len(found)])


def test_every_image_has_its_own_size(tmp_path):
    sizes = [(200, 160), (400, 320), (100, 80)]
    images = [{"id": k, "file_name": f"{k}.png", "height": h, "width": w}
              for k, (h, w) in enumerate(sizes)]  # fmt: skip
    points = [POINTS[:17].copy() for _ in sizes]
    for one, size in zip(points, sizes, strict=True):
        one[:, :2] = (one[:, :2] + 0.5) * size[0] / 200 - 0.5
    annotations = [{"image_id": k, "keypoints": p.ravel().tolist()} for k, p in enumerate(points)]
    document = {"images": images, "annotations": annotations}
    (tmp_path / "k.json").write_text(json.dumps(document))
    with pytest.warns(InputWarning, match="are scaled to"):
        file = read_keypoint_file(tmp_path / "k.json", Pictures(SIZE, 3))
    np.testing.assert_allclose(file.points[0], np.stack([POINTS[:17]] * 3))


@pytest.mark.parametrize("other", [(160, 200), (512, 512), (200, 170)])
def test_another_shape_is_refused_by_both_sizes(tmp_path, other):
    words = f"annotated on {other[1]}x{other[0]} pixels, the picture has 160x200"
    for points in (POINTS, parts()):
        with pytest.raises(UserError, match=words):
            read(tmp_path, canvas(points, other))


def test_sizes_that_differ_by_rounding_are_one_shape(tmp_path):
    with pytest.warns(InputWarning, match="scaled"):
        read(tmp_path, canvas(POINTS, (133, 107)))


@pytest.mark.parametrize("side", [0, -5, "wide", 1e9, float("nan"), float("inf"), [3]])
def test_a_stated_size_must_be_one(tmp_path, side):
    with pytest.raises(UserError, match=r"k\.json: .*; (mend|give)"):
        read(tmp_path, canvas(POINTS, (side, 100)))


@pytest.mark.parametrize(("x", "y", "add"), [(4, 4, 0), (1, 1, 400), (-1, 1, 0), (1, 3, 100)])
def test_points_outside_the_picture_are_refused(tmp_path, x, y, add):
    points = scaled(POINTS, x, y, add)
    with pytest.raises(UserError, match=r"% of its points lie outside the picture of 160x200"):
        read(tmp_path, canvas(points))


def test_negative_points_are_outside_every_picture(tmp_path):
    with pytest.raises(UserError, match="lie outside every picture"):
        read(tmp_path, canvas(scaled(POINTS, -1, 1)), None)


@pytest.mark.parametrize("missing", [[-1, -1, 1], [-1, -1, -1], [0, 0, 0.4], [30, 40, 0],
                                     [None, None, None], [float("nan"), 2, 0.9]])  # fmt: skip
def test_missing_points_of_every_convention_are_missing(tmp_path, missing):
    points = POINTS.tolist()
    points[4] = missing
    document = canvas(POINTS)
    document["people"][0]["pose_keypoints_2d"] = [value for point in points for value in point]
    file = read(tmp_path, document)
    assert file.points[0, 0, 4].tolist() == [0, 0, 0]
    np.testing.assert_allclose(
        np.delete(file.points[0, 0], 4, axis=0), np.delete(POINTS, 4, axis=0)
    )


def test_points_that_comfyui_did_not_find_in_parts_are_missing(tmp_path):
    points = parts()
    points[4] = [-1 / SIZE[1], -1 / SIZE[0], 1]
    with pytest.warns(InputWarning, match="parts of"):
        file = read(tmp_path, canvas(points))
    assert file.points[0, 0, 4].tolist() == [0, 0, 0]


def test_flags_of_annotations_are_told_by_file(tmp_path):
    visible, hidden = POINTS[:17].copy(), POINTS[:17].copy()
    visible[:, 2], hidden[:, 2] = 2, 1
    people = [{"image_id": 1, "keypoints": p.ravel().tolist()} for p in (visible, hidden)]
    conf = read(tmp_path, people).points[:, 0, :, 2]
    assert (conf[0] == 1).all()
    assert (conf[1] == 0.5).all()
    conf = read(tmp_path, people[1:]).points[:, 0, :, 2]
    assert (conf == 1).all()  # no file of annotations hides everything: these are confidences


def test_scores_beyond_one_and_below_nothing_are_clipped(tmp_path):
    points = POINTS[:17].copy()
    points[:3, 2] = [1.3, 6.0, -0.2]
    person = {"keypoints": points[:, :2].tolist(), "keypoint_scores": points[:, 2].tolist()}
    assert read(tmp_path, [person]).points[0, 0, :4, 2].tolist() == [1, 1, 0, 1]
