"""What was found is written to be looked at and edited, and what is then there counts."""

import json
import shutil
from fractions import Fraction

import cv2
import numpy as np
import pytest
from small_cases import two_people

from tpc_jax._types import Keypoints
from tpc_jax.commands import shared
from tpc_jax.commands.options import Inputs
from tpc_jax.commands.shared import read_everybody
from tpc_jax.errors import UserError
from tpc_jax.io.images import read_image, write_image
from tpc_jax.io.video import Video, read_video, write_video
from tpc_jax.pose.dwpose import WholeBody, whole_body
from tpc_jax.pose.reading import FoundPeople
from tpc_jax.report.prepared import read_prepared, write_prepared

SIZE, FRAMES = 96, 5


@pytest.fixture(scope="module")
def pair():
    """Two drawn people, as if they had been found in an ordinary video."""
    reference, motion = two_people(SIZE, FRAMES)
    return reference, motion._replace(kind="rgb", fps=Fraction(12), is_followed=True)


@pytest.fixture
def asked(monkeypatch):
    """Count the pictures that the detector is asked about; it finds nobody."""
    counts = []

    def find(_, frames):
        counts.append(len(frames))
        keypoints = Keypoints(np.zeros((0, len(frames), 17, 2)), np.zeros((0, len(frames), 17)))
        return FoundPeople(keypoints)

    monkeypatch.setattr(shared, "_find_people", find)
    return counts


def write_sources(folder, pair, name="dance.mp4"):
    reference, motion = pair
    write_image(folder / "photo.png", reference.image)
    write_video(folder / name, motion.frames, motion.fps)
    return folder / "photo.png", folder / name


def prepare(folder, pair, **settings):
    sources = write_sources(folder, pair)
    write_prepared(folder / "out", *pair, sources, detector="blazepose", **settings)
    return folder / "out"


def read(folder, **changes):
    return read_everybody(Inputs(prepared=folder, **changes))


def test_a_prepared_folder_is_read_as_what_was_found(tmp_path, pair, asked):
    reference, motion = read(prepare(tmp_path, pair))
    assert asked == []
    np.testing.assert_array_equal(reference.image, pair[0].image)
    for found, given in (
        (reference.keypoints, pair[0].keypoints),
        (motion.keypoints, pair[1].keypoints),
    ):
        seen = np.asarray(given.conf) > 0
        np.testing.assert_allclose(found.conf, given.conf, atol=1e-3)
        np.testing.assert_allclose(found.xy[seen], given.xy[seen], atol=1e-3)
    assert (reference.masks.any(axis=0) == pair[0].masks.any(axis=0)).all()
    assert (motion.kind, motion.fps, motion.is_followed) == ("rgb", 12, True)
    np.testing.assert_array_equal(motion.masks, pair[1].masks)
    assert (motion.parts == pair[1].parts).mean() > 0.98


def test_there_is_something_to_look_at(tmp_path, pair):
    out = prepare(tmp_path, pair)
    assert read_video(out / "driving_skeleton.mp4").frames.any()
    sheet = read_image(out / "overview.png")
    assert sheet.shape[0] > 4 * SIZE
    assert sheet.shape[1] > (1 + FRAMES) * 2 * SIZE
    summary = json.loads((out / "prepare.json").read_text())
    assert summary["people"] == {"reference": 2, "driving": 2}
    assert summary["sources"]["driving"].endswith("dance.mp4")
    assert summary["settings"]["detector"] == "blazepose"


def test_what_was_edited_counts(tmp_path, pair, asked):
    out = prepare(tmp_path, pair)
    document = json.loads((out / "reference_keypoints.json").read_text())
    document["people"][0]["keypoints"][9][2] = 0.1
    (out / "reference_keypoints.json").write_text(json.dumps(document))
    masks = pair[1].masks.copy()
    masks[:, 2] = False
    np.savez(out / "driving_masks.npz", masks=masks)
    reference, motion = read(out)
    assert reference.keypoints.conf[0, 9] == pytest.approx(0.1)
    np.testing.assert_array_equal(motion.masks, masks)
    assert asked == []


