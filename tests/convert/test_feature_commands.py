"""Feature networks from published files to loaded parameters, strictly."""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tpc_jax.cli import main
from tpc_jax.convert import feature_networks
from tpc_jax.convert.feature_networks import FEATURE_NETWORKS, describe_feature_network
from tpc_jax.errors import UserError
from tpc_jax.metrics.networks import load_feature_network
from tpc_jax.metrics.networks.store import LoadedNetwork
from tpc_jax.model import params as P

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))
import torch_features as T
from torch_oracles import convert_flat

pytestmark = pytest.mark.torch

SHRINK = 32
MODULES = {
    "lpips_vgg": lambda: (T.ClassifierFeatures("vgg", SHRINK), T.Heads([2, 4, 8, 16, 16])),
    "lpips_alex": lambda: (T.ClassifierFeatures("alex", SHRINK), T.Heads([2, 6, 12, 8, 8])),
    "inception_v3": lambda: (T.Inception(SHRINK),),
    "resnet3d_50": lambda: (torch.nn.DataParallel(T.ResNet3D(SHRINK)),),
    "i3d": lambda: (T.I3D(SHRINK),),
}
OPTIONS = {"lpips_vgg": ("vgg16", "heads"), "lpips_alex": ("alexnet", "heads")}


def publish(name, folder, change=lambda state: None):
    """Write the files of a small network as they are published; return paths and tensors."""
    paths, tensors = [], {}
    for index, module in enumerate(MODULES[name]()):
        state = dict(module.state_dict())
        if index == 0:
            change(state)
        tensors |= {key.removeprefix("module."): x.numpy() for key, x in state.items()}
        # The 3-D ResNet comes inside a training checkpoint.
        content = {"epoch": 200, "state_dict": state} if name == "resnet3d_50" else state
        paths.append(folder / f"{name}_{index}.pth")
        torch.save(content, paths[-1])
    return paths, tensors


@pytest.fixture
def small(monkeypatch):
    """Let the command expect networks of the small size."""
    describe = functools.partial(describe_feature_network, shrink=SHRINK)
    monkeypatch.setattr(feature_networks, "describe_feature_network", describe)


def arguments(name, paths, out):
    options = OPTIONS.get(name, ("weights",))
    pairs = [word for o, path in zip(options, paths, strict=True) for word in (f"--{o}", path)]
    return [str(word) for word in ("convert", name.replace("_", "-"), *pairs, "--out", out)]


@pytest.mark.parametrize("name", FEATURE_NETWORKS)
def test_files_become_a_network_that_loads(name, tmp_path, small, capsys):
    paths, tensors = publish(name, tmp_path)
    main(arguments(name, paths, tmp_path / "out"))
    assert "parameters" in capsys.readouterr().out
    loaded = load_feature_network(tmp_path / "out", name)
    assert isinstance(loaded, LoadedNetwork)
    rules = [rule for table in FEATURE_NETWORKS[name] for rule in table]
    expected = convert_flat(rules, tensors, loaded.network)
    flat = P.flatten(loaded.params)
    assert flat.keys() == expected.keys()
    for path, array in expected.items():
        np.testing.assert_array_equal(flat[path], array, err_msg=path)
    P.bind(loaded.network, loaded.params)


def test_every_fault_is_told_and_nothing_is_left(tmp_path, small, capsys):
    def spoil(state):
        state.pop(next(key for key in state if key.endswith("running_mean")))
        state["surplus.weight"] = torch.zeros(3)

    paths, _ = publish("inception_v3", tmp_path, spoil)
    with pytest.raises(SystemExit) as ended:
        main(arguments("inception_v3", paths, tmp_path / "deep" / "out"))
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert "2 faults, nothing is converted" in error
    assert "no rule for surplus.weight" in error
    assert "nothing fills" in error
    assert not (tmp_path / "deep").exists()


def test_the_published_size_is_the_default(tmp_path, capsys):
    paths, _ = publish("i3d", tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments("i3d", paths, tmp_path / "out"))
    assert ended.value.code == 2
    assert "does not fit" in capsys.readouterr().err


def test_a_metric_refuses_another_network(tmp_path, small):
    paths, _ = publish("resnet3d_50", tmp_path)
    main(arguments("resnet3d_50", paths, tmp_path / "out"))
    with pytest.raises(UserError, match="holds resnet3d_50, the metric needs i3d"):
        load_feature_network(tmp_path / "out", "i3d")
    (tmp_path / "out" / "config.json").write_text('{"animator": "tiny"}')
    with pytest.raises(UserError, match="is no feature network"):
        load_feature_network(tmp_path / "out")
    with pytest.raises(ValueError, match="published in 2 files, got 1"):
        describe_feature_network("lpips_vgg", paths)
