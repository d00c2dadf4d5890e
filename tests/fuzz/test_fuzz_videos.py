"""Whatever a video holds, its frames are read or it is refused in one line."""

import functools

import numpy as np
from fuzzing import attempt, folder, people, tries
from hypothesis import given
from hypothesis import strategies as st

from tpc_jax._types import Keypoints
from tpc_jax.io.images import write_image
from tpc_jax.io.keypoint_files import write_keypoint_file
from tpc_jax.io.video import read_video, write_video
from tpc_jax.pose.reading import read_motion

KINDS = ("v.mp4", "v.gif", "v.npz", "folder")


def make(count, size):
    blocks = np.random.default_rng(count).integers(60, 256, (count, 4, 4, 3), np.uint8)
    y, x = (np.arange(side) * 4 // side for side in size)
    return blocks[:, y[:, None], x]


@functools.cache
def files(kind, count, size):
    """Return the files of a video as bytes by name."""
    frames = make(count, size)
    with folder() as path:
        if kind == "folder":
            for index, frame in enumerate(frames):
                write_image(path / f"{index}.{'png' if count % 2 else 'jpg'}", frame)
        elif kind == "v.npz":
            np.savez(path / kind, frames=frames, fps=25)
        else:
            write_video(path / kind, frames, 25)
        return {file.name: file.read_bytes() for file in path.iterdir()}


SIDES = st.sampled_from([16, 31, 48])
VIDEOS = st.tuples(st.sampled_from(KINDS), st.integers(2, 6), st.tuples(SIDES, SIDES))


def spoil(data, content):
    """Cut one file short, change bytes of it, double or remove them, or leave it out."""
    name = data.draw(st.sampled_from(sorted(content)))
    changed = bytearray(content[name])
    fault = data.draw(st.sampled_from(["cut", "flip", "flip head", "insert", "empty", "missing"]))
    end = min(len(changed), 64) if fault == "flip head" else len(changed)
    places = data.draw(st.lists(st.integers(0, end - 1), min_size=1, max_size=8))
    if fault == "cut":
        del changed[places[0] :]
    elif fault == "insert":
        changed[places[0] : places[0]] = changed[: places[-1]]
    elif fault == "empty":
        changed.clear()
    else:
        for place in places:
            changed[place] ^= data.draw(st.integers(1, 255))
    kept = {other: value for other, value in content.items() if other != name}
    return kept if fault == "missing" else kept | {name: bytes(changed)}


def write(path, kind, content):
    place = path / "v"
    place.mkdir()
    for name, data in content.items():
        (place / name).write_bytes(data)
    return place if kind == "folder" else place / kind


@tries(25)
@given(VIDEOS)
def test_whole_videos_are_read(video):
    kind, count, (height, width) = video
    with folder() as path:
        found, said = attempt(read_video, write(path, kind, files(*video)))
    assert len(said) == (kind == "folder")
    if kind == "v.mp4":
        height, width = height + height % 2, width + width % 2
    assert found.frames.shape == (count, height, width, 3)


@tries(100)
@given(VIDEOS, st.data())
def test_damaged_videos_are_refused_or_hold_frames(video, data):
    content = spoil(data, files(*video))
    with folder() as path:
        found, _ = attempt(read_video, write(path, video[0], content))
    assert found is None or (found.frames.size > 0 and found.fps > 0)


@tries(25)
@given(VIDEOS, st.booleans(), st.data())
def test_motions_with_keypoints_are_refused_or_show_somebody(video, is_whole, data):
    kind, count, size = video
    points = data.draw(people(count, size))
    keypoints = Keypoints(points[None, ..., :2], points[None, ..., 2])
    content = files(*video) if is_whole else spoil(data, files(*video))
    with folder() as path:
        write_keypoint_file(path / "k.json", keypoints)
        motion, _ = attempt(read_motion, write(path, kind, content), keypoints_path=path / "k.json")
    assert motion is not None or not is_whole
    if motion is not None:
        assert motion.keypoints.conf.shape[1] == len(motion.frames)
        assert (motion.keypoints.conf > 0).any()
