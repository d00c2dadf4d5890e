import sys
import warnings

import numpy as np
import pytest
from onnx import TensorProto
from onnx_files import (
    JOINTS,
    PEOPLE,
    cell_code,
    grid_cells,
    show_person,
    write_constant,
    write_person_network,
    write_pose_network,
)

from tpc_jax.detect.regions import Picture
from tpc_jax.detect.simcc import PointFinder
from tpc_jax.detect.wholebody import (
    WholePerson,
    collect,
    detect_clip,
    open_wholebody,
    stream_people,
)
from tpc_jax.detect.yolox import PersonFinder, letterbox
from tpc_jax.errors import InputWarning, UserError
from tpc_jax.pose.dwpose import draw_whole_body, frame_of

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

RED, GREEN, BLUE = PEOPLE
BODY = [k for k, joint in enumerate(JOINTS) if joint < 17]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wholebody")
    people = write_person_network(folder / "yolox.onnx")
    return people, write_pose_network(folder / "dwpose.onnx")


@pytest.fixture(scope="module")
def detector(files):
    return open_wholebody(*files)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    people = write_person_network(folder / "yolox.onnx", (256, 416))
    pose = write_pose_network(folder / "rtmpose.onnx", (128, 96), num_points=17)
    return open_wholebody(people, pose)


def black(height=600, width=800):
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [
        (640, 640, (100, 60, 300, 500)),
        (600, 800, (420, 90, 640, 580)),
        (900, 500, (60, 30, 480, 860)),
        (1500, 2000, (900, 100, 1500, 1400)),
    ],
)
def test_a_person_is_found_at_every_size_of_picture(detector, height, width, box):
    image = black(height, width)
    places = show_person(image, RED, box, radius=round((box[3] - box[1]) / 60))
    (person,) = detector.detect(image)
    scale = max(1, max(height, width) / 640)
    np.testing.assert_allclose(person.box, box, atol=1.01 * scale)
    assert person.sureness == pytest.approx(PEOPLE[RED])
    error = person.points[list(JOINTS), :2] - places
    pixel = 1.25 * (box[3] - box[1]) / 384
    assert np.abs(error).max() <= pixel + 0.5
    assert np.abs(error.mean(axis=0)).max() <= 0.3 * pixel + 0.05
    np.testing.assert_array_less(0.3, person.points[list(JOINTS), 2])
    others = np.setdiff1d(range(133), JOINTS)
    np.testing.assert_array_equal(person.points[others, 2], 0)


def test_hands_and_face_are_where_they_are_and_are_drawn(detector):
    image = black()
    places = dict(zip(JOINTS, show_person(image, RED, (300, 60, 560, 560)), strict=True))
    clip = detect_clip(detector, [image])
    assert (clip.layout, clip.size) == ("wholebody-133", (600, 800))
    people = clip.people
    np.testing.assert_allclose(people.hands.xy[0, 0, 0, 0], places[91], atol=2.2)
    np.testing.assert_allclose(people.hands.xy[0, 0, 1, 20], places[132], atol=2.2)
    np.testing.assert_allclose(people.face.xy[0, 0, 67], places[90], atol=2.2)
    drawing = draw_whole_body(frame_of(people, 0), 600, 800)
    x, y = np.round(places[90]).astype(int)
    assert (drawing[y - 2 : y + 3, x - 2 : x + 3] == 255).all(axis=-1).any()


def test_several_people_are_told_apart_from_left_to_right(detector):
    image = black(500, 1200)
    boxes = {BLUE: (100, 50, 250, 450), RED: (500, 30, 660, 460), GREEN: (900, 60, 1060, 440)}
    places = [show_person(image, *person, seed=seed) for seed, person in enumerate(boxes.items())]
    people = detector.detect(image)
    assert [person.sureness for person in people] == pytest.approx([0.7, 0.9, 0.8])
    for person, true in zip(people, places, strict=True):
        np.testing.assert_allclose(person.keypoints.xy, true[BODY], atol=2.5)


@pytest.mark.parametrize("level", [0, 114, 255])
def test_nobody_is_found_in_a_plain_picture(detector, level):
    assert detector.detect(np.full((300, 400, 3), level, np.uint8)) == []


def test_points_out_of_the_picture_have_no_confidence(tmp_path):
    along_x, along_y = (np.zeros((1, 17, n), np.float32) for n in (576, 768))
    along_x[:, :, 288], along_y[:, :, 384] = 0.9, 0.8
    along_y[0, :3, [0, 767, 10]] = 0.95
    points = PointFinder(write_constant(tmp_path / "a.onnx", (1, 3, 384, 288), along_x, along_y))
    found = points(Picture(black(200, 100)), np.array([0.0, 0, 100, 200]))
    np.testing.assert_array_equal(found[:3, 2], 0)
    np.testing.assert_allclose(found[3:, 2], 0.8)
    np.testing.assert_allclose(found[3:, :2], [[49.83, 99.83]] * 14, atol=0.01)


