"""The command from files to a model that loads, and how it ends when it cannot finish."""

import json
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import jax
import numpy as np
import pytest
from small_published import MOTION, TEXT, UNET

from tpc_jax.animators.load import load
from tpc_jax.cli import main
from tpc_jax.convert import core
from tpc_jax.model import params as P
from tpc_jax.model.checkpoint import load_params
from tpc_jax.model.text import TextEncoder, empty_prompt

pytestmark = pytest.mark.torch
ROOT = Path(__file__).parents[2]


def arguments(download, out, *more):
    names = ("--sd15", "--vae", "--magicanimate")
    pairs = [w for pair in zip(names, download.folders, strict=True) for w in pair]
    return [str(word) for word in ("convert", "magicanimate", *pairs, "--out", out, *more)]


def load_whole(folder):
    """Return a stored model with its text encoder, which loading to animate leaves out."""
    animator, loaded, _ = load(folder)
    params = load_params(folder, animator.networks())
    assert loaded.keys() == params.keys() - {"text_encoder"}
    return animator, params


@pytest.fixture(scope="module")
def converted(original, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "deep" / "model"
    main(arguments(original, out))
    return out


def test_the_model_loads_with_all_parameters(converted, expected):
    animator, params = load_whole(converted)
    flat = P.flatten(params)
    assert flat.keys() == {*expected, "context.empty_prompt"}
    for path, array in expected.items():
        np.testing.assert_array_equal(flat[path], array, err_msg=path)
    assert animator.config.image_size == (64, 64)
    assert animator.config.unet.norm_over_frames
    assert animator.config.schedule.beta_start == 0.001
    assert (converted / "tokenizer/merges.txt").read_text() == "#version: 0.2\n"
    assert [p.name for p in converted.parent.iterdir()] == ["model"]


@pytest.mark.slow
def test_the_empty_prompt_is_embedded(converted):
    animator, params = load_whole(converted)
    config = animator.config.text_encoder
    ids = empty_prompt(config)
    assert ids[0].tolist() == [58] + [59] * 76
    network = P.bind(P.abstract(TextEncoder, config), params["text_encoder"])
    stored = params["context"]["empty_prompt"]
    np.testing.assert_allclose(network(jax.numpy.asarray(ids))[0], stored, atol=1e-5)


def test_the_report_accounts_for_every_tensor_and_file(converted, original):
    text = (converted / core.REPORT_FILE).read_text()
    assert str(original.root) not in text
    report = json.loads(text)
    kept = {"unet": (UNET, MOTION), "text_encoder": (TEXT,)}
    for network, files in kept.items():
        names = {n.removeprefix("module.") for f in files for n in original.networks[f].tensors}
        entry = report["networks"][network]
        ignored = {name for name in entry["ignored"] if not name.endswith("(no tensor)")}
        assert entry["used"].keys() | ignored == names
        assert not entry["used"].keys() & ignored
    assert "global_step (no tensor)" in report["networks"]["unet"]["ignored"]
    assert report["networks"]["text_encoder"]["ignored"] == ["text_model.embeddings.position_ids"]
    file = original.path(UNET)
    assert report["files"][UNET] == {
        "bytes": file.stat().st_size,
        "sha256": sha256(file.read_bytes()).hexdigest(),
    }
    weights = sum(array.size for n in original.networks.values() for array in n.tensors.values())
    ignored = sum(
        array.size for k, array in original.networks[MOTION].tensors.items() if k.endswith(".pe")
    )
    assert sum(report["parameters"].values()) == weights - ignored - 77 + 77 * 32


@pytest.mark.slow
def test_storage_in_half_precision(original, expected, tmp_path):
    main(arguments(original, tmp_path / "model", "--dtype", "bfloat16"))
    _, params = load_whole(tmp_path / "model")
    flat = P.flatten(params)
    for path, array in expected.items():
        rounded = np.asarray(jax.numpy.asarray(array, jax.numpy.bfloat16), np.float32)
        np.testing.assert_array_equal(flat[path], rounded, err_msg=path)


def test_an_existing_folder_is_left_alone(original, tmp_path, capsys):
    (tmp_path / "model").mkdir()
    with pytest.raises(SystemExit) as ended:
        main(arguments(original, tmp_path / "model"))
    assert ended.value.code == 2
    assert "model: exists already; remove it or choose another folder" in capsys.readouterr().err
    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (SystemExit(143), 143)])
def test_an_interrupted_conversion_leaves_nothing(original, tmp_path, monkeypatch, error, code):
    original_check, calls = np.isfinite, []

    def interrupted(array):
        calls.append(array)
        if len(calls) == 1000:
            raise error
        return original_check(array)

    monkeypatch.setattr(core.np, "isfinite", interrupted)
    with pytest.raises(SystemExit) as ended:
        main(arguments(original, tmp_path / "deep" / "model"))
    assert ended.value.code == code
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_before_anything_is_written(original, tmp_path, monkeypatch, capsys):
    usage = core.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(core.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(SystemExit):
        main(arguments(original, tmp_path / "model"))
    assert "only 0.0 GB are free" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# Runs the command and stands still when the parameters are written, the folder not yet in place.
HELD = """
import sys, time
from tpc_jax.cli import main
from tpc_jax.convert import core

def write_and_wait(*args):
    write(*args)
    print("written", flush=True)
    time.sleep(300)

write, core.write_model = core.write_model, write_and_wait
main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_nothing(original, tmp_path, sent, code):
    folder = tmp_path / "models"
    command = [sys.executable, "-c", HELD, *arguments(original, folder / "model")]
    # Tests that run in the background of a shell ignore SIGINT, and so would their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
    )
    assert process.stdout.readline() == "written\n"
    assert list(folder.glob(".*.partial/params"))
    process.send_signal(sent)
    assert process.wait(60) == code
    assert not folder.exists()
