"""DensePose as people have it: other backgrounds, labels and orders of colours, and other maps."""

import av
import cv2
import numpy as np
import pytest
from pose_figures import draw_parts, place

from tpc_jax.errors import InputWarning, UserError
from tpc_jax.io.images import write_image
from tpc_jax.io.video import read_video, write_video
from tpc_jax.pose.densepose import PALETTE, decode_parts, is_densepose, render_densepose
from tpc_jax.pose.reading import read_motion

PARTS = np.stack(
    [draw_parts(place(6 * step, 0.55, (128 + 3 * step, 128)), (256, 256)) for step in range(3)]
)
GOOD = render_densepose(PARTS)
VIRIDIS = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_VIRIDIS)[
    :, 0, ::-1
]


def compressed(tmp_path, frames):
    write_video(tmp_path / "a.mp4", np.ascontiguousarray(frames), 25, quality=12)
    return read_video(tmp_path / "a.mp4").frames


def labelled(tmp_path, **label):
    """Encode as BT.601 of limited range, whatever the label says."""
    with av.open(str(tmp_path / "b.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.height, stream.width, stream.pix_fmt = 256, 256, "yuv420p"
        for name, value in label.items():
            setattr(stream.codec_context, name, value)
        for rgb in GOOD:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return read_video(tmp_path / "b.mp4").frames


def on_black():
    frames = GOOD.copy()
    frames[PARTS == 0] = 0
    return frames


def require_parts(frames, note):
    with pytest.warns(InputWarning, match=rf"a.mp4: .*{note}") as said:
        parts = decode_parts(frames, "a.mp4")
    assert len(said) == 1
    assert (parts == PARTS)[PARTS > 0].mean() > 0.93
    assert ((parts > 0) == (PARTS > 0)).mean() > 0.98


def test_black_backgrounds_are_read_and_said(tmp_path):
    for frames in (on_black(), compressed(tmp_path, on_black())):
        require_parts(frames, "background is black")


def test_exchanged_red_and_blue_are_put_back(tmp_path):
    for frames in (GOOD, on_black()):
        swapped = np.ascontiguousarray(frames[..., ::-1])
        require_parts(swapped, "red and blue are exchanged")
        require_parts(compressed(tmp_path, swapped), "red and blue are exchanged")


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ({"colorspace": 1, "color_range": 1}, "BT.601 colours labelled BT.709"),
        ({"color_range": 2}, "limited-range levels labelled full"),
        ({"colorspace": 1, "color_range": 2}, "labelled BT.709 and limited-range levels"),
    ],
)
def test_mislabelled_colours_are_recognised_by_the_background(tmp_path, label, said):
    require_parts(labelled(tmp_path, **label), said)


def test_colours_mislabelled_the_other_way_are_recognised(tmp_path):
    # BT.709 shown as BT.601 is the inverse of this (rows: red, green, blue).
    shown = np.array([[1.0864, -0.0724, -0.0141], [0.0966, 0.8445, 0.0589],
                      [-0.0141, -0.0277, 1.0418]])  # fmt: skip
    as_601 = np.clip(GOOD @ np.linalg.inv(shown).T, 0, 255).astype(np.uint8)
    require_parts(compressed(tmp_path, as_601), "BT.709 colours labelled BT.601")
    stretched = np.clip((GOOD - 16.0) * 255 / 219, 0, 255).astype(np.uint8)
    require_parts(compressed(tmp_path, stretched), "full-range levels labelled limited")


def test_good_renderings_pass_silently(tmp_path, recwarn):
    for quality in (0, 12, 23):
        write_video(tmp_path / "a.mp4", GOOD, 25, quality=quality)
        frames = read_video(tmp_path / "a.mp4").frames
        assert is_densepose(frames)
        decode_parts(frames)
    assert not recwarn.list


def test_boxes_captions_and_bars_are_ignored(tmp_path):
    frames = GOOD.copy()
    for frame in frames:
        cv2.rectangle(frame, (50, 30), (206, 226), (18, 127, 15), 2)
        cv2.rectangle(frame, (50, 14), (140, 30), (255, 255, 255), -1)
        cv2.putText(frame, "person 98%", (52, 26), 0, 0.4, (0, 0, 0), 1)
    frames = np.pad(frames, ((0, 0), (0, 0), (40, 40), (0, 0)))
    parts = decode_parts(compressed(tmp_path, frames))
    expected = np.pad(PARTS, ((0, 0), (0, 0), (40, 40)))
    assert (parts == expected).mean() > 0.98
    assert ((parts > 0) & (expected == 0)).mean() < 0.01


