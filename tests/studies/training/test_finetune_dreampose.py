"""Fine-tuning of a small DreamPose: both losses fall, and the script stores a model that loads."""

import csv
import dataclasses
import sys

import finetune_dreampose
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import command_line
from small_tokens import small_dreampose

from tpc_jax.animators.load import load
from tpc_jax.io.images import write_image
from tpc_jax.model.checkpoint import save_checkpoint
from tpc_jax.studies.training import dreampose
from tpc_jax.studies.training.config import StageConfig
from tpc_jax.studies.training.dreampose import FinetuneConfig, denoiser_loss, finetune, make_batches

pytestmark = pytest.mark.slow
STAGE = StageConfig(steps=40, clips=4, frames=1, learning_rate=3e-3, ema_decay=0.5)
CONFIG = FinetuneConfig(
    denoiser=STAGE, decoder=dataclasses.replace(STAGE, steps=25), crop_pixels=3, save_every=40
)


@pytest.fixture(scope="module")
def person():
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 30, 20, 3), np.uint8)
    return pictures, rng.uniform(size=(2, 30, 20, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def trained(person, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    animator, params = small_dreampose()
    return folder, finetune(animator, params, *person, CONFIG, folder)


def losses(folder):
    with (folder / "loss.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(("stage", "factor"), [("denoiser", 0.7), ("decoder", 0.7)])
def test_the_loss_falls(trained, stage, factor):
    curve = losses(trained[0] / stage)
    assert np.mean(curve[-8:]) < factor * np.mean(curve[:8])


def test_what_is_trained_and_what_is_not(trained):
    before, after = small_dreampose()[1], trained[1]

    def moved(path):
        old, new = before, after
        for name in path:
            old, new = old[name], new[name]
        changes = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), old, new)
        return max(jax.tree.leaves(changes))

    for path in (("unet",), ("adapter",), ("vae", "decoder"), ("context",)):
        assert moved(path) > 1e-4, path
    frozen = [("vae", name) for name in before["vae"] if name != "decoder"]
    for path in [("image_encoder",), *frozen]:
        assert moved(path) == 0.0, path
    null = small_dreampose()[0].stored_null_tokens(after)
    np.testing.assert_array_equal(after["context"]["null"], null)


def test_a_finished_training_is_not_repeated(trained, person):
    animator, params = small_dreampose()
    again = finetune(animator, params, *person, CONFIG, trained[0])
    jax.tree.map(np.testing.assert_array_equal, again["unet"], trained[1]["unet"])


def test_batches_can_go_on_anywhere_and_hide_things(person):
    animator = small_dreampose()[0]
    config = dataclasses.replace(CONFIG, drop_share=1.0)
    stream = make_batches(animator, *person, config, STAGE, 0)
    batches = [next(stream) for _ in range(30)]
    later = next(make_batches(animator, *person, config, STAGE, 7))
    jax.tree.map(np.testing.assert_array_equal, later, batches[7])
    kinds = {(bool(batch.has_picture), bool(batch.has_pose)) for batch in batches}
    assert kinds == {(True, False), (False, True), (False, False)}
    assert batches[0].target.shape == (4, 24, 16, 3)
    assert 0 <= batches[0].pose.min() < batches[0].pose.max() <= 1


def test_what_is_hidden_does_not_count(person):
    animator, params = small_dreampose()
    batch = next(make_batches(animator, *person, CONFIG, STAGE, 0))
    hidden = batch._replace(has_picture=np.array(False), has_pose=np.array(False))
    trained = {name: params[name] for name in ("unet", "adapter")}

    @jax.jit
    def loss(batch):
        return denoiser_loss(
            trained, batch, jax.random.key(0), frozen=params, animator=animator,
            target_range="unit",
        )  # fmt: skip

    other = hidden._replace(reference=255 - batch.reference, pose=1 - batch.pose)
    changed = batch._replace(reference=255 - batch.reference)
    first = loss(jax.tree.map(jnp.asarray, hidden))
    assert loss(jax.tree.map(jnp.asarray, other)) == first
    shown = loss(jax.tree.map(jnp.asarray, batch))
    assert loss(jax.tree.map(jnp.asarray, changed)) != shown != first


def toml(stage):
    return "".join(f"{n} = {v}\n" for n, v in dataclasses.asdict(stage).items() if v is not None)


def test_the_script_goes_on_from_what_is_trained(person, trained, tmp_path, monkeypatch, capsys):
    animator, params = small_dreampose()
    config = {"animator": "dreampose", **animator.config.to_dict()}
    save_checkpoint(tmp_path / "model", config, params)
    for index, picture in enumerate(person[0]):
        write_image(tmp_path / "pictures" / f"{index}.png", picture)
    np.save(tmp_path / "poses.npy", np.moveaxis(person[1], -1, 1))
    (tmp_path / "settings.toml").write_text(
        f"crop_pixels = {CONFIG.crop_pixels}\nsave_every = {CONFIG.save_every}\n"
        f"[denoiser]\n{toml(CONFIG.denoiser)}[decoder]\n{toml(CONFIG.decoder)}"
    )

    def finetuned(animator, params, pictures, uv, config, directory):
        np.testing.assert_array_equal(pictures, person[0])
        np.testing.assert_array_equal(uv, person[1])
        assert config == CONFIG
        return finetune(animator, params, pictures, uv, config, directory)

    monkeypatch.setattr(dreampose, "finetune", finetuned)
    options = {
        "model": tmp_path / "model", "pictures": tmp_path / "pictures", "out": tmp_path / "out",
        "poses": tmp_path / "poses.npy", "runs": trained[0], "config": tmp_path / "settings.toml",
    }  # fmt: skip
    monkeypatch.setattr(sys, "argv", command_line("finetune_dreampose.py", options))
    finetune_dreampose.main()
    loaded, restored, _ = load(tmp_path / "out")
    assert loaded == animator
    jax.tree.map(np.testing.assert_array_equal, restored["unet"], trained[1]["unet"])
    with pytest.raises(SystemExit) as stopped:
        finetune_dreampose.main()
    assert stopped.value.code == 2
    assert "exists already" in capsys.readouterr().err
