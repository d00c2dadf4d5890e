"""Splits can be recreated from their manifest alone and hold what their case says."""

import json
from pathlib import Path

import numpy as np
import pytest

from tpc_jax import cli
from tpc_jax._types import Keypoints
from tpc_jax.errors import UserError
from tpc_jax.pose.reading import Reference, no_people
from tpc_jax.studies.datasets import open_dataset, read_split, write_split
from tpc_jax.studies.datasets.interface import move_reference
from tpc_jax.studies.datasets.make_split import (
    LEAST_ANGLE,
    LEAST_FACING,
    LEAST_RATIO,
    make_split,
    measure_facing,
    measure_torso,
)
from tpc_jax.studies.datasets.splits import check_data, load_pair

DATA = open_dataset("synthetic", 48)


@pytest.mark.parametrize("case", ["aligned", "scale", "rotation", "bending", "walking", "turning"])
def test_the_command_makes_what_the_function_makes(case, tmp_path, capsys):
    path = tmp_path / "deep" / "split.json"
    options = {"pairs": 3, "frames": 4, "step": 2, "seed": 5}
    words = [str(w) for name, value in options.items() for w in (f"--{name}", value)]
    cli.main(["make-split", "--data", "synthetic", "--case", case, "--out", str(path), *words])
    split = make_split(DATA, case, num_pairs=3, num_frames=4, step=2, seed=5)
    assert read_split(path) == split
    assert split.digest in capsys.readouterr().out
    assert split != make_split(DATA, case, num_pairs=3, num_frames=4, step=2, seed=6)
    for pair in split.pairs:
        assert np.diff(pair.frames).tolist() == [2, 2, 2]
        assert pair.reference not in pair.frames
        assert 0 <= min(pair.frames) <= max(pair.frames) < DATA.num_frames(pair.clip)
    assert str(tmp_path) not in path.read_text()


def test_scales_and_angles_cover_their_range():
    scales = [p.scale for p in make_split(DATA, "scale", num_pairs=40, num_frames=2).pairs]
    angles = [p.angle for p in make_split(DATA, "rotation", num_pairs=40, num_frames=2).pairs]
    assert min(scales) >= 0.4
    assert max(scales) <= 2.0
    assert 12 < sum(scale < 0.9 for scale in scales) < 28
    assert max(map(abs, angles)) <= 180
    assert min(angles) < -120
    assert max(angles) > 120


@pytest.mark.parametrize(
    ("case", "is_scaled", "is_turned"),
    [
        ("scale", True, False),
        ("rotation", False, True),
        ("turning", True, True),
    ],
)
def test_what_is_found_is_what_was_done(case, is_scaled, is_turned):
    for pair in make_split(DATA, case, num_pairs=4, num_frames=3).pairs:
        assert (pair.scale != 1, pair.angle != 0) == (is_scaled, is_turned)
        assert pair.found["scale"]["median"] == pytest.approx(1 / pair.scale, rel=0.25)
        away = (pair.found["angle"]["median"] + pair.angle + 180) % 360 - 180
        assert abs(away) < 25


def test_motions_bend_and_walk():
    bending = make_split(DATA, "bending", num_pairs=6, num_frames=4, step=2)
    walking = make_split(DATA, "walking", num_pairs=6, num_frames=4, step=2)
    for pair in bending.pairs:
        assert pair.clip.endswith("bending")
        assert abs(pair.found["angle"]["median"]) >= LEAST_ANGLE - 1
        assert np.ptp(pair.found["angle"]["range"]) > 8
    for pair in walking.pairs:
        assert abs(np.log(pair.found["scale"]["median"])) >= np.log(LEAST_RATIO) - 0.02
        assert np.ptp(pair.found["scale"]["range"]) > 0.05


