import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

from tpc_jax.errors import UserError
from tpc_jax.model import params as P
from tpc_jax.model.checkpoint import (
    CONFIG_FILE,
    PARAMS_FOLDER,
    load_params,
    read_config,
    save_checkpoint,
    to_storage,
)


class Stack(nnx.Module):
    """Twelve layers of one shape: the order of a list matters from index 10 on."""

    def __init__(self, width, *, rngs):
        self.layers = nnx.List([nnx.Linear(width, width, rngs=rngs) for _ in range(12)])

    def __call__(self, x):
        for layer in self.layers:
            x = jnp.tanh(layer(x))
        return x


@pytest.fixture(scope="module")
def networks():
    return {"first": P.abstract(Stack, 3), "second": P.abstract(Stack, 2)}


@pytest.fixture(scope="module")
def params():
    return {
        "first": P.initialize(Stack, 3, key=jax.random.key(1)),
        "second": P.initialize(Stack, 2, key=jax.random.key(2)),
    }


@pytest.fixture(scope="module")
def stored(tmp_path_factory, params):
    folder = tmp_path_factory.mktemp("models") / "model"
    save_checkpoint(folder, {"animator": "stack", "width": 3}, params, {"CARD.md": "# stack\n"})
    return folder


def copy_of(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "copy")


def one_line(error):
    return str(error.value).splitlines()[0]


def test_round_trip(stored, networks, params):
    assert read_config(stored) == {"animator": "stack", "width": 3}
    assert (stored / "CARD.md").read_text() == "# stack\n"
    assert sorted(p.name for p in stored.parent.iterdir()) == ["model"]
    loaded = load_params(stored, networks)
    jax.tree.map(np.testing.assert_array_equal, loaded, params)
    x = jnp.ones((1, 3))
    ours, original = (P.bind(networks["first"], p["first"])(x) for p in (loaded, params))
    np.testing.assert_array_equal(ours, original)


def test_storage_in_half_precision_is_cast_once_at_load(tmp_path, networks, params):
    save_checkpoint(tmp_path / "model", {}, to_storage(params))
    wide = load_params(tmp_path / "model", networks)
    narrow = load_params(tmp_path / "model", networks, jnp.bfloat16)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(wide)} == {"float32"}
    assert {leaf.dtype.name for leaf in jax.tree.leaves(narrow)} == {"bfloat16"}
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2**-8), wide, params)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a.astype(jnp.float32), b), narrow, wide)


def test_an_existing_folder_is_not_touched(stored, params):
    with pytest.raises(UserError, match="exists already"):
        save_checkpoint(stored, {"animator": "other"}, params)
    assert read_config(stored)["animator"] == "stack"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_write_leaves_nothing(tmp_path, params, monkeypatch, error):
    def interrupted(self, path, *args, **options):
        path.mkdir()
        (path / "half").write_text("x")
        raise error

    monkeypatch.setattr(ocp.Checkpointer, "save", interrupted)
    with pytest.raises(error):
        save_checkpoint(tmp_path / "deep" / "model", {}, params)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_model(tmp_path):
    with pytest.raises(UserError, match=r"no config\.json there; give the folder") as error:
        read_config(tmp_path / "nowhere")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["{", "[1, 2]", "null"])
def test_a_config_that_is_no_config(tmp_path, text):
    (tmp_path / CONFIG_FILE).write_text(text)
    with pytest.raises(UserError, match=r"config\.json: ") as error:
        read_config(tmp_path)
    assert "\n" not in str(error.value)


def test_a_config_of_unreadable_bytes(tmp_path):
    (tmp_path / CONFIG_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"config\.json: "):
        read_config(tmp_path)


def test_missing_parameters(stored, networks, tmp_path):
    model = copy_of(stored, tmp_path)
    (model / PARAMS_FOLDER).rename(model / "elsewhere")
    with pytest.raises(UserError, match="params: missing or damaged; train or convert") as error:
        load_params(model, networks)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["_METADATA", "manifest.ocdbt"])
def test_damaged_tables(stored, networks, tmp_path, name):
    file = copy_of(stored, tmp_path) / PARAMS_FOLDER / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UserError, match="params: missing or damaged"):
        load_params(tmp_path / "copy", networks)


def test_damaged_numbers(stored, networks, monkeypatch):
    def damaged(*args, **options):
        raise Exception("Encountered error while reading array index")

    monkeypatch.setattr(ocp.Checkpointer, "restore", damaged)
    with pytest.raises(UserError, match="params: missing or damaged"):
        load_params(stored, networks)


def test_parameters_of_other_networks_are_listed(stored, networks):
    other = {**networks, "second": P.abstract(Stack, 5), "third": P.abstract(Stack, 2)}
    with pytest.raises(UserError, match="48 parameters do not fit the network") as error:
        load_params(stored, other)
    assert one_line(error).startswith(str(stored))
    assert "second.layers.11.kernel must have shape (5, 5), got (2, 2)" in str(error.value)
    assert "missing third.layers.0.bias (2,)" in str(error.value)


def test_surplus_parameters_are_refused(stored, networks):
    with pytest.raises(UserError, match=r"unknown second\.layers\.10\.kernel"):
        load_params(stored, {"first": networks["first"]})