@pytest.mark.parametrize("order", ["xy", "yx"])
@pytest.mark.parametrize("size", [(256, 192), (192, 256), (255, 192)])
def test_networks_of_17_points_of_any_size_are_taken(tmp_path, files, size, order):
    pose = write_pose_network(tmp_path / "pose.onnx", size, num_points=17, order=order, batch=1)
    detector = open_wholebody(files[0], pose)
    image = black()
    box = (40, 200, 760, 500) if size[1] > size[0] else (300, 30, 560, 580)
    places = show_person(image, GREEN, box, radius=9)
    clip = detect_clip(detector, [image])
    assert clip.layout == "coco-17"
    assert not clip.people.hands.conf.any()
    assert not clip.people.face.conf.any()
    pixel = 1.25 * max((box[2] - box[0]) / size[1], (box[3] - box[1]) / size[0])
    np.testing.assert_allclose(clip.keypoints.xy[0, 0], places[BODY], atol=1.2 * pixel)


def test_square_networks_give_x_first(tmp_path):
    along_x, along_y = (np.zeros((1, 17, 512), np.float32) for _ in "xy")
    along_x[:, :, 100] = along_y[:, :, 300] = 1
    points = PointFinder(write_constant(tmp_path / "a.onnx", (1, 3, 256, 256), along_x, along_y))
    found = points(Picture(black(256, 256)), np.array([0.0, 0, 256, 256]))
    np.testing.assert_allclose(found[0, :2], 1.25 * (np.array([50, 150]) - 127.5) + 127.5)


def test_letterboxes_are_grey_at_the_bottom_or_right():
    canvas, scale = letterbox(Picture(np.full((300, 1000, 3), 200, np.uint8)), (640, 640))
    np.testing.assert_array_equal(canvas[:192], 200)
    np.testing.assert_array_equal(canvas[192:], 114)
    np.testing.assert_allclose(scale, 0.64)
    canvas, scale = letterbox(Picture(np.full((200, 100, 3), 7, np.uint8)), (320, 640))
    np.testing.assert_array_equal(canvas[:, :160], 7)
    np.testing.assert_array_equal(canvas[:, 160:], 114)
    np.testing.assert_allclose(scale, 1.6)


def grid_network(path, *people):
    """Write a network that gives (box, objectness, person, other) from cells of every stride."""
    cells = grid_cells(640, 640)
    codes = np.zeros((1, len(cells), 7), np.float32)
    for index, (box, *scores) in zip([700, 6900, 8100, 8399, 5], people, strict=False):
        codes[0, index] = [*cell_code(box, cells[index]), *scores]
    return write_constant(path, (1, 3, 640, 640), codes)


def test_boxes_are_decoded_and_suppressed(tmp_path):
    path = grid_network(
        tmp_path / "grid.onnx",
        ((100, 100, 200, 300), 0.9, 0.8, 0.1),
        ((104, 110, 204, 310), 0.9, 0.9, 0.1),  # the same person, surer
        ((300, 100, 400, 300), 0.5, 0.59, 0.9),  # 0.295 is too unsure
        ((400, 350, 600, 700), 0.9, 0.5, 0.9),  # half below the picture
        ((10, 500, 60, 600), 0.9, 0.9, 0.1),  # in the grey
    )
    boxes, scores = PersonFinder(path)(Picture(black(450, 640)))
    np.testing.assert_allclose(boxes, [[104, 110, 204, 310], [400, 350, 600, 450]], atol=1e-3)
    np.testing.assert_allclose(scores, [0.81, 0.45], atol=1e-6)


