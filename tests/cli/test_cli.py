"""The command as its users type it: outputs, and one-line errors that leave nothing behind."""

import dataclasses
import json
import re
import warnings

import numpy as np
import pytest
from command_line import fails
from small_cases import two_people
from small_models import random_params, small_config
from turned_person import ANGLE, NUM_FRAMES, SCALE, SIZE, arguments

from tpc_jax import cli
from tpc_jax._types import Keypoints
from tpc_jax.animators.tiny import TinyAnimator
from tpc_jax.commands.options import Inputs
from tpc_jax.commands.shared import read_inputs
from tpc_jax.errors import warn
from tpc_jax.io.images import write_image
from tpc_jax.io.keypoint_files import write_keypoint_file
from tpc_jax.io.video import read_video, write_video
from tpc_jax.model.checkpoint import save_checkpoint


def test_calibrate_writes_everything(inputs, tmp_path, capsys):
    out = tmp_path / "deep" / "out"
    cli.main(arguments(inputs, out=out, target_masks=inputs / "masks.npz"))
    names = {"calibrated.mp4", "calibrated_mask.mp4", "overlay.mp4", "transforms.json"}
    assert {path.name for path in out.iterdir()} == names | {"report.json"}
    report = json.loads((out / "report.json").read_text())
    assert report["mean_iou_after"] > report["mean_iou_before"] + 0.2
    person = report["people"][0]
    assert person["scale_ratio"]["median"] == pytest.approx(1 / SCALE, rel=0.15)
    assert person["rotation_degrees"]["median"] == pytest.approx(-np.degrees(ANGLE), abs=12)
    frames = json.loads((out / "transforms.json").read_text())["people"][0]
    assert len(frames) == NUM_FRAMES
    assert set(frames[0]) >= {"linear", "offset", "scale", "angle_degrees", "subset", "status"}
    assert set(frames[0]) >= {"choice", "agreement", "agreement_untouched"}
    assert sum(person["choice"].values()) == NUM_FRAMES
    assert person["mean_agreement"]["chosen"] > person["mean_agreement"]["untouched"]
    video = read_video(out / "calibrated.mp4")
    assert video.frames.shape == (NUM_FRAMES, SIZE, SIZE, 3)
    assert float(video.fps) == 12
    printed = capsys.readouterr().out
    assert "mean IoU" in printed
    assert "body agreement" in printed


def test_two_eyes_are_an_error_of_calibrate(inputs, tmp_path, capsys):
    file = json.loads((inputs / "rgb.json").read_text())
    for frame in file["frames"]:
        for person in frame["people"]:
            for index, point in enumerate(person["keypoints"]):
                point[2] = point[2] if index in (1, 2) else 0
    (tmp_path / "eyes.json").write_text(json.dumps(file))
    line = arguments(
        inputs, driving=inputs / "rgb.mp4", driving_keypoints=tmp_path / "eyes.json",
        out=tmp_path / "out",
    )  # fmt: skip
    fails(line, capsys, "no frame has a fit of its own")
    assert not (tmp_path / "out").exists()


def test_rgb_video_with_keypoints(inputs, tmp_path):
    changes = {"driving": inputs / "rgb.mp4", "driving_keypoints": inputs / "rgb.json"}
    cli.main(arguments(inputs, out=tmp_path / "out", method="clip", **changes))
    assert (tmp_path / "out" / "report.json").exists()


def test_reference_larger_than_the_canvas(inputs, tmp_path):
    picture = read_video(inputs / "rgb.mp4").frames[0]
    large = picture.repeat(2, axis=0).repeat(2, axis=1)
    write_image(tmp_path / "large.png", large)
    keypoints = json.loads((inputs / "person.json").read_text())
    for point in keypoints["people"][0]["keypoints"]:
        point[0], point[1] = 2 * point[0] + 0.5, 2 * point[1] + 0.5
    (tmp_path / "large.json").write_text(json.dumps(keypoints))
    line = arguments(
        inputs, reference=tmp_path / "large.png", reference_keypoints=tmp_path / "large.json",
        reference_mask=None, out=tmp_path / "out",
    )  # fmt: skip
    cli.main(line)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    scale = report["people"][0]["scale_ratio"]["median"]
    assert scale == pytest.approx(0.5 / SCALE, rel=0.15)


