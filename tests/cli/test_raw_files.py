"""The commands on a photo and a video alone, with the released pose model."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import command_line, fails
from skimage import data

from tpc_jax import cli
from tpc_jax.detect.models import open_pose_model, pose_model_folder
from tpc_jax.errors import UserError
from tpc_jax.io.images import write_image
from tpc_jax.io.video import write_video
from tpc_jax.studies.people import render_clip, sample_motion, sample_person, sample_scene

pytestmark = pytest.mark.slow

SIZE = 512, 512
ANGLES, SCALE = np.deg2rad([84, 88, 92, 96]), 0.8
LYING = np.deg2rad(100), 0.7


@pytest.fixture(scope="module", autouse=True)
def pose_model():
    try:
        open_pose_model()
    except UserError as error:
        pytest.skip(str(error))
    return pose_model_folder()


def known_transforms():
    """The person turns and moves to the right, as (linear, offset)."""
    for frame, angle in enumerate(ANGLES):
        cos, sin = SCALE * np.cos(angle), SCALE * np.sin(angle)
        linear = np.array([[cos, -sin], [sin, cos]])
        yield linear, np.array([256 + 2 * frame, 256]) - linear @ [256, 256]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Pictures and videos made of a public-domain portrait by NASA."""
    folder, portrait = tmp_path_factory.mktemp("raw"), data.astronaut()
    moved = [
        cv2.warpAffine(portrait, np.c_[linear, offset], SIZE[::-1])
        for linear, offset in known_transforms()
    ]
    small = portrait[::2, ::2]
    write_image(folder / "photo.png", portrait)
    write_image(folder / "two.png", np.concatenate([small, small[:, ::-1]], axis=1))
    write_image(folder / "face.png", portrait[:260, 60:380])
    write_image(folder / "nobody.png", data.immunohistochemistry())
    write_video(folder / "dance.mp4", np.stack(moved), 25)
    write_video(folder / "single.mp4", np.stack(moved[:1]), 25)
    write_video(folder / "portrait.mp4", np.stack(moved)[:, :, 100:480], 25)
    write_video(folder / "late.mp4", np.stack([np.full_like(moved[0], 90)] * 2 + moved), 25)
    write_video(folder / "black.mp4", np.zeros((4, 256, 256, 3), np.uint8), 25)
    return folder


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A drawn person from head to foot, and the same turned, smaller and elsewhere."""
    folder, rng = tmp_path_factory.mktemp("drawn"), np.random.default_rng(4)
    scene = sample_person(rng), sample_scene(rng), sample_motion(rng, 4)
    lying = {"person_transform": (*LYING, (0.05, 0.0)), "frames": [0]}
    write_image(folder / "photo.png", render_clip(*scene, 384, **lying).frames[0])
    write_video(folder / "dance.mp4", render_clip(*scene, 384).frames, 12)
    return folder


def line(files, command, reference="photo.png", driving="dance.mp4", **options):
    given = {"reference": files / reference, "driving": files / driving, **options}
    return command_line(command, given)


def check(files, capsys, *names):
    with pytest.raises(SystemExit) as stopped:
        cli.main([*line(files, "check", *names), "--json"])
    told = json.loads(capsys.readouterr().out)
    return stopped.value.code, told, [x["name"] for x in told["remarks"] if x["is_warning"]]


def test_a_photo_is_calibrated_to_a_video_of_it_turned_and_scaled(files, tmp_path):
    cli.main(line(files, "calibrate", out=tmp_path / "raw"))
    cli.main(line(files, "prepare", out=tmp_path / "prepared"))
    prepared = {"prepared": tmp_path / "prepared", "out": tmp_path / "again"}
    cli.main(command_line("calibrate", prepared))
    corners = np.array([[120, 80], [330, 80], [120, 460], [330, 460]], float)
    for out in ("raw", "again"):
        frames = json.loads((tmp_path / out / "transforms.json").read_text())["people"][0]
        for found, (linear, offset) in zip(frames, known_transforms(), strict=True):
            expected = corners @ linear.T + offset
            landed = corners @ np.array(found["linear"]).T + found["offset"]
            distance = np.linalg.norm(landed - expected, axis=-1)
            # Of a half body only the head is seen well.
            assert distance.max() < 0.07 * SCALE * np.linalg.norm(corners[3] - corners[0])
            assert found["scale"] == pytest.approx(SCALE, rel=0.07)


def test_somebody_who_lies_is_calibrated_to_themselves_standing(drawn, capsys):
    _, told, warned = check(drawn, capsys)
    assert set(warned) <= {"unsure"}
    (person,) = told["people"]
    assert person["scale"]["median"] == pytest.approx(1 / LYING[1], rel=0.03)
    assert person["rotation_degrees"] == pytest.approx(-np.rad2deg(LYING[0]), abs=3)


def test_a_pair_is_told_what_will_come_of_it(files, capsys):
    code, told, warned = check(files, capsys)
    assert code in (0, 1)
    (person,) = told["people"]
    assert person["frames_seen"] == len(ANGLES)
    assert person["scale"]["median"] == pytest.approx(SCALE, rel=0.05)
    assert person["rotation_degrees"] == pytest.approx(np.rad2deg(ANGLES.mean()), abs=4)
    assert set(warned) <= {"unsure"}


@pytest.mark.parametrize(
    ("reference", "driving", "expected"),
    [
        ("two.png", "dance.mp4", {"alone"}),
        ("face.png", "dance.mp4", {"missing", "reference_points"}),
        ("photo.png", "single.mp4", set()),
        ("photo.png", "portrait.mp4", set()),
        ("photo.png", "late.mp4", {"absent"}),
    ],
)
def test_pairs_that_differ_are_calibrated_with_a_warning(
    files, capsys, reference, driving, expected
):
    code, told, warned = check(files, capsys, reference, driving)
    assert code == int(bool(warned))
    assert told["verdict"] != "cannot"
    assert expected <= set(warned)


@pytest.mark.parametrize(
    ("reference", "driving", "named"),
    [("nobody.png", "dance.mp4", "nobody.png"), ("photo.png", "black.mp4", "black.mp4")],
)
def test_nobody_is_one_line(files, tmp_path, capsys, reference, driving, named):
    words = line(files, "calibrate", reference, driving, out=tmp_path / "out")
    fails(words, capsys, named, "shows nobody; give")
    assert check(files, capsys, reference, driving)[0] == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["pose_detection.tflite", "pose_landmark_full.tflite"])
@pytest.mark.parametrize("keep", [0, 1000, 1_000_000])
def test_a_damaged_pose_model_is_one_line(files, tmp_path, capsys, pose_model, name, keep):
    for path in Path(pose_model).glob("*.tflite"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    damaged = tmp_path / name
    damaged.write_bytes(damaged.read_bytes()[:keep])
    fails(line(files, "check", pose_model=tmp_path), capsys, str(tmp_path))


def test_a_raw_photo_and_video_end_in_a_clip(files, tmp_path):
    cli.main([*line(files, "animate", out=tmp_path / "out.mp4"), "--steps", "2"])
    assert (tmp_path / "out.mp4").stat().st_size > 1000