def test_people_turn_about_and_are_known_from_the_front():
    for pair in make_split(DATA, "turning", num_pairs=6, num_frames=4, step=4).pairs:
        assert pair.clip.endswith("turning")
        assert pair.found["facing"]["median"] <= 0.01 - LEAST_FACING
        assert np.ptp(pair.found["facing"]["range"]) > 0.3
        unmoved = load_pair(DATA, pair._replace(angle=0.0, scale=1.0))
        left, right = unmoved.reference.keypoints.xy[0, 5:7, 0]
        assert left > right


def test_a_turn_is_between_a_quarter_and_a_whole_one_either_way():
    turns = []
    for index in range(40):
        frames = DATA.read(f"{index:04d}-turning", range(24))
        torso = measure_facing(frames.keypoints)
        turns.append(np.ptp(torso))
        # Smooth: no jump between neighbours beyond what the largest turn allows.
        assert np.abs(np.diff(torso)).max() < 0.6
    assert min(turns) > 0.4
    assert max(turns) > 1.4


def test_the_reference_alone_is_moved():
    pair = make_split(DATA, "rotation", num_pairs=1, num_frames=2).pairs[0]
    turned, straight = load_pair(DATA, pair), load_pair(DATA, pair._replace(angle=0.0))
    np.testing.assert_array_equal(turned.motion.frames, straight.motion.frames)
    middle = 23.5
    angle = np.radians(pair.angle)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = (straight.reference.keypoints.xy[0] - middle) @ turn.T + middle
    np.testing.assert_allclose(turned.reference.keypoints.xy[0], expected, atol=1e-3)


def test_stored_pictures_are_moved_with_mask_and_keypoints():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (40, 30, 3)).astype(np.uint8)
    mask = np.zeros((1, 40, 30), bool)
    mask[0, 15:22, 10:17] = True
    points = Keypoints(
        np.array([[[8.0, 15.0], [29.0, 39.0]]], np.float32), np.ones((1, 2), np.float32)
    )
    still = Reference(image, points, mask, 3 * mask[0].astype(np.uint8))
    assert move_reference(still, (0.0, 1.0, (0.0, 0.0))) is still
    half = move_reference(still, (np.pi, 1.0, (0.0, 0.0)))
    np.testing.assert_allclose(half.image, image[::-1, ::-1], atol=1)
    np.testing.assert_array_equal(half.masks[0], mask[0, ::-1, ::-1])
    np.testing.assert_array_equal(half.parts, still.parts[::-1, ::-1])
    np.testing.assert_allclose(half.keypoints.xy[0, 0], [21, 24], atol=1e-4)
    double = move_reference(still, (0.0, 2.0, (0.0, 0.0)))
    assert double.masks.sum() == pytest.approx(4 * mask.sum(), rel=0.2)
    assert double.keypoints.conf.tolist() == [[1.0, 0.0]]
    assert set(np.unique(double.parts)) == {0, 3}
    assert ((double.parts > 0) == double.masks[0]).mean() > 0.97
    small = move_reference(still, (0.0, 0.5, (0.0, 0.0)))
    assert ((small.parts > 0) == small.masks[0]).mean() > 0.97
    # Averaged, not skipped over: noise loses half of its deviation.
    assert small.image[12:28, 10:20].std() < 0.7 * image.std()
    quarter = move_reference(still, (np.pi / 2, 1.0, (0.1, 0.0)))
    np.testing.assert_allclose(quarter.keypoints.xy[0, 0], [14.5 + 4.5 + 3, 19.5 - 6.5], atol=1e-4)


def test_torsos_of_people_without_hips():
    xy = np.zeros((1, 4, 17, 2), np.float32)
    xy[0, :, 5], xy[0, :, 6] = [10, 0], [0, 0]
    conf = np.zeros((1, 4, 17), np.float32)
    assert measure_torso(Keypoints(xy, conf)) is None
    assert measure_torso(no_people(4)) is None
    conf[0, 1:, 5:7] = 1
    torso = measure_torso(Keypoints(xy, conf))
    np.testing.assert_allclose(torso.length, 10)
    np.testing.assert_allclose(np.abs(torso.angle), 180)


