"""`tpc-jax animate --model` with models that read pictures as tokens, and what they need."""

import numpy as np
import pytest
from command_line import fails
from small_tokens import small_disco, small_dreampose
from turned_person import NUM_FRAMES, SIZE, arguments

from tpc_jax import cli
from tpc_jax.io.video import read_video
from tpc_jax.model.checkpoint import save_checkpoint
from tpc_jax.model.params import cast


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, make in (("dreampose", small_dreampose), ("disco", small_disco)):
        animator, params = make()
        config = {"animator": name, **animator.config.to_dict()}
        save_checkpoint(folder / name, config, cast(params, np.float32))
    return folder


@pytest.fixture(scope="module")
def coordinates(tmp_path_factory):
    """Write a smooth ramp on the person's half of each frame; numbers that sort wrongly as text."""
    folder = tmp_path_factory.mktemp("uv")
    ramp = np.linspace(0.1, 1, SIZE, dtype=np.float32)
    for frame in range(NUM_FRAMES):
        uv = np.zeros((2, SIZE, SIZE), np.float32)
        uv[0, :, SIZE // 2 :] = ramp[:, None]
        uv[1, :, SIZE // 2 :] = 0.1 * (frame + 1)
        np.save(folder / f"frame_{8 + frame}_densepose.npy", uv)
    return folder


def command(inputs, models, model, out, **changes):
    return arguments(inputs, "animate", model=models / model, out=out, **changes)


@pytest.mark.slow
def test_disco_by_any_motion_with_keypoints(inputs, models, tmp_path):
    out = tmp_path / "out.mp4"
    cli.main([*command(inputs, models, "disco", out), "--compare"])
    shown = read_video(out).frames
    assert len(shown) == NUM_FRAMES
    assert shown.shape[2] > 2 * shown.shape[1]


@pytest.mark.slow
def test_dreampose_by_coordinates(inputs, models, coordinates, tmp_path):
    out, plain = tmp_path / "out.mp4", tmp_path / "plain.gif"
    motion = {"driving": coordinates, "driving_keypoints": inputs / "rgb.json"}
    line = command(inputs, models, "dreampose", out, **motion)
    cli.main([*line, "--guidance-scale", "4", "2", "--sampler", "ddim", "--as-published"])
    shown = read_video(out).frames
    assert len(shown) == NUM_FRAMES
    assert shown.shape[1] * 2 == shown.shape[2] * 3
    # Without calibration nobody's keypoints are needed.
    cli.main([*command(inputs, models, "dreampose", plain, driving=coordinates), "--no-tpc"])
    assert len(read_video(plain).frames) == NUM_FRAMES


def test_dreampose_by_a_rendering_beside_coordinates(inputs, models, coordinates, tmp_path):
    out = tmp_path / "out.mp4"
    cli.main(command(inputs, models, "dreampose", out, driving_uv=coordinates, steps=1))
    assert len(read_video(out).frames) == NUM_FRAMES


def test_what_is_missing_is_said_in_one_line(inputs, models, coordinates, tmp_path, capsys):
    out = tmp_path / "out.mp4"
    dreampose = command(inputs, models, "dreampose", out)
    fails(dreampose, capsys, "driven by DensePose coordinates", "--driving-uv")
    motion = {"driving": coordinates}
    fails(command(inputs, models, "dreampose", out, **motion), capsys, "--driving-keypoints")
    disco = command(inputs, models, "disco", out)
    fails([*disco, "--routing", "masked"], capsys, "routing masked means nothing to this model")
    fails([*disco, "--guidance-scale", "4", "2"], capsys, "1 guidance scales, got 2")
    no_person = {"reference_keypoints": None, "reference_mask": None}
    line = [*command(inputs, models, "disco", out, **no_person), "--no-tpc"]
    fails(line, capsys, "say where the person is")
    few = tmp_path / "few"
    few.mkdir()
    np.save(few / "frame_1_densepose.npy", np.zeros((2, SIZE, SIZE), np.float32))
    short = command(inputs, models, "dreampose", out, driving_uv=few)
    fails(short, capsys, "coordinates have shape", f"the motion has [{NUM_FRAMES}")
    np.save(few / "frame_2_densepose.npy", np.full((2, SIZE, SIZE), 255.0, np.float32))
    fails(command(inputs, models, "dreampose", out, driving=few), capsys, "must be in [0, 1]")
    assert not out.exists()
