import pytest
from small_models import small_model

from tpc_jax import cli
from tpc_jax.model.checkpoint import save_checkpoint
from tpc_jax.studies.evaluation import sensitivity, summary
from tpc_jax.studies.evaluation.sensitivity import Condition

CONDITIONS = [Condition(rotation=60.0), Condition(rotation=60.0, routing="composite")]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    animator, params = small_model()
    folder = tmp_path_factory.mktemp("models") / "small"
    save_checkpoint(folder, {"animator": "tiny", **animator.config.to_dict()}, params)
    return folder


@pytest.fixture
def arguments(model, tmp_path, monkeypatch):
    """Arguments of a short study of two conditions that writes into a temporary folder."""
    for module in (sensitivity, summary):
        monkeypatch.setattr(module, "study_conditions", lambda: CONDITIONS)
    options = {"model": model, "out": tmp_path / "docs", "results": tmp_path / "runs" / "r.csv"}
    options |= {"clips": 2, "frames": 5, "steps": 2}

    def make(**changes):
        changed = {n: v for n, v in (options | changes).items() if v is not None}
        return ["sensitivity", *(str(x) for n, v in changed.items() for x in (f"--{n}", v))]

    return make


def test_the_command_measures_and_writes_the_page(arguments, tmp_path, capsys, monkeypatch):
    cli.main(arguments())
    page = (tmp_path / "docs" / "sensitivity.md").read_text()
    assert "2 held-out people" in page
    assert "| 60° | composite |" in page
    assert (tmp_path / "docs" / "sensitivity.png").exists()
    assert "4/4" in capsys.readouterr().err

    # Once more: everything is there, nothing is animated.
    monkeypatch.setattr(sensitivity, "run_one", None)
    (tmp_path / "docs" / "sensitivity.md").unlink()
    cli.main(arguments())
    assert (tmp_path / "docs" / "sensitivity.md").read_text() == page


def test_the_models_own_number_of_steps_is_the_default(arguments, tmp_path):
    cli.main(arguments(steps=None, clips=2))
    own = small_model()[0].num_steps
    rows = (tmp_path / "runs" / "r.csv").read_text().splitlines()[1:]
    assert rows
    assert all(f"5 frames, {own} steps" in row for row in rows)


@pytest.mark.parametrize("change", [{"clips": 1}, {"frames": 1}, {"frames": 24}, {"steps": 2000}])
def test_numbers_out_of_range_end_as_one_line(arguments, tmp_path, capsys, change):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments(**change))
    assert stop.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("tpc-jax: --clips must be at least 2, --frames in 2...23 and --steps")
    assert list(tmp_path.iterdir()) == []