def test_which_way_a_torso_faces():
    xy = np.zeros((1, 5, 17, 2), np.float32)
    xy[0, :, [11, 12]] = [0, 20]
    for frame, half in enumerate([7.0, 3.0, 0.0, -5.0, -7.0]):
        xy[0, frame, 5], xy[0, frame, 6] = [half, 0], [-half, 0]
    conf = np.ones((1, 5, 17), np.float32)
    np.testing.assert_allclose(measure_facing(Keypoints(xy, conf)), [0.7, 0.3, 0, -0.5, -0.7])
    # Lying down changes nothing, and what is not seen lies between its neighbours.
    conf[0, 1, 12] = 0
    turned = measure_facing(Keypoints(xy[..., ::-1] * np.float32([-1, 1]), conf))
    np.testing.assert_allclose(turned, [0.7, 0.35, 0, -0.5, -0.7], atol=1e-6)
    conf[0, :3, 5] = 0
    assert measure_facing(Keypoints(xy, conf)) is None
    assert measure_facing(no_people(5)) is None


def test_a_split_of_other_data_is_refused(tmp_path):
    split = make_split(DATA, "scale", num_pairs=2, num_frames=2)
    check_data(split, open_dataset("synthetic", 32), ("split.json", "synthetic"))
    other = split._replace(data={**split.data, "digest": "0"})
    with pytest.raises(UserError, match=r"split\.json: was made from other data .*digest differ"):
        check_data(other, DATA, ("split.json", "synthetic"))
    assert other.digest != split.digest


def test_the_shipped_splits_are_of_the_people_drawn_today():
    paths = sorted((Path(__file__).parents[3] / "configs" / "splits").glob("*.json"))
    assert len(paths) == 6
    for path in paths:
        check_data(read_split(path), DATA, (path.name, "synthetic"))


def test_damaged_manifests(tmp_path):
    path = tmp_path / "split.json"
    with pytest.raises(UserError, match="cannot be read"):
        read_split(path)
    write_split(path, make_split(DATA, "aligned", num_pairs=2, num_frames=2))
    good = json.loads(path.read_text())
    for change, words in (
        ({"version": 2}, "version 2, this program reads"),
        ({"format": "other"}, "other version 1"),
        ({"pairs": []}, "holds no pairs"),
        ({"pairs": good["pairs"][:1] * 2}, "or one twice"),
        ({"pairs": [{"name": "a"}]}, "is no split"),
    ):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(UserError, match=words):
            read_split(path)
    path.write_text("{")
    with pytest.raises(UserError, match="is no split"):
        read_split(path)


def test_what_cannot_be_drawn(monkeypatch, tmp_path, capsys):
    with pytest.raises(UserError, match="no clip has more than 24 frames"):
        make_split(DATA, "aligned", num_frames=24)
    with pytest.raises(ValueError, match="must be at least 1"):
        make_split(DATA, "scale", step=0)
    few = open_dataset("synthetic", 48)
    few.names = few.names[:4]
    monkeypatch.setattr(few, "candidates", lambda case: few.names)
    with pytest.raises(UserError, match=r"only \d clips show a torso .* 8 are wanted"):
        make_split(few, "walking", num_pairs=8, num_frames=4)
    read = few.read
    monkeypatch.setattr(few, "read", lambda *a: read(*a)._replace(keypoints=no_people(len(a[1]))))
    with pytest.raises(UserError, match="has no keypoints"):
        make_split(few, "bending", num_pairs=1, num_frames=4)
    assert make_split(few, "scale", num_pairs=1, num_frames=4).pairs[0].found is None
    line = ["make-split", "--data", "synthetic", "--case", "scale", "--pairs", "0"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*line, "--out", str(tmp_path / "split.json")])
    assert ended.value.code == 2
    assert "--pairs" in capsys.readouterr().err
