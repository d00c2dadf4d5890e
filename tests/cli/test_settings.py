"""Settings files: those of the project mean something to their models, and bad ones say so."""

import functools
from pathlib import Path

import pytest
from command_line import fails
from small_animateanyone import small_animateanyone
from small_magicanimate import small_magicanimate
from small_models import small_model
from small_tokens import small_disco, small_dreampose

from tpc_jax import cli
from tpc_jax.animators.load import EMBEDDED
from tpc_jax.animators.plan import plan_run
from tpc_jax.commands.animation import animate
from tpc_jax.commands.settings import expand_settings
from tpc_jax.options import Calibrating, Options

CONFIGS = Path(__file__).parents[2] / "configs"
MODELS = {
    "tiny": small_model,
    "magicanimate": small_magicanimate,
    "animateanyone": small_animateanyone,
    "dreampose": small_dreampose,
    "disco": small_disco,
}
FILES = sorted(p for p in CONFIGS.glob("*/*.toml") if p.stem != "train_gpu")
INPUTS = ["--reference", "a.png", "--driving", "b.mp4", "--out", "c.mp4"]


def parsed(monkeypatch, *arguments: str) -> dict:
    """Return what the command `animate` is called with."""
    called = {}

    @functools.wraps(animate)
    def record(**values):
        called.update(values)

    monkeypatch.setattr(cli, "animate", record)
    cli.main(["animate", *arguments, *INPUTS])
    return called


def test_every_animator_has_its_tasks():
    found = {(path.parent.name, path.stem) for path in FILES}
    for system in MODELS:
        assert {(system, "with_tpc"), (system, "long_clip")} <= found
        assert system == "tiny" or (system, "as_published") in found


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_files_mean_something_to_their_models(path, monkeypatch):
    system, task = path.parent.name, path.stem
    called = parsed(monkeypatch, "--settings", str(path))
    model = called["loading"].model
    assert model == (EMBEDDED if system == "tiny" else f"models/{system}")
    plan = plan_run(MODELS[system]()[0], 5, called["denoising"])
    assert (plan.routing is None) == (task == "as_published")
    assert "as_published" not in task or plan.habits == plan.animator.habits


def test_files_hold_nothing_that_is_the_default_anyway(monkeypatch):
    for path in FILES:
        plain, called = (parsed(monkeypatch, *line) for line in ([], ["--settings", str(path)]))
        assert called != plain, path


def test_options_on_the_line_win(monkeypatch, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text('group_size = 8\nguidance_scale = [8.0, 3.0]\ntpc = false\nmethod = "face"\n')
    called = parsed(monkeypatch, f"--settings={path}", "--group-size", "2")
    assert called["denoising"] == Options(tpc=False, group_size=2, guidance_scale=(8.0, 3.0))
    assert called["calibrating"] == Calibrating("face")


def test_json_too(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text('{"steps": 3, "as_published": true}')
    expanded = expand_settings(["animate", "--settings", str(path), "--out", "x"])
    assert expanded == ["animate", "--steps", "3", "--as-published", "--out", "x"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps = ", "mend the file"),
        ("[options]\nsteps = 3\n", "[options] is a table; give options by name"),
    ],
)
def test_bad_files(text, words, tmp_path, capsys):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    fails(["animate", "--settings", str(path), *INPUTS], capsys, str(path), words)
    fails(["animate", "--settings", str(tmp_path / "no.toml"), *INPUTS], capsys, "cannot be read")


def test_a_name_that_no_option_has(tmp_path, capsys):
    path = tmp_path / "settings.toml"
    path.write_text("stepps = 3\n")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["animate", "--settings", str(path), *INPUTS])
    assert stopped.value.code == 2
    assert "--stepps" in capsys.readouterr().err


def test_settings_without_a_value(capsys):
    fails(["animate", "--settings"], capsys, "--settings needs a value")