@pytest.mark.parametrize("has_batch", [True, False])
def test_networks_that_suppress_themselves_are_taken(tmp_path, has_batch):
    boxes = np.array(
        [[10, 20, 110, 220, 0.9], [200, 20, 300, 220, 0.8], [320, 20, 400, 90, 0.2],
         [0, 0, 0, 0, 0]], np.float32
    )  # fmt: skip
    labels = np.array([0, 16, 0, -1])
    boxes, labels = (boxes[None], labels[None]) if has_batch else (boxes, labels)
    path = write_constant(tmp_path / "yolox_m.onnx", (1, 3, 416, 416), labels, boxes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, scores = PersonFinder(path)(Picture(black(208, 208)))
    np.testing.assert_allclose(found, [[5, 10, 55, 110]])
    np.testing.assert_allclose(scores, [0.9])


def test_both_kinds_of_person_network_find_the_same(tmp_path, files, detector):
    other = write_person_network(tmp_path / "end2end.onnx", has_suppression=True)
    image = black()
    show_person(image, RED, (300, 60, 560, 560))
    show_person(image, BLUE, (40, 60, 280, 560))
    with pytest.warns(InputWarning, match=r"end2end.onnx: is taken for YOLOX"):
        found = open_wholebody(other, files[1]).detect(image)
    for one, two in zip(found, detector.detect(image), strict=True):
        np.testing.assert_allclose(one.box, two.box, atol=1e-3)
        np.testing.assert_allclose(one.points, two.points, atol=1e-3)


def test_two_boxes_of_one_person_are_one_person(tmp_path, files):
    box, half = (200, 40, 440, 600), (200, 40, 440, 250)
    person = grid_network(tmp_path / "grid.onnx", (half, 1, 0.8, 0), (box, 1, 0.9, 0))
    image = black(640, 640)
    show_person(image, RED, box)
    (found,) = open_wholebody(person, files[1]).detect(image)
    np.testing.assert_allclose(found.box, box, atol=1e-3)


def test_a_box_in_which_nobody_shows_is_nobody(tmp_path, files):
    person = grid_network(tmp_path / "grid.onnx", ((200, 40, 440, 600), 1, 0.9, 0))
    assert open_wholebody(person, files[1]).detect(black()) == []


def walk(num_frames=12, missing=()):
    """Yield frames: red walks to the right, and green, who is missing at times, to the left."""
    for frame in range(num_frames):
        image = black(300, 480)
        if frame not in missing:
            show_person(image, GREEN, (370 - 20 * frame, 10, 460 - 20 * frame, 130), radius=5)
        show_person(image, RED, (10 + 20 * frame, 160, 100 + 20 * frame, 280), radius=5)
        yield image


def test_people_are_followed_through_a_clip(small):
    seen = []
    clip = detect_clip(small, walk(missing=(5, 6)), progress=seen.append)
    assert seen == list(range(12))
    np.testing.assert_allclose(clip.sureness[0], PEOPLE[RED], atol=1e-6)
    expected = [0 if frame in (5, 6) else PEOPLE[GREEN] for frame in range(12)]
    np.testing.assert_allclose(clip.sureness[1], expected, atol=1e-6)
    np.testing.assert_allclose(clip.boxes[0, :, 0], 10 + 20 * np.arange(12), atol=1)
    np.testing.assert_array_equal(clip.keypoints.conf[1, 5:7], 0)
    steps = np.diff(clip.keypoints.xy[0, :, :, 0], axis=0)
    np.testing.assert_allclose(steps, 20, atol=2.5)
    assert clip.points.shape == (2, 12, 17, 3)


def test_videos_are_streamed(small):
    read = []
    frames = (read.append(index) or frame for index, frame in enumerate(walk()))
    people = stream_people(small, frames)
    assert read == []
    assert len(next(people)) == 2
    assert read == [0]


def test_a_clip_without_people_has_no_rows_and_one_without_frames_is_refused(small):
    clip = detect_clip(small, [black(64, 64)] * 2)
    assert clip.points.shape == (0, 2, 17, 3)
    assert clip.keypoints.xy.shape == (0, 2, 17, 2)
    with pytest.raises(ValueError, match="at least one picture"):
        detect_clip(small, [])


def test_frames_of_others_are_collected():
    points = np.full((17, 3), 0.9, np.float32)
    points[:, :2] = np.random.default_rng(0).uniform(0, 60, (17, 2))
    person = WholePerson(points, np.array([0.0, 0, 60, 60]), 0.8)
    clip = collect([[], [person], [person]], "coco-17", (64, 64))
    np.testing.assert_allclose(clip.sureness, [[0, 0.8, 0.8]])


def files_of_other_kinds(folder):
    """Yield content of a file, and what is said of it."""
    yield b"", "is empty"
    yield b"<!DOCTYPE html><html></html>", "is a web page"
    yield b"PK\x03\x04rest", "is a zip or a PyTorch file"
    yield b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "pointer of Git LFS"
    yield b"\x00\x01 nothing known", "is no readable ONNX network"
    whole = write_constant(folder / "whole.onnx", (1, 3, 64, 64), np.zeros(4000, np.float32))
    yield whole.read_bytes()[:9000], "is no readable ONNX network"
    yield whole.read_bytes().replace(b"input", b"inp\xfbt"), "is no readable ONNX network"


def test_files_of_other_kinds_are_refused_in_one_line(tmp_path, files, capfd):
    path = tmp_path / "file.onnx"
    with pytest.raises(UserError, match=r"file.onnx: no such file"):
        open_wholebody(path, files[1])
    with pytest.raises(UserError, match="no such file"):
        open_wholebody(tmp_path, files[1])
    for content, said in files_of_other_kinds(tmp_path):
        path.write_bytes(content)
        for pair in ((path, files[1]), (files[0], path)):
            with pytest.raises(UserError, match=said) as error:
                open_wholebody(*pair)
            assert str(error.value).startswith(f"{path}: ")
            assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_exchanged_networks_are_refused_with_what_they_take_and_give(files):
    people, pose = files
    expected = (
        r"takes \[1, 3, 384, 288\] and gives \[1, 133, 576\], \[1, 133, 768\]; .*yolox_l.onnx"
    )
    with pytest.raises(UserError, match=expected):
        open_wholebody(pose, pose)
    expected = r"takes \[1, 3, 640, 640\] and gives \[1, 8400, 7\]; .*dw-ll_ucoco_384.onnx"
    with pytest.raises(UserError, match=expected):
        open_wholebody(people, people)


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    "outputs",
    [
        [zeros(1, 25200, 85)],  # YOLOv5
        [zeros(1, 84, 8400)],  # YOLOv8
        [zeros(1, 8400, 5)],  # no class
        [zeros(1, 100, 5), zeros(1, 99)],
        [zeros(1, 100, 4), zeros(1, 100)],
        [zeros(1, 100, 5), zeros(1, 100, 17, 3)],  # RTMO
    ],
)
def test_other_person_networks_are_refused(tmp_path, outputs):
    path = write_constant(tmp_path / "a.onnx", (1, 3, 640, 640), *outputs)
    with pytest.raises(UserError, match=r"for 640x640 YOLOX gives \[1, 8400, 85\]"):
        PersonFinder(path)


