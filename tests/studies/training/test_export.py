import csv
import json

import jax
import numpy as np
import pytest
from small_models import small_model

from tpc_jax.animators.load import load
from tpc_jax.errors import UserError
from tpc_jax.studies.training.config import StageConfig, TrainConfig
from tpc_jax.studies.training.export import CARD_FILE, export_model

ANIMATOR, PARAMS = small_model()
CONFIG = TrainConfig(
    model=ANIMATOR.config, vae=StageConfig(steps=45, clips=2, frames=1, learning_rate=1e-3, seed=9)
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for stage in ("vae", "images", "clips"):
        (folder / stage).mkdir()
        with (folder / stage / "loss.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("step", "loss", "seconds_since_start"))
            writer.writerows((step, 1 / step, 60.0 * step) for step in range(1, 46))
    return folder


@pytest.fixture(scope="module")
def exported(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "model"
    export_model(out, runs, CONFIG, ANIMATOR.config, PARAMS)
    return out


def test_the_exported_model_loads_and_is_that_model(exported):
    animator, params, _ = load(exported)
    assert animator == ANIMATOR
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2**-8), params, PARAMS)


def test_settings_are_those_that_remake_it(exported):
    assert TrainConfig.from_dict(json.loads((exported / "training.json").read_text())) == CONFIG


def test_the_card_tells_what_was_done(exported):
    card = (exported / CARD_FILE).read_text()
    last = np.mean(1 / np.arange(1, 46))
    assert f"| vae | 45 | 2 x 1 | 0.001 | none | 9 | 45 | {last:.4f} |" in card
    assert f"| images | {CONFIG.images.steps} | 4 x 4 | 0.001 | 0.01 | 0 | 45 |" in card
    assert "16 x 16 pixels" in card
    counts = sum(leaf.size for leaf in jax.tree.leaves(PARAMS))
    assert f"Parameters: {counts:,}" in card


def test_loss_curves_are_means_of_twenty_steps(exported):
    lines = (exported / "loss_clips.csv").read_text().splitlines()
    assert lines[0] == "step,loss"
    rows = [line.split(",") for line in lines[1:]]
    assert [int(step) for step, _ in rows] == [20, 40, 45]
    assert float(rows[1][1]) == pytest.approx(np.mean(1 / np.arange(21, 41)), abs=1e-5)


def test_an_existing_folder_is_not_replaced(exported, runs):
    with pytest.raises(UserError, match="exists already"):
        export_model(exported, runs, CONFIG, ANIMATOR.config, PARAMS)
