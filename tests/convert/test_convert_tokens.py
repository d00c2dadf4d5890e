"""DreamPose's and DisCo's downloads at a tiny size: from files to models, and what is refused."""

import json

import numpy as np
import pytest
from published import clip
from published import disco as published_disco
from published import dreampose as published_dreampose
from small_published import SMALL, save, write

from tpc_jax.animators.load import load
from tpc_jax.cli import main
from tpc_jax.convert import disco, dreampose
from tpc_jax.convert.core import plan_parts
from tpc_jax.errors import UserError
from tpc_jax.model import params as P

pytestmark = pytest.mark.torch
SIDE = 64
TOWER = clip.tower(32, 1, 8, 32, 16)
SIZE = ("--image-size", "64", "32")
POOLED = 4 * 2


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    """Both downloads; DisCo's tensors by name, too."""
    root = tmp_path_factory.mktemp("tokens")
    for network in published_dreampose.networks(SMALL, TOWER, POOLED):
        write(root, network)
    *configs, weights = published_disco.networks(SMALL, TOWER)
    for network in (*configs, weights):
        write(root, network)
    return root, weights.tensors


def dreampose_line(root, out, **changes):
    files = {
        "sd14": root / "sd14", "clip": root / "clip", "unet": root / published_dreampose.UNET_FILE,
        "adapter": root / published_dreampose.ADAPTER_FILE, "out": out, **changes,
    }  # fmt: skip
    pairs = [word for name, file in files.items() for word in (f"--{name}", str(file))]
    return ["convert", "dreampose", *pairs, *SIZE]


def disco_line(root, out, *more, weights=None):
    weights = root / published_disco.DISCO_FILE if weights is None else weights
    names = {"variations": root / "variations", "disco": weights, "out": out}
    pairs = [word for name, file in names.items() for word in (f"--{name}", str(file))]
    return ["convert", "disco", *pairs, "--image-size", str(SIDE), *more]


def test_dreampose(downloads, tmp_path, capsys):
    out = tmp_path / "model"
    main(dreampose_line(downloads[0], out))
    assert "belong to the people that they were fine-tuned on" in capsys.readouterr().out
    animator, params, _ = load(out)
    assert animator.config.unet.in_channels == 14
    assert animator.config.num_poses == 5
    assert animator.config.adapter.num_pooled == POOLED
    assert animator.config.image_size == (64, 32)
    assert animator.config.schedule.sampler == "plms"
    assert not animator.config.schedule.set_alpha_to_one
    assert np.abs(params["context"]["null"]).max() > 0.1
    report = json.loads((out / "conversion.json").read_text())
    ignored = report["networks"]["image_encoder"]["ignored"]
    assert "visual_projection.weight" in ignored
    used = {name: len(entry["used"]) for name, entry in report["networks"].items()}
    assert used["unet"] == 686
    assert used["adapter"] == 4


def test_an_autoencoder_of_the_person(downloads, tmp_path):
    root = downloads[0]
    stock = next(n for n in published_dreampose.networks(SMALL, TOWER, POOLED) if "vae" in n.file)
    own = {f"module.{name}": array + 1 for name, array in stock.tensors.items()}
    save(tmp_path / "vae_1499.pth", own)
    files = [
        root / published_dreampose.UNET_FILE,
        root / published_dreampose.ADAPTER_FILE,
        tmp_path / "vae_1499.pth",
    ]
    model = dreampose.describe_model(root / "sd14", root / "clip", *files, image_size=(64, 32))
    filling = plan_parts(model)["vae"].fillings["quant_conv.bias"]
    np.testing.assert_array_equal(filling.read(), own["module.quant_conv.bias"])


def test_an_adapter_for_another_size(downloads, tmp_path, capsys):
    line = dreampose_line(downloads[0], tmp_path / "model")
    with pytest.raises(SystemExit) as ended:
        main([*line[:-3], "--image-size", "64", "64"])
    assert ended.value.code == 2
    assert "gives 16 pooled cells, but the adapter is made for 8" in capsys.readouterr().err


def test_files_of_other_networks(downloads, tmp_path, capsys):
    root = downloads[0]
    line = dreampose_line(root, tmp_path / "model", adapter=root / published_dreampose.UNET_FILE)
    with pytest.raises(SystemExit):
        main(line)
    message = capsys.readouterr().err
    assert "has no vae2clip.weight of 2 axes; is it another file?" in message
    assert len(message.strip().splitlines()) == 1


