"""A person drawn into the layouts of the published data sets."""

import numpy as np
import pytest
from dataset_layouts import NUM_FRAMES, SIZE, row, write_disco_video

from tpc_jax._types import Keypoints
from tpc_jax.io.keypoint_files import write_keypoint_file
from tpc_jax.io.video import write_video
from tpc_jax.pose.densepose import render_densepose
from tpc_jax.studies.datasets.synthetic import SyntheticPeople


@pytest.fixture(scope="session")
def clip():
    return SyntheticPeople(SIZE, 4).read("0001-plain", range(NUM_FRAMES))


@pytest.fixture
def folders(tmp_path, clip):
    root = tmp_path / "TikTok"
    write_disco_video(root / "00334", clip)
    write_disco_video(root / "00335", clip._replace(frames=255 - clip.frames), inner="")
    return root


@pytest.fixture
def tables(tmp_path, clip):
    """Two videos, whose rows are not in order, with masks; the second one's first is invalid."""
    keys = ["TiktokDance_001_0003.png", "TiktokDance_001_0001.png", "Custom_000_000010.png"]
    frames = clip.frames[[2, 0, 1]]
    white = np.repeat(clip.masks[0, [2, 0, 1], ..., None], 3, -1).astype(np.uint8) * 255
    images = tmp_path / "new10val_images.tsv"
    images.write_text("".join(row(k, f) for k, f in zip(keys, frames, strict=True)))
    valid = ("True", "True", "False")
    masks = "".join(row(*r) for r in zip(keys, white, valid, strict=True))
    (tmp_path / "new10val_masks.tsv").write_text(masks)
    return images


@pytest.fixture
def videos(tmp_path, clip):
    root = tmp_path / "TED"
    for name in ("a#01", "b"):
        write_video(root / "test" / f"{name}.mp4", clip.frames, 25, quality=0)
    write_video(root / "densepose" / "a#01.mp4", render_densepose(clip.parts), 25, quality=0)
    xy, conf = clip.keypoints
    write_keypoint_file(root / "keypoints" / "b.json", Keypoints(xy, conf), (SIZE, SIZE))
    (root / "masks").mkdir()
    np.savez(root / "masks" / "b.npz", masks=clip.masks[0])
    (root / "list.txt").write_text("test/b.mp4\ntest/a#01.mp4\n")
    return root
