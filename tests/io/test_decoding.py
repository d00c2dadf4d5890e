import struct
import warnings
from fractions import Fraction

import av
import numpy as np
import pytest

from tpc_jax.errors import InputWarning, UserError
from tpc_jax.io.masks import read_mask_clip
from tpc_jax.io.video import read_video

HEIGHT, WIDTH, COUNT = 48, 64, 12
RATE = 30
IDENTITY = (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)


def gradient(count=COUNT):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    frames = [np.stack([x * 3 + 5 * f, y * 4, 200 - 10 * f + 0 * x], -1) for f in range(count)]
    return np.clip(frames, 0, 255).astype(np.uint8)


def cut_out(colour=200):
    """A square of one colour that moves over transparency of another one."""
    frames = np.full((COUNT, HEIGHT, WIDTH, 4), 90, np.uint8)
    frames[..., 3] = 0
    for index, frame in enumerate(frames):
        frame[10:30, 4 + 2 * index : 34 + 2 * index] = (colour, colour, colour, 255)
    return frames


def write(path, frames, codec="libx264", pixels="yuv420p", *, times=None, stop=None, **settings):
    """Write a clip as no writer of the product does."""
    options = settings.pop("options", {"crf": "10"} if codec == "libx264" else {})
    with av.open(str(path), "w", options=settings.pop("container", {})) as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, RATE)
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        for index, pixels in enumerate(frames):
            kind = "rgba" if pixels.shape[-1] == 4 else "rgb24"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=kind)
            frame.pts, frame.time_base = times[index] if times else index, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def silent(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error", InputWarning)
        return read_video(path)


def difference(frames, expected):
    assert frames.shape == expected.shape
    return np.abs(frames.astype(int) - expected).mean()


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "bound"),
    [
        ("a.mov", "prores_ks", "yuva444p10le", 2),
        ("b.mov", "qtrle", "argb", 0.1),
        ("c.mov", "png", "rgba", 0.1),
        ("a.webm", "libvpx-vp9", "yuva420p", 4),
        ("a.mkv", "ffv1", "yuva444p", 2),
        ("a.apng", "apng", "rgba", 0.1),
    ],
)
def test_transparency_lies_over_black_and_is_a_mask(tmp_path, name, codec, pixels, bound):
    options = {"profile": "4444"} if codec == "prores_ks" else {}
    path = write(tmp_path / name, cut_out(), codec, pixels, options=options)
    opaque = cut_out()[..., 3] > 0
    expected = cut_out()[..., :3] * opaque[..., None]
    assert difference(silent(path).frames, expected) < bound
    assert (read_mask_clip(path) == opaque).mean() > (0.995 if bound > 1 else 0.9999)


@pytest.mark.parametrize("colour", [0, 255])
def test_a_gif_with_transparency_is_a_cut_out_over_black(tmp_path, colour):
    from PIL import Image

    pictures = [Image.fromarray(frame, "RGBA") for frame in cut_out(colour)]
    rest = {"append_images": pictures[1:], "duration": 40, "disposal": 2}
    pictures[0].save(tmp_path / "a.gif", save_all=True, **rest)
    opaque = cut_out()[..., 3] > 0
    expected = np.where(opaque[..., None], cut_out(colour)[..., :3], 0)
    assert difference(silent(tmp_path / "a.gif").frames, expected) < 1
    np.testing.assert_array_equal(read_mask_clip(tmp_path / "a.gif"), opaque)


ORIENTATIONS = {
    (1, 0, 0, 1): lambda x: x,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (-1, 0, 0, -1): lambda x: np.rot90(x, 2),
    (0, 1, -1, 0): lambda x: np.rot90(x, -1),
    (0, -1, 1, 0): np.rot90,
    (0, 1, 1, 0): lambda x: np.swapaxes(x, 0, 1),
    (0, -1, -1, 0): lambda x: np.rot90(np.swapaxes(x, 0, 1), 2),
}


def set_matrix(path, a, b, c, d):
    data = path.read_bytes()
    at = data.rfind(struct.pack(">9i", *IDENTITY))
    matrix = [round(65536 * value) for value in (a, b, 0, c, d, 0, 0, 0)]
    path.write_bytes(data[:at] + struct.pack(">9i", *matrix, 1 << 30) + data[at + 36 :])


@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_pictures_are_turned_and_mirrored_as_players_do(tmp_path, matrix):
    path = write(tmp_path / "a.mp4", gradient(3))
    set_matrix(path, *matrix)
    expected = np.stack([ORIENTATIONS[matrix](frame) for frame in gradient(3)])
    assert difference(silent(path).frames, expected) < 4


def test_an_oblique_turn_is_refused(tmp_path):
    set_matrix(write(tmp_path / "a.mp4", gradient(3)), 0.87, 0.5, -0.5, 0.87)
    with pytest.raises(UserError, match=r"a.mp4: .*less than a right angle.*; re-encode"):
        read_video(tmp_path / "a.mp4")


