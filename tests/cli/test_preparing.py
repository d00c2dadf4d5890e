"""The commands about what goes in, with a detector that knows the drawn person beforehand."""

import json

import numpy as np
import pytest
from command_line import command_line, fails
from turned_person import NUM_FRAMES, SIZE

from tpc_jax import cli
from tpc_jax._types import Keypoints
from tpc_jax.commands import shared
from tpc_jax.io.images import read_image, write_image
from tpc_jax.io.video import write_video
from tpc_jax.pose.reading import FoundPeople, read_keypoints, read_masks, read_motion
from tpc_jax.pose.reading import read_reference_keypoints as read_still


@pytest.fixture
def finder(inputs, monkeypatch):
    """Find the person whom the files hold, in grey pictures nobody; returns what was asked."""
    asked = []
    parts = read_motion(inputs / "densepose.mp4").parts
    masks = read_masks(inputs / "masks.npz", (NUM_FRAMES, SIZE, SIZE))
    still_mask = read_image(inputs / "mask.png")[None, None, ..., 0] > 127
    still = read_still(inputs / "person.json").select(np.s_[:, None])
    moving = read_keypoints(inputs / "rgb.json")

    def find(given, frames):
        asked.append((given.detector, len(frames)))
        if np.ptp(frames) == 0:
            empty = np.zeros((0, len(frames), 17))
            return FoundPeople(Keypoints(np.zeros((*empty.shape, 2)), empty))
        if len(frames) == 1:
            return FoundPeople(still, still_mask, is_followed=True)
        return FoundPeople(moving, masks, parts, is_followed=True)

    monkeypatch.setattr(shared, "_find_people", find)
    return asked


def line(inputs, command, **changes):
    given = {"reference": inputs / "person.png", "driving": inputs / "rgb.mp4", **changes}
    return command_line(command, given)


def run(words):
    """Return the exit code."""
    try:
        cli.main(words)
    except SystemExit as stopped:
        return stopped.code
    return 0


def grey(folder):
    write_image(folder / "grey.png", np.full((40, 40, 3), 99, np.uint8))
    write_video(folder / "grey.mp4", np.full((4, 40, 40, 3), 99, np.uint8), 10)
    return folder


def test_what_is_prepared_calibrates_as_the_raw_files_do(inputs, finder, tmp_path, capsys):
    cli.main(line(inputs, "prepare", out=tmp_path / "prepared"))
    assert finder == [("blazepose", 1), ("blazepose", NUM_FRAMES)]
    said = capsys.readouterr().out
    assert "people in the picture: 1, in the motion: 1" in said
    assert "look at" in said
    found = []
    for given in ({}, {"prepared": tmp_path / "prepared", "reference": None, "driving": None}):
        cli.main(line(inputs, "calibrate", out=tmp_path / "out", **given))
        frames = json.loads((tmp_path / "out" / "transforms.json").read_text())["people"][0]
        found.append([frame["linear"] + [frame["offset"]] for frame in frames])
    assert len(finder) == 4  # not for the prepared folder
    np.testing.assert_allclose(np.array(found[1]), np.array(found[0]), atol=0.01 * SIZE)
    np.testing.assert_allclose(np.array(found[1])[:, :2], np.array(found[0])[:, :2], atol=0.01)


def test_a_pair_is_checked_in_words_numbers_and_a_picture(inputs, finder, tmp_path, capsys):
    sheet = tmp_path / "check.png"
    code = run(line(inputs, "check", out=sheet))
    words = capsys.readouterr().out.splitlines()
    warned = [word for word in words if word.startswith("warning: ")]
    assert code == (1 if warned else 0)
    assert words[-1] == ("go with warnings" if warned else "go")
    assert any(word.startswith("the reference is drawn at") for word in words)
    assert read_image(sheet).shape[1] > NUM_FRAMES * SIZE
    assert run([*line(inputs, "check"), "--json"]) == code
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == words[-1]
    assert len(told["people"]) == 1
    assert [remark["text"] for remark in told["remarks"]] == [
        word.removeprefix("warning: ") for word in words[:-1]
    ]