@pytest.mark.filterwarnings("ignore::tpc_jax.errors.InputWarning")
def test_what_was_deleted_is_drawn_from_the_rest_or_found_anew(tmp_path, pair, asked):
    out = prepare(tmp_path, pair)
    (out / "reference_mask.png").unlink()
    (out / "driving_masks.npz").unlink()
    reference, motion = read(out)
    assert reference.masks.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(motion.masks.any(axis=0), motion.parts > 0)
    (out / "driving_keypoints.json").unlink()
    motion = read(out)[1]
    assert len(motion.keypoints.conf) == 2  # from the parts
    assert not motion.is_followed
    assert asked == []
    shutil.rmtree(out / "driving_densepose")
    with pytest.raises(UserError, match=r"driving.mp4: shows nobody"):
        read(out)
    assert asked == [FRAMES]


def test_of_another_picture_or_motion_nothing_counts_that_was_found_before(tmp_path, pair, asked):
    out = prepare(tmp_path, pair)
    with pytest.raises(UserError, match=r"photo.png: shows nobody"):
        read(out, reference=tmp_path / "photo.png")
    assert asked == [1]
    with pytest.raises(UserError, match=r"dance.mp4: shows nobody"):
        read(out, driving=tmp_path / "dance.mp4")
    assert asked == [1, FRAMES]
    keypoints = out / "driving_keypoints.json"
    motion = read(out, driving=tmp_path / "dance.mp4", driving_keypoints=keypoints)[1]
    assert motion.masks is None


def test_hands_and_faces_come_back(tmp_path, pair):
    points = np.zeros((2, FRAMES, 133, 3))
    points[..., :17, :2], points[..., :17, 2] = pair[1].keypoints
    points[..., 17:, :2] = np.random.default_rng(0).uniform(5, 90, (2, FRAMES, 116, 2))
    points[0, ..., 23:, 2] = 0.6
    people = whole_body(points, "wholebody-133")
    out = prepare(tmp_path, (pair[0], pair[1]._replace(people=people)))
    found = read(out)[1].people
    for name in WholeBody._fields:
        part, other = getattr(found, name), getattr(people, name)
        np.testing.assert_allclose(part.conf, other.conf, atol=1e-3)
        np.testing.assert_allclose(part.xy[other.conf > 0], other.xy[other.conf > 0], atol=2e-3)


def test_folders_of_frames_of_any_size_keep_their_rate(tmp_path, pair, asked):
    reference, motion = pair
    odd = motion._replace(
        frames=motion.frames[:, 1:, 1:], masks=motion.masks[..., 1:, 1:],
        parts=motion.parts[:, 1:, 1:],
    )  # fmt: skip
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(odd.frames):
        write_image(folder / f"{number}.png", frame)
    write_image(tmp_path / "photo.png", reference.image)
    sources = tmp_path / "photo.png", folder
    for _ in range(2):  # the second time over the first
        write_prepared(tmp_path / "out", reference, odd, sources, detector="blazepose", fps=12.0)
    assert len(list(folder.iterdir())) == FRAMES
    found = read(tmp_path / "out")[1]
    assert found.fps == 12
    np.testing.assert_array_equal(found.frames, odd.frames)
    assert (found.parts == odd.parts).mean() > 0.98


def test_what_was_found_in_unevenly_spaced_frames_follows_them(tmp_path, pair, monkeypatch):
    sources = np.array([0, 1, 1, 1, 3, 4])
    reference, motion = pair
    spread = motion._replace(
        frames=motion.frames[sources], parts=motion.parts[sources], masks=motion.masks[:, sources],
        keypoints=motion.keypoints.select(np.s_[:, sources]), sources=sources,
    )  # fmt: skip
    out = prepare(tmp_path, (reference, spread))
    uneven = Video(spread.frames, spread.fps, sources)

    def read_uneven(path, fps=None):
        return uneven if path.name == "driving.mp4" else read_video(path, fps)

    monkeypatch.setattr("tpc_jax.pose.reading.read_video", read_uneven)
    found = read(out)[1]
    np.testing.assert_array_equal(found.masks, spread.masks)
    np.testing.assert_allclose(found.keypoints.conf, spread.keypoints.conf, atol=1e-3)
    assert (found.parts == spread.parts).mean() > 0.98


