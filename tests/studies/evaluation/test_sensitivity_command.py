"""The study of sensitivity from a stored model to the page, and after a stop in the middle."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest
from small_models import small_model

from tpc_jax import cli
from tpc_jax.errors import UserError
from tpc_jax.model.checkpoint import save_checkpoint
from tpc_jax.studies.evaluation.command import run_sensitivity
from tpc_jax.studies.evaluation.sensitivity import Condition, Point
from tpc_jax.studies.evaluation.settings import SensitivitySettings
from tpc_jax.studies.evaluation.study import RESULTS_FILE
from tpc_jax.studies.evaluation.variants import PLAIN, TPC

# Compiles for long.
pytestmark = pytest.mark.slow

CONDITIONS = [Condition(Point(60.0), PLAIN), Condition(Point(60.0), TPC)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    animator, params = small_model()
    folder = tmp_path_factory.mktemp("models") / "small"
    save_checkpoint(folder, {"animator": "tiny", **animator.config.to_dict()}, params)
    return folder


@pytest.fixture
def settings(model, tmp_path):
    folders = {"out": tmp_path / "docs", "runs": tmp_path / "deep" / "runs"}
    return SensitivitySettings(str(model), **folders, clips=2, frames=5, steps=2)


class Bar:
    """Count the clips, and stop after some."""

    def __init__(self, most=None):
        self.count, self.most = 0, most

    def update(self):
        self.count += 1
        if self.count == self.most:
            raise KeyboardInterrupt

    def __call__(self, total):
        self.total = total
        return contextlib.nullcontext(self)


def measure(settings, bar=None):
    return run_sensitivity(settings, bar or Bar(), CONDITIONS)


def rows_of(settings):
    lines = (settings.runs / RESULTS_FILE).read_text().splitlines()
    return [json.loads(line) for line in lines[1:]]


def test_a_stopped_study_goes_on_to_the_page(settings):
    with pytest.raises(KeyboardInterrupt):
        measure(settings, Bar(most=3))
    assert len(rows_of(settings)) == 3
    assert not settings.out.exists()

    bar = Bar()
    page, plot = measure(settings, bar)
    # Known clips advance the bar too.
    assert bar.count == bar.total == 4
    text = page.read_text()
    assert "2 held-out people" in text
    assert "5 frames, 2 steps, seed 0" in text
    assert "| 60° | composite |" in text
    assert plot.exists()

    rows = rows_of(settings)
    assert len({(row["split"], row["pair"], row["variant"]) for row in rows}) == len(rows) == 4
    assert len({row["split"] for row in rows}) == 1
    plain, calibrated = (
        [row["scores"] for row in rows if row["variant"] == variant.name]
        for variant in (PLAIN, TPC)
    )
    for before, after in zip(plain, calibrated, strict=True):
        assert after["person_iou_after"] > after["person_iou_before"] + 0.1
        assert abs(after["foreground_psnr"] - before["foreground_psnr"]) > 1e-4
        assert np.isfinite([*before.values(), *after.values()]).all()

    # Once more: everything is there, and nothing can be noted down twice.
    page.unlink()
    measure(settings)
    assert page.read_text() == text
    assert rows_of(settings) == rows


def test_results_of_another_model_or_other_options_are_not_mixed(settings):
    measure(dataclasses.replace(settings, steps=1))
    text = (settings.runs / RESULTS_FILE).read_text()
    for change in ({"steps": 2}, {"model": "tiny"}, {"seed": 1}):
        with pytest.raises(UserError, match=r"results\.jsonl: holds results of another study"):
            measure(dataclasses.replace(settings, **{"steps": 1, **change}))
    assert (settings.runs / RESULTS_FILE).read_text() == text


@pytest.mark.parametrize("change", [{"clips": 1}, {"frames": 1}, {"frames": 24}, {"steps": 2000}])
def test_numbers_out_of_range_end_as_one_line(model, tmp_path, capsys, change):
    options = {"model": model, "out": tmp_path / "docs", "runs": tmp_path / "runs", **change}
    with pytest.raises(SystemExit) as stop:
        cli.main(["sensitivity", *(str(x) for n, v in options.items() for x in (f"--{n}", v))])
    assert stop.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(("tpc-jax: --clips must be at least 2 and", "tpc-jax: --steps"))
    assert list(tmp_path.iterdir()) == []