@pytest.mark.parametrize(
    "outputs",
    [
        [zeros(1, 17, 96, 72)],  # heatmaps
        [zeros(1, 21, 576), zeros(1, 21, 768)],  # a hand
        [zeros(1, 133, 576), zeros(1, 133, 384)],
        [zeros(1, 133, 576), zeros(1, 133, 768), zeros(1, 133, 576)],  # RTMPose3D
        [zeros(1, 133, 100), zeros(1, 133, 134)],
    ],
)
def test_other_pose_networks_are_refused(tmp_path, outputs):
    path = write_constant(tmp_path / "a.onnx", (1, 3, 384, 288), *outputs)
    with pytest.raises(UserError, match=r"for 288x384 RTMPose gives \[1, 133, 576\]"):
        PointFinder(path)


@pytest.mark.parametrize("shape", [(1, 640, 640, 3), (4, 3, 640, 640), (1, 3, 640, 10**6), (1, 3)])
def test_networks_that_take_no_single_picture_are_refused(tmp_path, shape):
    path = write_constant(tmp_path / "a.onnx", shape, zeros(1, 8400, 85))
    with pytest.raises(UserError, match="not one picture"):
        PersonFinder(path)


def test_networks_that_take_whole_numbers_are_refused(tmp_path):
    shape = (1, 3, 640, 640)
    path = write_constant(tmp_path / "a.onnx", shape, zeros(1, 8400, 85), kind=TensorProto.UINT8)
    with pytest.raises(UserError, match=r"takes tensor\(uint8\)"):
        PersonFinder(path)


def test_networks_of_half_precision_and_open_size_are_taken(tmp_path):
    shape = ("batch", 3, "height", "width")
    path = write_constant(tmp_path / "a.onnx", shape, zeros(1, 8400, 6), kind=TensorProto.FLOAT16)
    boxes, _ = PersonFinder(path)(Picture(black()))
    assert boxes.shape == (0, 4)


def test_networks_that_give_no_numbers_are_refused(tmp_path):
    path = write_constant(tmp_path / "a.onnx", (1, 3, 640, 640), zeros(1, 8400, 85) * np.nan)
    with pytest.raises(UserError, match=r"a.onnx: gives no finite numbers"):
        PersonFinder(path)


def test_boxes_in_pixels_are_not_read_as_grids(tmp_path):
    cells = np.array(grid_cells(640, 640), np.float32)
    decoded = zeros(1, 8400, 85)
    decoded[0, :, :2] = (cells[:, :2] + 0.5) * cells[:, 2:]
    decoded[0, :, 2:4] = 40
    find = PersonFinder(write_constant(tmp_path / "a.onnx", (1, 3, 640, 640), decoded))
    with pytest.raises(UserError, match="boxes are in pixels"):
        find(Picture(black()))


def test_without_the_package_the_extra_is_named(files, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install 'tpc-jax\[wholebody\]'"):
        open_wholebody(*files)