@pytest.mark.parametrize("name", ["grey.png", "missing.png", "grey.mp4"])
def test_a_check_of_what_cannot_be_read_is_json_all_the_same(
    inputs, finder, tmp_path, capsys, name
):
    side = "reference" if name.endswith(".png") else "driving"
    words = line(inputs, "check", **{side: grey(tmp_path) / name})
    assert run([*words, "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "cannot"
    assert name in told["remarks"][0]["text"]
    fails(words, capsys, name)


def test_nobody_in_a_picture_or_a_motion_is_one_line(inputs, finder, tmp_path, capsys):
    grey(tmp_path)
    for command in ("prepare", "calibrate", "animate"):
        out = tmp_path / ("out.mp4" if command == "animate" else "out")
        for changes in ({"reference": tmp_path / "grey.png"}, {"driving": tmp_path / "grey.mp4"}):
            fails(line(inputs, command, out=out, **changes), capsys, "grey", "shows nobody; give")
    assert not (tmp_path / "out").exists()


def test_without_a_pose_model_one_line_says_how_to_get_it(inputs, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fails(line(inputs, "check"), capsys, "tpc-jax fetch-pose", "--pose-model FILE")
    (tmp_path / "pose.task").write_bytes(b"half of a download")
    words = line(inputs, "check", pose_model=tmp_path / "pose.task")
    fails(words, capsys, "pose.task", "not a readable .task bundle")


def test_fetching_says_where_the_model_is(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("tpc_jax.detect.fetch.fetch_pose_model", lambda: tmp_path / "here")
    cli.main(["fetch-pose"])
    assert f"the pose model is in {tmp_path / 'here'}" in capsys.readouterr().out


def test_fetching_without_a_network_is_one_line(monkeypatch, tmp_path, capsys):
    (tmp_path / "pip.py").write_text("raise SystemExit('ERROR: no network')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fails(["fetch-pose"], capsys, "no network", "mediapipe==", "--pose-model FILE")


def test_options_that_do_not_go_together_are_one_line(inputs, tmp_path, capsys):
    model = tmp_path / "a.onnx"
    for changes, words in [
        ({"driving": None}, ["give both --reference and --driving", "--prepared"]),
        ({"reference": None}, ["give both --reference and --driving"]),
        ({"reference": None, "driving": None}, ["needed", "--prepared"]),
        ({"detector": "wholebody"}, ["--person-model FILE go together"]),
        ({"person_model": model}, ["--person-model FILE go together"]),
        ({"detector": "wholebody", "person_model": model}, ["--pose-model FILE"]),
        ({"detector": "wholebody", "person_model": model, "pose_model": model}, ["a.onnx"]),
        ({"prepared": tmp_path, "driving": None}, ["is not a prepared folder"]),
    ]:
        fails(line(inputs, "check", **changes), capsys, *words)
    for changes in ({"reference": None, "driving": None}, {"prepared": tmp_path}):
        words = line(inputs, "prepare", out=tmp_path / "out", **changes)
        fails(words, capsys, "give --reference and --driving")


def test_given_files_win_over_the_detector(inputs, finder, tmp_path):
    given = {
        "reference_keypoints": inputs / "person.json",
        "driving_keypoints": inputs / "rgb.json",
        "target_masks": inputs / "masks.npz",
        "out": tmp_path / "out",
    }
    cli.main(line(inputs, "prepare", **given))
    assert finder == []
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"driving_masks.npz", "driving_keypoints.json", "overview.png"} <= files
    assert "driving_densepose" not in files


def test_the_detector_is_chosen_by_name(inputs, finder, tmp_path):
    model = tmp_path / "a.onnx"
    whole = {"detector": "wholebody", "person_model": model, "pose_model": model}
    cli.main(line(inputs, "prepare", out=tmp_path / "out", **whole))
    assert finder == [("wholebody", 1), ("wholebody", NUM_FRAMES)]
    summary = json.loads((tmp_path / "out" / "prepare.json").read_text())
    assert summary["settings"]["detector"] == "wholebody"