@pytest.mark.parametrize(("recipe", "scale"), [("cfg", 1.5), ("no-cfg", 3.0)])
def test_disco(downloads, tmp_path, recipe, scale):
    """From DeepSpeed's layout, half precision but for CLIP."""
    root, tensors = downloads
    out = tmp_path / "model"
    main(disco_line(root, out, "--recipe", recipe))
    animator, params, _ = load(out)
    assert animator.config.guidance_scale == (scale,)
    assert animator.config.schedule.sampler == "ddim"
    assert animator.config.pose_controlnet.condition_channels == SMALL.condition_widths
    assert animator.config.background_controlnet.condition_channels is None
    assert (np.abs(params["context"]["null"]).max() > 0) == (recipe == "cfg")
    kernel = params["image_encoder"]["visual_projection"]["kernel"]
    stored = tensors["refer_clip_proj.weight"].astype(np.float16).T
    np.testing.assert_array_equal(kernel, stored.astype(np.float32))
    nets = ("pose_controlnet", "background_controlnet")
    for index, name in enumerate(nets):
        theirs = tensors[f"controlnet.nets.{index}.conv_in.weight"].astype(np.float16)
        ours = params[name]["conv_in"]["kernel"]
        np.testing.assert_array_equal(ours, theirs.transpose(2, 3, 1, 0).astype(np.float32))
    report = json.loads((out / "conversion.json").read_text())
    used = sum(len(entry["used"]) for entry in report["networks"].values())
    assert used == len(tensors) - 2  # CLIP's own projection and its table of positions


def temporal(tensors):
    """Add the layers of the temporal module."""
    added = {}
    for name, array in tensors.items():
        parts = name.split(".")
        if parts[0] in ("unet", "controlnet") and name.endswith("conv2.weight"):
            layer, width = name.removesuffix("conv2.weight"), len(array)
            added[f"{layer}tem_conv.weight"] = np.ones((width, width, 3), np.float32)
            for kind in ("tem_conv.bias", "tem_norm.weight", "tem_norm.bias"):
                added[layer + kind] = np.ones(width, np.float32)
        if ".attn1." in name:
            added[name.replace(".attn1.", ".tem_attn.")] = array + 1
            if name.endswith("to_q.weight"):
                block = name.split("attn1")[0]
                for kind in ("weight", "bias"):
                    added[f"{block}tem_norm.{kind}"] = np.ones(len(array), np.float32)
    return {**tensors, **added}


def test_disco_with_temporal_module(downloads, tmp_path):
    root, tensors = downloads
    save(tmp_path / "model.safetensors", temporal(tensors))
    line = disco_line(root, tmp_path / "out", weights=tmp_path / "model.safetensors")
    main(line)
    animator, params, _ = load(tmp_path / "out")
    assert animator.config.unet.temporal
    assert animator.config.window_length == 16
    assert len(P.flatten(params["unet"])) == 686 + 22 * 4 + 16 * 5
    report = json.loads((tmp_path / "out/conversion.json").read_text())
    ignored = report["networks"]["unet"]["ignored"]
    assert len(ignored) == 32
    assert all(".transformer_blocks.0.tem_norm." in name for name in ignored)


def changed(tensors, folder, change):
    tensors = change(dict(tensors))
    save(folder / "model.safetensors", tensors)
    return folder / "model.safetensors"


def refusal(root, path) -> str:
    with pytest.raises(UserError) as error:
        plan_parts(disco.describe_model(root / "variations", path, image_size=SIDE))
    return str(error.value)


def test_weights_of_the_first_stage(downloads, tmp_path):
    def one_net(tensors):
        kept = {k: v for k, v in tensors.items() if not k.startswith("controlnet.nets.0.")}
        return {k.replace("controlnet.nets.1.", "controlnet."): v for k, v in kept.items()}

    message = refusal(downloads[0], changed(downloads[1], tmp_path, one_net))
    assert "knows no poses; give the weights of the second stage" in message


def test_strange_and_missing_tensors(downloads, tmp_path):
    root, tensors = downloads
    strange = {**tensors, "text_encoder.weight": np.ones(3, np.float32)}
    message = refusal(root, changed(tensors, tmp_path, lambda _: strange))
    assert "1 tensors are not of DisCo, as text_encoder.weight" in message
    name = "controlnet.nets.1.controlnet_mid_block.weight"
    kept = {k: v for k, v in tensors.items() if k != name}
    message = refusal(root, changed(tensors, tmp_path, lambda _: kept))
    assert message.startswith("1 faults")
    assert "nothing fills controlnet_mid_block.kernel" in message