def _spoiled_keypoints(inputs, path, change):
    document = json.loads((inputs / "person.json").read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def _nan(document):
    document["people"][0]["keypoints"][7][0] = float("nan")


def _nobody_seen(document):
    for point in document["people"][0]["keypoints"]:
        point[2] = 0.0


def test_outputs_are_looked_at_before_anything_is_read(inputs, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    nowhere = {"reference": tmp_path / "missing.png"}
    long = "n" * 300
    for command, out, words in [
        ("calibrate", tmp_path / "file" / "out", ["cannot be written"]),
        ("calibrate", tmp_path / long, ["cannot be written (file name too long)"]),
        ("animate", tmp_path / "file" / "a.mp4", ["cannot be written"]),
        ("animate", tmp_path / f"{long}.mp4", ["cannot be written (file name too long)"]),
        ("animate", tmp_path / "a.avi", ["unknown video suffix"]),
        ("inspect-attention", tmp_path / "file" / "a.png", ["cannot be written"]),
    ]:
        fails(arguments(inputs, command, out=out, **nowhere), capsys, *words)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_rate_of_pictures_is_given_or_said(inputs, tmp_path, capsys):
    frames = read_video(inputs / "rgb.mp4").frames
    (tmp_path / "frames").mkdir()
    for index, frame in enumerate(frames):
        write_image(tmp_path / "frames" / f"{index}.png", frame)
    given = Inputs(
        inputs / "person.png", tmp_path / "frames", reference_keypoints=inputs / "person.json",
        driving_keypoints=inputs / "rgb.json", fps=30.0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_inputs(given)[1].fps == 30
    fails([*arguments(inputs, out=tmp_path / "out"), "--fps", "0"], capsys, "--fps must be more")
    changes = {"driving": tmp_path / "frames", "driving_keypoints": tmp_path / "missing.json"}
    with pytest.raises(SystemExit):
        cli.main(arguments(inputs, out=tmp_path / "out", **changes))
    said = capsys.readouterr().err
    assert re.search(r"tpc-jax: note: .*frames: .* 25 .* --fps changes it$", said, re.MULTILINE)


def test_bad_input_is_one_line_and_leaves_nothing(inputs, tmp_path, capsys):
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "format.json").write_text('{"format": "unknown", "people": []}')
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "none.npz", frames=np.zeros((0, 32, 32, 3), np.uint8))
    nan = _spoiled_keypoints(inputs, tmp_path / "nan.json", _nan)
    unseen = _spoiled_keypoints(inputs, tmp_path / "unseen.json", _nobody_seen)
    out = tmp_path / "out"
    cases = [
        ({"reference": tmp_path / "missing.png"}, ["missing.png", "no such file"]),
        ({"reference": tmp_path / "text.png"}, ["text.png"]),
        ({"driving": tmp_path / "missing.mp4"}, ["missing.mp4"]),
        ({"driving": tmp_path / "text.mp4"}, ["text.mp4"]),
        ({"driving": tmp_path / "empty"}, ["empty"]),
        ({"driving": tmp_path / "none.npz"}, ["none.npz", "frames"]),
        (
            {"driving": inputs / "rgb.mp4", "pose_model": tmp_path / "missing.task"},
            ["missing.task"],
        ),
        ({"driving": inputs / "rgb.mp4", "driving_kind": "densepose"}, ["rgb.mp4"]),
        ({"reference_keypoints": tmp_path / "format.json"}, ["format.json"]),
        ({"reference_keypoints": nan}, ["nan.json"]),
        ({"reference_keypoints": unseen}, ["keypoints"]),
        ({"reference_keypoints": None, "pose_model": tmp_path}, ["pose_detection.tflite"]),
        ({"out": inputs / "person.png"}, ["person.png"]),
    ]
    before = sorted(path.name for path in tmp_path.iterdir())
    for changes, words in cases:
        fails(arguments(inputs, **{"out": out, **changes}), capsys, *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_person_missing_in_some_frames_is_flagged(inputs, tmp_path, capsys):
    video = read_video(inputs / "densepose.mp4").frames.copy()
    video[1] = video[1, 0, 0]
    write_video(tmp_path / "gap.mp4", video, 12)
    cli.main(arguments(inputs, driving=tmp_path / "gap.mp4", out=tmp_path / "out"))
    frames = json.loads((tmp_path / "out" / "transforms.json").read_text())["people"][0]
    assert [frame["is_filled"] for frame in frames] == [False, True, False, False]
    assert frames[1]["scale"] ** 2 == pytest.approx(frames[0]["scale"] * frames[2]["scale"])
    assert "1 frames had no fit" in capsys.readouterr().out


@pytest.fixture(scope="module")
def two_inputs(tmp_path_factory):
    """Two people side by side, the left one of whom is hardly seen; the left one's still."""
    folder = tmp_path_factory.mktemp("two")
    still, motion = two_people(64, num_frames=3)
    conf = motion.keypoints.conf * np.float32([0.5, 1])[:, None, None]
    write_image(folder / "person.png", still.image)
    write_keypoint_file(folder / "person.json", still.keypoints.select([0]))
    write_keypoint_file(folder / "both.json", still.keypoints)
    write_video(folder / "rgb.mp4", motion.frames, 12)
    write_keypoint_file(folder / "rgb.json", Keypoints(motion.keypoints.xy, conf))
    changes = {"reference_mask": None, "driving": folder / "rgb.mp4"}
    return arguments(folder, driving_keypoints=folder / "rgb.json", **changes), folder


def test_of_two_people_the_surer_moves_the_reference_or_whoever_is_named(
    two_inputs, tmp_path, capsys
):
    line, _ = two_inputs
    for name, options, motion in (("rule", [], 1), ("named", ["--person", "0"], 0)):
        cli.main([*line, *options, "--out", str(tmp_path / name)])
        rows = json.loads((tmp_path / name / "report.json").read_text())["who_is_who"]
        assert [(row["reference"], row["motion"]) for row in rows] == [
            (0, motion),
            (None, 1 - motion),
        ]
        words = [row.split() for row in capsys.readouterr().out.splitlines()]
        assert words[0] == ["reference", "motion", "frames", "confidence", "size"]
        assert [row[:3] for row in words[1:3]] == [
            ["0", str(motion), "3"],
            ["-", str(1 - motion), "3"],
        ]
        assert "--person" in words[3]


def test_two_people_can_be_crossed_over(two_inputs, tmp_path, capsys):
    line, folder = two_inputs
    line = [*line, "--reference-keypoints", str(folder / "both.json")]
    cli.main([*line, "--person", "1", "0", "--out", str(tmp_path / "out")])
    rows = json.loads((tmp_path / "out" / "report.json").read_text())["who_is_who"]
    assert [(row["reference"], row["motion"]) for row in rows] == [(0, 1), (1, 0)]
    assert "--person" not in capsys.readouterr().out


def test_people_who_are_not_there_cannot_be_named(two_inputs, small_model, tmp_path, capsys):
    line, _ = two_inputs
    line = [*line, "--out", str(tmp_path / "out")]
    fails([*line, "--person", "2"], capsys, "--person 2", "2 people")
    fails([*line, "--person", "0", "1"], capsys, "--person", "the reference has 1")
    animate = ["animate", *line[1:-1], str(tmp_path / "out.mp4"), "--model", str(small_model)]
    fails([*animate, "--no-tpc", "--person", "7"], capsys, "--person 7")
    assert list(tmp_path.iterdir()) == []


def test_interruption_leaves_nothing(inputs, tmp_path, capsys, monkeypatch):
    from tpc_jax.report import calibration

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(calibration, "overlay_frames", interrupt)
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments(inputs, out=tmp_path / "out"))
    assert stopped.value.code == 130
    assert list(tmp_path.iterdir()) == []
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    ["calibrate", "animate", "demo", "train", "sensitivity", "make-split", "evaluate"],
)
def test_help_names_every_option(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert f"tpc-jax {command}" in text
    assert "--" in text


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    """Store a model of random weights whose windows are shorter than the motion."""
    config = dataclasses.replace(small_config(), window_length=3, window_overlap=1)
    path = tmp_path_factory.mktemp("model") / "small"
    params = random_params(TinyAnimator(config))
    save_checkpoint(path, {"animator": "tiny", **config.to_dict()}, params)
    return path


@pytest.mark.slow
def test_animate_with_a_stored_model(inputs, small_model, tmp_path):
    out = tmp_path / "video.mp4"
    line = arguments(inputs, "animate", model=small_model, steps=2, out=out)
    cli.main([*line, "--compare", "--guidance-scale", "2"])
    video = read_video(out)
    assert len(video.frames) == NUM_FRAMES
    assert video.frames.shape[2] == 4 * video.frames.shape[1]
    assert float(video.fps) == 12


def test_animate_without_tpc_needs_no_keypoints(inputs, small_model, tmp_path):
    out = tmp_path / "video.gif"
    changes = {"reference_keypoints": None, "reference_mask": None}
    line = arguments(inputs, "animate", model=small_model, steps=1, out=out, **changes)
    cli.main([*line, "--no-tpc"])
    assert len(read_video(out).frames) == NUM_FRAMES


def test_animate_refuses_what_is_no_model(inputs, small_model, tmp_path, capsys):
    line = arguments(inputs, "animate", out=tmp_path / "video.mp4")
    fails([*line, "--model", str(inputs)], capsys, "config.json")
    fails([*line, "--model", str(small_model), "--steps", "0"], capsys, "--steps")
    fails([*line, "--model", str(small_model), "--compare", "--no-tpc"], capsys, "--compare")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_demo_with_a_stored_model(small_model, tmp_path):
    cli.main(["demo", "--out", str(tmp_path / "demo"), "--model", str(small_model), "--quick"])
    report = json.loads((tmp_path / "demo" / "report.json").read_text())
    for measure in ("foreground_psnr", "psnr", "ssim", "seconds"):
        assert set(report[measure]) >= {"aligned", "without_tpc", "with_tpc"}
    assert (tmp_path / "demo" / "contact_sheet.png").exists()
    assert len(read_video(tmp_path / "demo" / "with_tpc.mp4").frames) == 8


def test_what_is_said_of_an_input_is_one_line(monkeypatch, capsys):
    def calibrate(count: int):
        for _ in range(count):
            warn("a.json: says no frame rate; 25 per second are assumed")

    monkeypatch.setattr(cli, "calibrate", calibrate)
    cli.main(["calibrate", "--count", "2"])
    line = "tpc-jax: note: a.json: says no frame rate; 25 per second are assumed\n"
    assert capsys.readouterr().err == 2 * line
