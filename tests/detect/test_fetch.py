import hashlib

import pytest
from test_models import DETECTOR, LANDMARKS, WHEEL, zipped

from tpc_jax.detect import fetch, models
from tpc_jax.detect.fetch import fetch_pose_model
from tpc_jax.errors import UserError

# A pip that writes what it was asked to where a file says.
PIP = """
import pathlib, sys
here = pathlib.Path(__file__).parent
(here / "asked").write_text(" ".join(sys.argv[1:]))
target = pathlib.Path(sys.argv[sys.argv.index("--dest") + 1])
if (here / "wheel").exists():
    (target / "mediapipe-0.10.21-py3-none-any.whl").write_bytes((here / "wheel").read_bytes())
else:
    (target / "half.whl.tmp").write_bytes(b"half")
    print("WARNING: Retrying", file=sys.stderr)
    print("ERROR: No matching distribution found", file=sys.stderr)
    raise SystemExit(1)
"""


@pytest.fixture
def pip(tmp_path, monkeypatch):
    """Return the folder of a fake pip, which fetches its file `wheel`."""
    folder = tmp_path / "pip"
    folder.mkdir()
    (folder / "pip.py").write_text(PIP)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sums = [hashlib.sha256(data).hexdigest() for data in (DETECTOR, LANDMARKS)]
    known = dict(zip(models.SHA256, sums, strict=True))
    monkeypatch.setattr(models, "SHA256", known)
    monkeypatch.setattr(fetch, "SHA256", known)
    yield folder
    left = [path.name for path in tmp_path.iterdir() if path.name not in ("pip", "cache")]
    assert left == []  # no temporary folder


def test_two_files_are_kept_of_the_wheel(pip, tmp_path):
    (pip / "wheel").write_bytes(zipped(WHEEL))
    folder = fetch_pose_model()
    assert folder == tmp_path / "cache" / "tpc_jax"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "pose_detection.tflite": DETECTOR,
        "pose_landmark_full.tflite": LANDMARKS,
    }
    asked = (pip / "asked").read_text()
    assert asked.startswith("download --no-deps --only-binary=:all: --python-version 3.11")
    assert "--platform manylinux_2_28_x86_64 mediapipe==0.10.21" in asked


def test_what_is_there_is_not_fetched_again_but_what_is_damaged_is(pip):
    (pip / "wheel").write_bytes(zipped(WHEEL))
    folder = fetch_pose_model()
    (pip / "asked").unlink()
    fetch_pose_model()
    assert not (pip / "asked").exists()
    (folder / "pose_detection.tflite").write_bytes(b"cut")
    fetch_pose_model()
    assert (folder / "pose_detection.tflite").read_bytes() == DETECTOR


def test_without_a_network_one_line_says_what_to_download(pip, tmp_path):
    with pytest.raises(UserError, match="No matching distribution found") as caught:
        fetch_pose_model()
    message = str(caught.value)
    assert "\n" not in message
    assert "mediapipe==0.10.21" in message
    assert "--pose-model FILE" in message
    assert not (tmp_path / "cache").exists()


def test_without_pip_one_line_says_so(pip):
    (pip / "pip.py").write_text("raise SystemExit('No module named pip')")
    with pytest.raises(UserError, match=r"No module named pip.*--pose-model FILE"):
        fetch_pose_model()


def test_a_wheel_with_other_files_is_refused_and_nothing_kept(pip, tmp_path):
    other = {**WHEEL, "mediapipe/modules/pose_landmark/pose_landmark_full.tflite": LANDMARKS + b"x"}
    (pip / "wheel").write_bytes(zipped(other))
    with pytest.raises(UserError, match="checksums differ"):
        fetch_pose_model()
    assert not (tmp_path / "cache").exists()


def test_an_interrupted_fetch_leaves_nothing(pip, tmp_path, monkeypatch):
    (pip / "wheel").write_bytes(zipped(WHEEL))

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch, "read_pose_files", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch_pose_model()
    assert not (tmp_path / "cache").exists()
