"""Each layout gives back the pictures and labels that were written, and says what is wrong."""

import numpy as np
import pytest
from dataset_layouts import NUM_FRAMES, row

from tpc_jax.errors import UserError
from tpc_jax.io.images import write_image
from tpc_jax.pose.openpose import draw_skeleton
from tpc_jax.studies.datasets import open_dataset
from tpc_jax.studies.datasets.synthetic import MOTION_FRAMES


def labels_agree(read, clip, frames=slice(None)):
    truth = clip.keypoints.select(np.s_[:, frames])
    seen = truth.conf > 0
    np.testing.assert_array_equal(read.keypoints.conf > 0, seen)
    np.testing.assert_allclose(read.keypoints.xy[seen], truth.xy[seen], atol=2e-3)
    wrong = read.masks[:, : len(read.frames)] != clip.masks[:, frames]
    # JPEG blurs the outlines of painted masks.
    assert wrong.mean() < 0.04


def test_folders(folders, clip):
    data = open_dataset(f"tiktok:{folders}")
    assert data.names == ["00334", "00335"]
    assert [data.num_frames(name) for name in data.names] == [NUM_FRAMES] * 2
    read = next(data.clips())
    np.testing.assert_array_equal(read.frames, clip.frames)
    # Decoding cleans specks away, which at this size are many.
    assert (read.parts == clip.parts).mean() > 0.94
    assert read.fps == 30
    labels_agree(read, clip)
    np.testing.assert_array_equal(data.reference("00334", 2).parts, read.parts[2])
    some = data.read("00335", [4, 1])
    np.testing.assert_array_equal(some.frames, 255 - clip.frames[[4, 1]])
    labels_agree(some, clip, [4, 1])


def test_the_split_by_folder_numbers(folders):
    assert open_dataset(f"tiktok:{folders}:test").names == ["00335"]
    assert open_dataset(f"tiktok:{folders}:train").names == ["00334"]


def test_pictures_are_enough(folders):
    for kind in ("groundsam", "openpose_json", "densepose"):
        (folders / "00334" / kind).rename(folders / f"00334-{kind}")
    data = open_dataset(f"tiktok:{folders}:train")
    read = data.read("00334")
    assert (len(read.keypoints.conf), read.masks, read.parts) == (0, None, None)


def test_white_masks_serve_as_well(folders, clip):
    (folders / "00334" / "groundsam").rename(folders / "00334-old")
    for index, mask in enumerate(clip.masks[0]):
        write_image(folders / "00334" / "masks" / f"{index + 1:04d}.png", mask)
    np.testing.assert_array_equal(open_dataset(f"tiktok:{folders}").read("00334").masks, clip.masks)


def test_tables(tables, clip):
    data = open_dataset(f"tiktok-tsv:{tables}")
    assert data.names == ["TiktokDance_001", "Custom_000"]
    first, second = data.clips()
    np.testing.assert_array_equal(first.frames, clip.frames[[0, 2]])
    np.testing.assert_array_equal(first.masks[0], clip.masks[0, [0, 2]])
    np.testing.assert_array_equal(second.frames, clip.frames[[1]])
    assert not second.masks.any()
    assert data.reference("TiktokDance_001", 0).parts is None
    assert first.keypoints.conf.shape == (0, 2, 17)


def test_skeletons_of_tables_become_keypoints(tables, clip):
    keys = [line.split("\t")[0] for line in tables.read_text().splitlines()]
    drawn = [draw_skeleton(clip.keypoints.select(np.s_[:, i]), 64, 64) for i in (2, 0, 1)]
    poses = "".join(row(k, f) for k, f in zip(keys, drawn, strict=True))
    tables.with_name("new10val_poses.tsv").write_text(poses)
    read = open_dataset(f"tiktok-tsv:{tables}").read("TiktokDance_001")
    both = (read.keypoints.conf[:1] > 0) & (clip.keypoints.conf[:, [0, 2]] > 0)
    assert both.sum() > 10
    away = np.linalg.norm(read.keypoints.xy[:1] - clip.keypoints.xy[:, [0, 2]], axis=-1)[both]
    assert np.median(away) < 2