@pytest.mark.parametrize(("aspect", "width"), [((4, 3), 85), ((1, 2), 32), ((64, 65), WIDTH)])
def test_pixels_are_made_square(tmp_path, aspect, width):
    frames = gradient(3)
    path = write(tmp_path / "a.mp4", frames, sample_aspect_ratio=Fraction(*aspect))
    if width == WIDTH:  # only rounded
        assert silent(path).frames.shape == frames.shape
        return
    with pytest.warns(InputWarning, match=rf"a.mp4: is stored as 64x48 and shown as {width}x48"):
        video = read_video(path)
    assert video.frames.shape == (3, HEIGHT, width, 3)
    assert video.stored_size == (HEIGHT, WIDTH)
    at = (np.arange(width) + 0.5) * WIDTH / width - 0.5
    expected = np.interp(at, np.arange(WIDTH), frames[0, 20, :, 0])
    assert np.abs(video.frames[0, 20, :, 0] - expected).mean() < 4


def test_the_stored_size_is_turned_with_the_picture(tmp_path):
    path = write(tmp_path / "a.mp4", gradient(3), sample_aspect_ratio=Fraction(3, 4))
    set_matrix(path, 0, 1, -1, 0)
    with pytest.warns(InputWarning, match=r"is stored as 48x64 and shown as 48x48"):
        video = read_video(path)
    assert video.stored_size == (WIDTH, HEIGHT)


def test_frames_of_a_variable_rate_are_spread_as_players_show_them(tmp_path):
    times = [0, 1, 2, 3, 4, 5, 30, 31, 32, 33, 34, 35]
    path = write(tmp_path / "a.mp4", gradient(), times=times)
    with pytest.warns(InputWarning, match=r"variable frame rate; its 12 frames become 36 at 30 "):
        video = read_video(path)
    sources = [*range(5), *([5] * 25), *range(6, 12)]
    assert video.fps == 30
    assert video.sources.tolist() == sources
    assert difference(video.frames, gradient()[sources]) < 4


def test_a_cut_file_says_how_much_is_missing(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, HEIGHT, WIDTH, 3), np.uint8)
    path = write(tmp_path / "a.mp4", noise, container={"movflags": "+faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.warns(InputWarning, match=r"a.mp4: is cut off: 12 frames are announced, \d could"):
        video = read_video(path)
    assert 1 <= len(video.frames) <= 7
    for name, codec in (("a.mkv", "libx264"), ("a.webm", "libvpx-vp9")):
        path = write(tmp_path / name, noise, codec)
        silent(path)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
        with pytest.warns(InputWarning, match=r"is cut off: the last 0.\d+ seconds are missing"):
            assert len(read_video(path).frames) < COUNT


def test_damage_in_the_middle_is_said(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (COUNT, HEIGHT, WIDTH, 3), np.uint8)
    path = write(tmp_path / "a.mp4", noise, container={"movflags": "+faststart"})
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 12000] = bytes(12000)
    path.write_bytes(data)
    with pytest.warns(InputWarning, match=r"a.mp4: is damaged; \d+ frames could be read"):
        read_video(path)


def test_a_cut_gif_is_said(tmp_path):
    from tpc_jax.io.video import write_video

    write_video(tmp_path / "a.gif", gradient(), 20)
    silent(tmp_path / "a.gif")
    data = (tmp_path / "a.gif").read_bytes()
    (tmp_path / "a.gif").write_bytes(data[: len(data) // 2])
    with pytest.warns(InputWarning, match=r"a.gif: is cut off; \d+ frames could be read"):
        read_video(tmp_path / "a.gif")


def test_brightness_beyond_the_standard_and_interlacing_are_said(tmp_path):
    bright = write(tmp_path / "hdr.mp4", gradient(3), color_trc=16, color_primaries=9)
    with pytest.warns(InputWarning, match=r"hdr.mp4: is high dynamic range \(PQ\)"):
        read_video(bright)
    options = {"x264-params": "tff=1:interlaced=1"}
    woven = write(tmp_path / "woven.mp4", gradient(3), options=options)
    with pytest.warns(InputWarning, match=r"woven.mp4: is interlaced"):
        read_video(woven)


def two_streams(path, disposition):
    """A small picture as the first stream, the clip as the second."""
    with av.open(str(path), "w") as container:
        small = container.add_stream("png", rate=1)
        small.width, small.height, small.pix_fmt = 16, 16, "rgb24"
        small.disposition = disposition
        clip = container.add_stream("libx264", rate=RATE)
        clip.width, clip.height, clip.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        clip.disposition = av.stream.Disposition.default
        grey = np.full((16, 16, 3), 90, np.uint8)
        container.mux(small.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        for pixels in gradient():
            container.mux(clip.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(clip.encode(None))
    return path


def test_a_cover_picture_is_not_the_video(tmp_path):
    path = two_streams(tmp_path / "a.mp4", av.stream.Disposition.attached_pic)
    assert silent(path).frames.shape == (COUNT, HEIGHT, WIDTH, 3)


def test_of_several_videos_the_default_one_is_read(tmp_path):
    path = two_streams(tmp_path / "a.mp4", av.stream.Disposition(0))
    with pytest.warns(InputWarning, match=r"a.mp4: holds 2 videos; the 64x48 one is read"):
        assert read_video(path).frames.shape == (COUNT, HEIGHT, WIDTH, 3)
