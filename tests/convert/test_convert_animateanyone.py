"""AnimateAnyone's files to a model that loads; what does not fit is refused by name."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from published import animateanyone
from small_published import INFERENCE, SMALL, save, write

from tpc_jax.animators.load import load
from tpc_jax.cli import main
from tpc_jax.convert import core
from tpc_jax.convert.animateanyone import describe_model
from tpc_jax.convert.core import plan_parts
from tpc_jax.errors import UserError
from tpc_jax.model import params as P

pytestmark = pytest.mark.torch
FOLDERS = ("sd15", "vae", "image_encoder", "weights")
UNET, MOTION = "weights/denoising_unet.pth", "weights/motion_module.pth"
REFERENCE, GUIDER = "weights/reference_unet.pth", "weights/pose_guider.pth"
VISION, VAE = "image_encoder/pytorch_model.bin", "vae/diffusion_pytorch_model.bin"
SETTINGS = {
    **INFERENCE,
    "unet_additional_kwargs": {
        **INFERENCE["unet_additional_kwargs"],
        "use_inflated_groupnorm": True,
        "motion_module_mid_block": True,
        "motion_module_kwargs": {
            **INFERENCE["unet_additional_kwargs"]["motion_module_kwargs"],
            "temporal_position_encoding_max_len": 32,
        },
    },
    "noise_scheduler_kwargs": {
        "beta_start": 0.001,
        "beta_end": 0.012,
        "beta_schedule": "linear",
        "clip_sample": False,
        "steps_offset": 1,
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
    },
}


@pytest.fixture(scope="module")
def networks():
    published = animateanyone.networks(SMALL, vision_width=32, vision_layers=2)
    return {network.file: network for network in published}


@pytest.fixture(scope="module")
def original(networks, tmp_path_factory):
    """A download that nobody changes."""
    root = tmp_path_factory.mktemp("anyone")
    for network in networks.values():
        write(root, network)
    (root / "weights/inference_config.json").write_text(json.dumps(SETTINGS))
    return root


@pytest.fixture
def download(original, tmp_path):
    """A download to change."""
    return shutil.copytree(original, tmp_path / "download")


def describe(root: Path, *more):
    return describe_model(*(root / name for name in FOLDERS), *more)


def parameters(root: Path) -> dict[str, np.ndarray]:
    return {
        f"{network}.{filling.target.path}": np.asarray(filling.read(), np.float32)
        for network, plan in plan_parts(describe(root)).items()
        for filling in plan.fillings.values()
    }


@pytest.fixture(scope="module")
def expected(original):
    return parameters(original)


def change(root: Path, networks, file: str, **tensors):
    """Write a file again with some tensors changed, or gone where None."""
    kept = {**networks[file].tensors, **{k.replace("__", "."): v for k, v in tensors.items()}}
    save(root / file, {name: array for name, array in kept.items() if array is not None})


def test_the_command_makes_a_model_that_loads(original, networks, expected, tmp_path):
    folders = [w for n in FOLDERS for w in (f"--{n.replace('_', '-')}", str(original / n))]
    main(["convert", "animateanyone", *folders, "--out", str(tmp_path / "model")])
    animator, params, _ = load(tmp_path / "model")
    flat = P.flatten(params)
    assert flat.keys() == expected.keys()
    for path, array in expected.items():
        np.testing.assert_array_equal(flat[path], array, err_msg=path)
    config = animator.config
    assert config.unet.motion.use_mid_block
    assert config.unet.motion.max_frames == 32
    assert not config.unet.norm_over_frames
    assert config.pose_net.block_out_channels == SMALL.condition_widths
    assert config.schedule.beta_start == 0.001
    assert config.schedule.rescale_zero_terminal_snr
    assert config.image_size == (784, 512)
    report = json.loads((tmp_path / "model" / core.REPORT_FILE).read_text())
    assert str(original) not in json.dumps(report)
    for network, files in {"unet": (UNET, MOTION), "appearance_encoder": (REFERENCE,)}.items():
        entry = report["networks"][network]
        names = {name for file in files for name in networks[file].tensors}
        assert entry["used"].keys() | set(entry["ignored"]) == names
        assert not entry["used"].keys() & set(entry["ignored"])
    assert set(report["files"]) > {UNET, MOTION, REFERENCE, GUIDER, VISION, VAE}


def test_tensors_arrive_where_they_belong(networks, expected):
    vision, guider = networks[VISION].tensors, networks[GUIDER].tensors
    same = np.testing.assert_array_equal
    for name in ("embeddings.class_embedding", "pre_layrnorm.bias"):
        same(expected[f"image_encoder.{name}"], vision[f"vision_model.{name}"])
    same(expected["image_encoder.visual_projection.kernel"], vision["visual_projection.weight"].T)
    same(expected["pose_net.blocks.3.kernel"], guider["blocks.3.weight"].transpose(2, 3, 1, 0))
    name = "mid_block.motion_modules.0"
    theirs = networks[MOTION].tensors[f"{name}.temporal_transformer.proj_in.weight"]
    same(expected[f"unet.{name}.proj_in.kernel"], theirs.T)


def test_safetensors(download, networks, expected):
    for file in (UNET, MOTION, REFERENCE, GUIDER, VISION, VAE):
        (download / file).unlink()
        name = "model" if file == VISION else Path(file).stem
        save((download / file).with_name(f"{name}.safetensors"), networks[file].tensors)
    found = parameters(download)
    assert found.keys() == expected.keys()
    for path, array in expected.items():
        np.testing.assert_array_equal(found[path], array, err_msg=path)


def test_motion_modules_in_the_denoisers_file_win(download, networks, expected):
    name = "up_blocks.0.motion_modules.1.temporal_transformer.norm.weight"
    other = networks[MOTION].tensors[name] + 1
    change(download, networks, UNET, **{name: other})
    found = parameters(download)
    path = "unet.up_blocks.0.motion_modules.1.norm.scale"
    np.testing.assert_array_equal(found[path], other)
    assert all(np.array_equal(found[k], v) for k, v in expected.items() if k != path)
    assert name in plan_parts(describe(download))["unet"].ignored


def test_tables_that_may_be_left_out(download, networks, expected):
    tables = {n: None for n in networks[MOTION].tensors if n.endswith(".pe")}
    assert len(tables) == 42
    change(download, networks, MOTION, **tables)
    change(download, networks, VISION, **{"vision_model.embeddings.position_ids": None})
    assert parameters(download).keys() == expected.keys()


def test_all_faults_are_listed(download, networks):
    change(download, networks, UNET, **{"mid_block.resnets.0.conv1.weight": None})
    change(download, networks, REFERENCE, **{"strange.weight": np.ones(3, np.float32)})
    change(download, networks, VISION, **{"visual_projection.weight": np.ones((3, 3), np.float32)})
    with pytest.raises(UserError) as error:
        plan_parts(describe(download))
    message = str(error.value)
    assert message.startswith("3 faults, nothing is converted:\n")
    files = "denoising_unet.pth, motion_module.pth"
    assert f"unet ({files}): nothing fills mid_block.resnets.0.conv1.kernel" in message
    assert "appearance_encoder (reference_unet.pth): no rule for strange.weight" in message
    assert "image_encoder (pytorch_model.bin): visual_projection.weight (3, 3)" in message


@pytest.mark.parametrize("file", [UNET, MOTION, REFERENCE, GUIDER, VISION, VAE])
def test_missing_files(download, file):
    (download / file).unlink()
    name = {VAE: "diffusion_pytorch_model.safetensors"}.get(file, Path(file).name)
    with pytest.raises(UserError, match=f"no weights there; download {re.escape(name)}"):
        describe(download)


def settings_of(root: Path, file: str, **values):
    path = root / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("image_encoder/config.json", {"projection_dim": 16}, "reads 32 .* projects to 16"),
        ("image_encoder/config.json", {"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ("vae/config.json", {"latent_channels": 8}, "4 channels where the autoencoder has 8"),
        ("sd15/unet/config.json", {"norm_eps": 1e-6}, "not supported: norm_eps"),
        ("sd15/unet/config.json", {"block_out_channels": [16] * 4}, "denoiser adds 16 of 8"),
        ("sd15/unet/config.json", {"norm_num_groups": 3}, "Number of groups"),
    ],
)
def test_configs_that_do_not_fit(download, file, values, message):
    settings_of(download, file, **values)
    with pytest.raises(UserError, match=message) as error:
        describe(download)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"clip_sample": True}, "not supported: clip_sample True"),
        ({"prediction_type": "odd"}, "prediction_type must be one of"),
    ],
)
def test_schedules_that_are_not_supported(download, tmp_path, values, message):
    noise = {**SETTINGS["noise_scheduler_kwargs"], **values}
    path = tmp_path / "other.json"
    path.write_text(json.dumps({**SETTINGS, "noise_scheduler_kwargs": noise}))
    with pytest.raises(UserError, match=message):
        describe(download, path)


def test_library_defaults_of_a_schedule(download, tmp_path):
    noise = {k: SETTINGS["noise_scheduler_kwargs"][k] for k in ("beta_start", "beta_end")}
    path = tmp_path / "other.json"
    noise = {**noise, "beta_schedule": "scaled_linear"}
    path.write_text(json.dumps({**SETTINGS, "noise_scheduler_kwargs": noise}))
    schedule = describe(download, path).config["schedule"]
    assert schedule["prediction_type"] == "epsilon"
    assert schedule["timestep_spacing"] == "leading"
    assert schedule["steps_offset"] == 0
    assert not schedule["rescale_zero_terminal_snr"]


def test_without_an_inference_config_the_published_values_hold(download):
    """These widths are too small for the published norms of motion modules, which is told."""
    (download / "weights/inference_config.json").unlink()
    with pytest.raises(UserError, match="Number of groups \\(32\\) does not divide"):
        describe(download)


def test_other_weights_in_place_of_the_pose_guider(download, networks):
    save(download / GUIDER, networks[VISION].tensors)
    with pytest.raises(UserError, match=r"pose_guider\.pth: not a pose guider: no kernel conv_in"):
        describe(download)