def test_videos(videos, clip):
    data = open_dataset(f"ted:{videos / 'list.txt'}")
    assert data.names == ["b", "a#01"]
    b, a = data.clips()
    assert np.abs(b.frames.astype(int) - clip.frames).mean() < 4
    labels_agree(b, clip)
    assert (a.parts == clip.parts).mean() > 0.9
    assert a.keypoints.conf.shape == (1, NUM_FRAMES, 17)
    assert open_dataset(f"ted:{videos / 'test'}").names == ["a#01", "b"]
    assert data.read("b", [5]).masks.shape == (1, 1, 64, 64)


def test_synthetic_people_are_the_same_at_every_size():
    small, large = open_dataset("synthetic", 32), open_dataset("synthetic", 64)
    assert small.identity("scale") == large.identity("scale")
    a, b = (data.read("0002-walking", [0, 20]) for data in (small, large))
    np.testing.assert_allclose(2 * a.keypoints.xy + 0.5, b.keypoints.xy, atol=1e-3)
    assert small.num_frames("0002-walking") == MOTION_FRAMES
    assert (a.frames != small.read("0003-walking", [0, 20]).frames).mean() > 0.3


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("nothing", "give synthetic, tiktok:FOLDER"),
        ("tiktok:", "give synthetic, tiktok:FOLDER"),
        ("tiktok:missing", "missing: no such folder"),
        ("tiktok-tsv:missing.tsv", r"NAME_images\.tsv"),
        ("tiktok-tsv:missing_images.tsv", "cannot be read"),
        ("ted:missing", "no such list or folder"),
    ],
)
def test_unknown_data(spec, words):
    with pytest.raises(UserError, match=words):
        open_dataset(spec)


def test_faults_of_folders(folders, tmp_path):
    data = open_dataset(f"tiktok:{folders}")
    with pytest.raises(UserError, match="has 6 frames, none numbered 6"):
        data.read("00334", [0, 6])
    with pytest.raises(UserError, match="no such video"):
        data.read("00001")
    path = folders / "00334" / "openpose_json" / "0002.png.json"
    path.write_text('[{"keypoints": [[1, 2, 3]]}]')
    with pytest.raises(UserError, match=r"0002\.png\.json: is not"):
        data.read("00334")
    path.unlink()
    with pytest.raises(UserError, match=r"0002\.png\.json: missing"):
        data.read("00334")
    (tmp_path / "empty" / "00001").mkdir(parents=True)
    with pytest.raises(UserError, match="00001 holds no pictures"):
        open_dataset(f"tiktok:{tmp_path / 'empty'}")
    with pytest.raises(UserError, match="no test videos"):
        open_dataset(f"tiktok:{tmp_path / 'empty'}:test")


def test_faults_of_tables(tables):
    lines = tables.read_text().splitlines(keepends=True)
    masks = tables.with_name("new10val_masks.tsv")
    rows = masks.read_text()
    masks.write_text("".join(rows.splitlines(keepends=True)[:2]))
    with pytest.raises(UserError, match="rows are not those"):
        open_dataset(f"tiktok-tsv:{tables}")
    masks.unlink()
    for text, words in (
        (lines[0] * 2, "holds a key twice"),
        ("", "holds no rows"),
        ("other.png\tAAAA\n", "of no known form"),
    ):
        tables.write_text(text)
        with pytest.raises(UserError, match=words):
            open_dataset(f"tiktok-tsv:{tables}")
    tables.write_text("TiktokDance_001_0001.png\tnot base64!\n")
    with pytest.raises(UserError, match=r"row 1 .* holds no picture"):
        open_dataset(f"tiktok-tsv:{tables}").read("TiktokDance_001")


def test_faults_of_lists(videos):
    listing = videos / "list.txt"
    for text, words in (
        ("\n", "names no videos"),
        ("test/b.mp4\ntest/c.mp4\n", "c.mp4 is missing"),
        ("test/b.mp4\ntest/b.mp4\n", "b stands there twice"),
    ):
        listing.write_text(text)
        with pytest.raises(UserError, match=words):
            open_dataset(f"ted:{listing}")


def test_no_such_person():
    with pytest.raises(UserError, match="no such synthetic clip"):
        open_dataset("synthetic").read("9999-plain")