def other_palette(name):
    index = (np.arange(25) * 255 // 24).astype(np.uint8)[:, None]
    return cv2.applyColorMap(index, getattr(cv2, f"COLORMAP_{name.upper()}"))[:, 0, ::-1][PARTS]


@pytest.mark.parametrize("name", ["jet", "parula", "turbo", "magma"])
def test_other_palettes_are_named(tmp_path, name):
    black = other_palette(name).copy()
    black[PARTS == 0] = 0
    for frames in (other_palette(name), black):
        video = compressed(tmp_path, frames)
        with pytest.raises(UserError, match=rf"a.mp4: is not .*those of the {name} palette"):
            decode_parts(video, "a.mp4")
        with pytest.raises(UserError, match=rf"those of the {name} palette"):
            read_motion(tmp_path / "a.mp4")


def depth():
    rows = np.linspace(0, 1, 256)[:, None]
    return np.where(PARTS > 0, 0.75 + 0.1 * np.sin(9 * rows), 0.15 * rows)


def depth_on_violet():
    near = np.stack([cv2.GaussianBlur((p > 0) * np.float32(1), (0, 0), 12) for p in PARTS])
    return near / near.max() * (PARTS > 0)


def across():
    """U of every part: from 0 to 1 across it."""
    found = np.zeros(PARTS.shape)
    for frame, parts in zip(found, PARTS, strict=True):
        for part in np.unique(parts[parts > 0]):
            rows, columns = np.nonzero(parts == part)
            frame[rows, columns] = (columns - columns.min()) / max(np.ptp(columns), 1)
    return found


def along():
    found = np.zeros(PARTS.shape)
    for frame, parts in zip(found, PARTS, strict=True):
        for part in np.unique(parts[parts > 0]):
            rows, columns = np.nonzero(parts == part)
            frame[rows, columns] = (rows - rows.min()) / max(np.ptp(rows), 1)
    return found


@pytest.mark.parametrize("make", [depth, depth_on_violet, across, along])
@pytest.mark.parametrize("scale", [1, 3])
def test_maps_of_continuous_values_are_refused(tmp_path, make, scale):
    frames = VIRIDIS[(255 * make()).astype(np.uint8)]
    if scale > 1:
        frames = np.stack([cv2.resize(frame, None, fx=scale, fy=scale) for frame in frames])
    for video in (frames, compressed(tmp_path, frames)):
        with pytest.raises(UserError, match=r"continuum, as in maps of depth, U or V"):
            decode_parts(video, "a.mp4")


def iuv(first):
    channels = [PARTS, np.uint8(255 * across()), np.uint8(255 * along())]
    return np.stack(channels if first == "red" else channels[::-1], axis=-1)


@pytest.mark.parametrize("first", ["red", "blue"])
def test_pictures_of_i_u_and_v_are_read(tmp_path, first):
    for number, frame in enumerate(iuv(first)):
        write_image(tmp_path / f"{number}_IUV.png", frame)
    with pytest.warns(InputWarning, match=f"part numbers in {first}, U and V beside them"):
        motion = read_motion(tmp_path)
    assert motion.kind == "densepose"
    np.testing.assert_array_equal(motion.parts, PARTS)
    np.testing.assert_array_equal(motion.frames, GOOD)
    np.testing.assert_allclose(motion.uv[..., 0], across() * (PARTS > 0), atol=1 / 255)
    np.testing.assert_allclose(motion.uv[..., 1], along() * (PARTS > 0), atol=1 / 255)


def test_lost_part_numbers_are_named(tmp_path):
    video = compressed(tmp_path, iuv("red"))
    with pytest.raises(UserError, match=r"part numbers compression has lost; save it as PNG"):
        decode_parts(video, "a.mp4")


def test_black_backgrounds_become_violet_for_the_model(tmp_path):
    write_video(tmp_path / "a.mp4", on_black(), 25, quality=5)
    with pytest.warns(InputWarning, match="background is black"):
        motion = read_motion(tmp_path / "a.mp4")
    assert is_densepose(motion.frames)
    assert (motion.frames[motion.parts == 0] == PALETTE[0]).all()


def test_a_cartoon_in_two_colours_is_refused():
    frames = np.broadcast_to(PALETTE[0], (2, 64, 64, 3)).copy()
    frames[:, 20:40, 20:30], frames[:, 20:40, 30:40] = PALETTE[5], PALETTE[20]
    with pytest.raises(UserError, match=r"one or two parts only"):
        decode_parts(frames, "a.png")
