"""AnimateAnyone by the command, driven by a keypoint file alone."""

import json

import numpy as np
import pytest
from command_line import command_line, fails
from small_animateanyone import small_animateanyone

from tpc_jax import cli
from tpc_jax._types import Keypoints
from tpc_jax.io.images import read_image, write_image
from tpc_jax.io.keypoint_files import write_keypoint_file
from tpc_jax.io.video import read_video
from tpc_jax.model.checkpoint import save_checkpoint

FRAMES = 3
# A standing person of COCO-17 points in a picture of 80 x 120 pixels.
PERSON = np.array(
    [
        (40, 18), (42, 16), (38, 16), (45, 17), (35, 17), (50, 32), (30, 32), (55, 46), (25, 46),
        (57, 60), (23, 60), (46, 64), (34, 64), (47, 86), (33, 86), (48, 108), (32, 108),
    ],
    float,
)  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("anyone")
    animator, params = small_animateanyone()
    config = {"animator": "animateanyone", **animator.config.to_dict()}
    save_checkpoint(folder / "model", config, params)
    rng = np.random.default_rng(0)
    write_image(folder / "person.png", rng.integers(0, 256, (60, 60, 3), np.uint8))
    turned = (PERSON - 60) @ np.array([[0, -0.4], [0.4, 0]]) + 30
    still = Keypoints(turned[None].astype(np.float32), np.ones((1, 17), np.float32))
    write_keypoint_file(folder / "person.json", still)
    frames = []
    for index in range(FRAMES):
        points = np.zeros((133, 2))
        points[:17] = PERSON + 2 * index
        scores = [0.9] * 17 + [0.0] * 116
        person = {"keypoints": points.tolist(), "keypoint_scores": scores}
        frames.append({"frame_id": index, "instances": [person]})
    document = {"width": 80, "height": 120, "instance_info": frames}
    (folder / "motion.json").write_text(json.dumps(document))
    del document["width"]
    (folder / "sizeless.json").write_text(json.dumps(document))
    return folder


def line(inputs, command="animate", motion="motion.json", **options):
    files = {
        "reference": inputs / "person.png",
        "reference_keypoints": inputs / "person.json",
        "driving": inputs / motion,
        "model": inputs / "model",
    }
    return command_line(command, files | options)


@pytest.mark.slow
def test_keypoints_alone_drive_it(inputs, tmp_path):
    out = tmp_path / "out.mp4"
    words = line(inputs, out=out, steps=1, size="32x48", interpolate=2, seed=3)
    cli.main([*words, "--as-published"])
    video = read_video(out)
    # Two thirds as wide as high, like the motion, and enlarged to be looked at.
    assert video.frames.shape == (2 * FRAMES - 1, 192, 128, 3)
    assert video.fps == 50
    assert np.ptp(video.frames) > 50


@pytest.mark.slow
def test_attention_is_shown_for_it(inputs, tmp_path, capsys):
    out = tmp_path / "attention.png"
    words = line(
        inputs, "inspect-attention", out=out, steps=1, routing="open", frame=1,
        keypoints=["left_shoulder", "right_hip"],
    )  # fmt: skip
    cli.main(words)
    assert "left_shoulder" in capsys.readouterr().out
    height, width = read_image(out).shape[:2]
    # Two rows; frame, reference without TPC, and reference and calibrated picture with it.
    assert (height - 24) % 2 == 0
    assert width == 4 * 240


def test_bad_input_ends_in_one_line(inputs, tmp_path, capsys):
    out = {"out": tmp_path / "out.mp4"}
    fails(line(inputs, motion="sizeless.json", **out), capsys, "sizeless.json", "add width")
    fails(line(inputs, size="32", **out), capsys, "--size must be WIDTHxHEIGHT")
    fails(line(inputs, size="32x49", **out), capsys, "image_size must be multiples of 4")
    words = [*line(inputs, interpolate=2, **out), "--blend-background"]
    fails(words, capsys, "exclude each other")
    one = ["inspect-attention", "--reference", str(inputs / "person.png")]
    fails(one, capsys, "give both --reference and --driving")
    assert not out["out"].exists()