def test_what_the_motion_was_said_to_show_is_remembered(tmp_path, pair):
    black = pair[1]._replace(frames=np.zeros_like(pair[1].frames))
    assert read(prepare(tmp_path, (pair[0], black), kind="rgb"))[1].kind == "rgb"
    assert read_prepared(tmp_path / "out").kind == "rgb"


def test_a_video_that_is_prepared_again_is_unharmed(tmp_path, pair):
    for _ in range(2):
        out = prepare(tmp_path, pair)
        before = (tmp_path / "dance.mp4").read_bytes()
    assert (out / "driving.mp4").resolve() == tmp_path / "dance.mp4"
    for driving in (out / "driving.mp4", tmp_path / "dance.mp4"):
        write_prepared(out, *pair, (tmp_path / "photo.png", driving), detector="blazepose")
    shutil.copy(tmp_path / "dance.mp4", tmp_path / "driving.mp4")
    sources = tmp_path / "photo.png", tmp_path / "driving.mp4"
    write_prepared(tmp_path, *pair, sources, detector="blazepose")  # where the video lies
    for name in ("dance.mp4", "driving.mp4"):
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_bytes() == before
    assert read(tmp_path)[1].frames.shape == pair[1].frames.shape


def test_a_video_that_was_moved_is_named(tmp_path, pair):
    out = prepare(tmp_path, pair)
    (tmp_path / "dance.mp4").rename(tmp_path / "elsewhere.mp4")
    with pytest.raises(UserError, match=r"driving.mp4: is missing, or what it links to was moved"):
        read(out)
    (out / "driving.mp4").unlink()
    shutil.copy(tmp_path / "elsewhere.mp4", out / "driving.mp4")
    assert len(read(out)[1].frames) == FRAMES


def test_where_no_links_can_be_made_the_motion_is_copied(tmp_path, pair, monkeypatch):
    def refuse(*_, **__):
        raise OSError("not permitted")

    monkeypatch.setattr("os.symlink", refuse)
    out = prepare(tmp_path, pair)
    assert not (out / "driving.mp4").is_symlink()
    assert (out / "driving.mp4").read_bytes() == (tmp_path / "dance.mp4").read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "no JSON",
        lambda text: "[]",
        lambda text: text.replace('"driving": "driving.mp4"', '"d": 1'),
        lambda text: text.replace('"auto"', '"cubist"'),
        lambda text: text.replace('"fps": null', '"fps": "fast"'),
    ],
)
def test_a_damaged_folder_is_one_line(tmp_path, pair, damage):
    out = prepare(tmp_path, pair)
    summary = out / "prepare.json"
    summary.write_text(damage(summary.read_text()))
    with pytest.raises(UserError, match="out: is not a prepared folder; make one with"):
        read(out)


def test_folders_of_other_kinds_and_versions_are_refused(tmp_path, pair):
    with pytest.raises(UserError, match="is not a prepared folder"):
        read(tmp_path)
    out = prepare(tmp_path, pair)
    summary = out / "prepare.json"
    summary.write_text(summary.read_text().replace("prepared 1", "prepared 9"))
    with pytest.raises(UserError, match=r"prepared as 'tpc-jax prepared 9', not 'tpc-jax prepared"):
        read(out)
    (out / "reference.png").unlink()
    summary.write_text(summary.read_text().replace("prepared 9", "prepared 1"))
    with pytest.raises(UserError, match=r"reference.png: is missing"):
        read(out)


def test_a_mask_of_the_reference_may_be_painted(tmp_path, pair):
    out = prepare(tmp_path, pair)
    mask = read_image(out / "reference_mask.png")
    write_image(out / "reference_mask.png", cv2.dilate(mask, np.ones((5, 5), np.uint8)))
    assert read(out)[0].masks.sum() > pair[0].masks.sum()
