from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from tpc_jax.errors import UserError
from tpc_jax.io import video
from tpc_jax.io.video import as_fps, read_video, write_video


@pytest.fixture
def clip():
    """A smooth moving gradient: hard to break by compression, easy to tell frames apart."""
    y, x = np.mgrid[:48, :64]
    frames = [np.stack([x * 3 + 5 * f, y * 4, 200 - 10 * f + 0 * x], -1) for f in range(7)]
    return np.clip(frames, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(25), 12.5])
def test_mp4_round_trip(tmp_path, clip, fps):
    write_video(tmp_path / "a.mp4", clip, fps)
    read = read_video(tmp_path / "a.mp4")
    assert read.fps == as_fps(fps)
    assert read.frames.shape == clip.shape
    error = read.frames.astype(int) - clip
    assert np.abs(error).mean() < 2
    assert abs(error.mean()) < 0.7
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_mp4_is_what_browsers_play(tmp_path, clip):
    write_video(tmp_path / "a.mp4", clip, 25)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    head = (tmp_path / "a.mp4").read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")  # plays before it is fully loaded


def test_odd_sizes_are_extended_by_the_edge(tmp_path, clip):
    odd = clip[:, :47, :63]
    write_video(tmp_path / "a.mp4", odd, 25)
    frames = read_video(tmp_path / "a.mp4").frames
    assert frames.shape == (7, 48, 64, 3)
    assert np.abs(frames[:, 47].astype(int) - frames[:, 46]).mean() < 3


def test_gif_round_trip(tmp_path, clip):
    write_video(tmp_path / "a.gif", clip, 20)
    read = read_video(tmp_path / "a.gif")
    assert read.frames.shape == clip.shape
    assert read.fps == 20
    assert np.abs(read.frames.astype(int) - clip).mean() < 8


@pytest.mark.filterwarnings("ignore::tpc_jax.errors.InputWarning")
def test_folder_is_read_in_natural_order(tmp_path, clip):
    for index in range(7):
        cv2.imwrite(str(tmp_path / f"f{index + 5}.png"), clip[index][..., ::-1])
    (tmp_path / "notes.txt").write_text("not a frame")
    read = read_video(tmp_path)
    np.testing.assert_array_equal(read.frames, clip)
    assert read.fps == 25
    assert read_video(tmp_path, fps=8).fps == 8
    cv2.imwrite(str(tmp_path / "f99.png"), clip[0][:40])
    with pytest.raises(UserError, match=r"f99.png: 64x40 among frames of 64x48"):
        read_video(tmp_path)


def test_archive(tmp_path, clip):
    np.savez(tmp_path / "a.npz", frames=clip, fps=29.97002997)
    read = read_video(tmp_path / "a.npz")
    np.testing.assert_array_equal(read.frames, clip)
    assert read.fps == Fraction(30000, 1001)


def test_sideways_recording_is_turned_upright(tmp_path, clip):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(90)
        for rgb in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    frames = read_video(tmp_path / "a.mp4").frames
    assert frames.shape == (7, 64, 48, 3)
    difference = np.abs(frames.astype(int) - np.rot90(clip, 1, axes=(1, 2)))
    assert difference.mean() < 8


@pytest.mark.filterwarnings("ignore::tpc_jax.errors.InputWarning")
def test_a_picture_is_a_clip_of_one_frame_and_an_animated_one_of_several(tmp_path, clip):
    cv2.imwrite(str(tmp_path / "a.png"), clip[0][..., ::-1])
    np.testing.assert_array_equal(read_video(tmp_path / "a.png").frames, clip[:1])
    with av.open(str(tmp_path / "b.apng"), "w") as container:
        stream = container.add_stream("apng", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        for rgb in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(stream.encode(None))
    (tmp_path / "b.apng").rename(tmp_path / "b.png")
    np.testing.assert_array_equal(read_video(tmp_path / "b.png").frames, clip)


def make_empty(path):
    (path / "empty").mkdir()
    (path / "text.mp4").write_text("this is no video " * 100)
    (path / "zero.mp4").write_bytes(b"")
    np.savez(path / "none.npz", frames=np.zeros((0, 4, 4, 3), np.uint8))
    np.savez(path / "wrong.npz", pictures=np.zeros(3))
    np.savez(path / "float.npz", frames=np.zeros((2, 4, 4, 3)))
    (path / "broken.npz").write_bytes(b"PK\x03\x04 but no archive")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.mp4", "no such file"),
        ("empty", "holds no pictures"),
        ("text.mp4", "cannot be read as a video"),
        ("zero.mp4", "cannot be read as a video"),
        ("none.npz", "no frames"),
        ("wrong.npz", "no array 'frames'"),
        ("float.npz", "must be uint8"),
        ("broken.npz", "not a readable NumPy archive"),
    ],
)
def test_bad_input_is_one_line_with_a_remedy(tmp_path, name, words):
    make_empty(tmp_path)
    with pytest.raises(UserError, match=rf"{name}: .*{words}.*; ") as caught:
        read_video(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_truncated_video_is_a_user_error(tmp_path, clip):
    write_video(tmp_path / "a.mp4", clip, 25)
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 3])
    with pytest.raises(UserError, match=r"cut.mp4: "):
        read_video(tmp_path / "cut.mp4")


def test_sound_without_pictures_is_a_user_error(tmp_path):
    with av.open(str(tmp_path / "a.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        samples = np.zeros((1, 800), np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(UserError, match="no video stream"):
        read_video(tmp_path / "a.wav")


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_interrupted_writing_leaves_nothing(tmp_path, clip, monkeypatch, suffix):
    calls = []

    def interrupt(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    original = av.VideoFrame.from_ndarray
    fake = type("Frame", (), {"from_ndarray": staticmethod(interrupt)})
    monkeypatch.setattr(video.av, "VideoFrame", fake)
    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / f"a{suffix}", clip, 25)
    assert list(tmp_path.iterdir()) == []


def test_bad_output_requests(tmp_path, clip):
    with pytest.raises(UserError, match="unknown video suffix"):
        write_video(tmp_path / "a.xyz", clip, 25)
    with pytest.raises(ValueError, match="at least one"):
        write_video(tmp_path / "a.mp4", clip[:0], 25)
    with pytest.raises(ValueError, match="positive"):
        write_video(tmp_path / "a.mp4", clip, 0)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        write_video(tmp_path / "file" / "a.mp4", clip, 25)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
