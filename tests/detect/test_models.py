import io
import zipfile

import numpy as np
import pytest
from drawn_people import Detector, LandmarkNetwork

from tpc_jax.detect import models
from tpc_jax.detect.models import open_pose_model, pose_model_folder, read_pose_files
from tpc_jax.errors import InputWarning, UserError

DETECTOR, LANDMARKS = b"\0\0\0\0TFL3 detector", b"\0\0\0\0TFL3 landmarks"
WHEEL = {
    "mediapipe/modules/pose_detection/pose_detection.tflite": DETECTOR,
    "mediapipe/modules/pose_landmark/pose_landmark_full.tflite": LANDMARKS,
    "mediapipe/__init__.py": b"",
}
TASK = {"pose_detector.tflite": DETECTOR, "pose_landmarks_detector.tflite": LANDMARKS}


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def interpreter(monkeypatch):
    """Put fake networks in place of the interpreter; returns what was opened."""
    opened = []

    def network(data, name, num_threads):
        opened.append((data, num_threads))
        return Detector() if data == DETECTOR else LandmarkNetwork()

    monkeypatch.setattr(models, "TFLiteNetwork", network)
    return opened


@pytest.mark.parametrize(("name", "files"), [("m.whl", WHEEL), ("pose.task", TASK)])
def test_bundles_and_wheels_are_opened(tmp_path, interpreter, name, files):
    path = tmp_path / name
    path.write_bytes(zipped(files))
    assert read_pose_files(path) == (DETECTOR, LANDMARKS)
    open_pose_model(path, num_threads=3)
    assert interpreter == [(DETECTOR, 3), (LANDMARKS, 3)]


def test_folders_are_opened_and_unknown_files_named(tmp_path, interpreter):
    for name, data in TASK.items():
        (tmp_path / name).write_bytes(data)
    with pytest.warns(InputWarning, match=r"not the files of MediaPipe 0\.10\.21"):
        open_pose_model(tmp_path)
    assert len(interpreter) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>not found</html>", "not a readable .task bundle or wheel"),
        (b"", "not a readable .task bundle or wheel"),
        (zipped(WHEEL)[:-60], "not a readable .task bundle or wheel"),
        (zipped({"a.txt": b""}), r"holds no pose_detection\.tflite or pose_detector\.tflite"),
        (zipped({"pose_detector.tflite": DETECTOR}), r"holds no pose_landmark_full\.tflite"),
        (zipped({**TASK, "pose_detector.tflite": b"<html>"}), "no TFLite network"),
    ],
)
def test_damaged_and_other_files_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "pose.task"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        open_pose_model(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_bundle_with_flipped_bytes_is_refused(tmp_path):
    data = bytearray(zipped({**TASK, "pose_detector.tflite": DETECTOR * 50}))
    data[200] ^= 255
    (tmp_path / "pose.task").write_bytes(data)
    with pytest.raises(UserError, match="not a readable"):
        open_pose_model(tmp_path / "pose.task")


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match="no such file or folder"):
        open_pose_model(tmp_path / "nothing.task")
    with pytest.raises(UserError, match="holds no pose_detection"):
        open_pose_model(tmp_path)


def test_files_that_only_look_like_networks_are_refused(tmp_path):
    pytest.importorskip("ai_edge_litert")
    (tmp_path / "pose.task").write_bytes(zipped(TASK))
    with pytest.raises(UserError, match="is no readable network"):
        open_pose_model(tmp_path / "pose.task")


def test_without_the_interpreter_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ai_edge_litert.interpreter", None)
    (tmp_path / "pose.task").write_bytes(zipped(TASK))
    with pytest.raises(UserError, match=r"pip install 'tpc-jax\[pose\]'"):
        open_pose_model(tmp_path / "pose.task")


def test_the_cache_is_where_the_system_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert pose_model_folder() == tmp_path / "tpc_jax"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert pose_model_folder() == tmp_path / "home" / ".cache" / "tpc_jax"


def test_without_a_fetched_model_the_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError, match="tpc-jax fetch-pose"):
        open_pose_model()


def test_a_damaged_fetched_model_is_told_by_its_checksum(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pose_model_folder().mkdir()
    for name in models.SHA256:
        (pose_model_folder() / name).write_bytes(DETECTOR)
    with pytest.raises(UserError, match="is damaged"):
        open_pose_model()


def test_fake_networks_run(tmp_path, interpreter):
    (tmp_path / "pose.task").write_bytes(zipped(TASK))
    model = open_pose_model(tmp_path / "pose.task")
    from tpc_jax.detect.people import detect_people

    assert detect_people(model, np.zeros((32, 32, 3), np.uint8)) == []
