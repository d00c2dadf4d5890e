import json

import jax
import numpy as np
import pytest
from small_models import small_model

from tpc_jax.animators.load import load
from tpc_jax.errors import UserError
from tpc_jax.model.checkpoint import CONFIG_FILE, save_checkpoint


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    animator, params = small_model()
    folder = tmp_path_factory.mktemp("models") / "small"
    save_checkpoint(folder, {"animator": "tiny", **animator.config.to_dict()}, params)
    return folder


def test_a_stored_model_comes_back(stored):
    animator, params, prompt = load(stored)
    original, original_params = small_model()
    assert animator == original
    assert prompt is None
    jax.tree.map(np.testing.assert_array_equal, params, original_params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"animator": "huge"},
            "animator 'huge' is unknown; known: tiny, magicanimate, animateanyone, dreampose, "
            "disco",
        ),
        ({"animator": None}, "animator None is unknown"),
        ({"image_size": 16, "colour": 1}, "unknown TinyConfig keys"),
        ({"vae": {"patch": 1}}, "unknown VAEConfig keys"),
    ],
)
def test_configs_of_other_models_are_user_errors(stored, tmp_path, change, message):
    config = json.loads((stored / CONFIG_FILE).read_text())
    model = tmp_path / "small"
    model.mkdir()
    (model / CONFIG_FILE).write_text(json.dumps({**config, **change}))
    with pytest.raises(UserError, match=message) as error:
        load(model)
    assert str(error.value).startswith(str(model))
    assert "\n" not in str(error.value)


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(UserError, match="give the folder of a converted or trained model"):
        load(tmp_path)
