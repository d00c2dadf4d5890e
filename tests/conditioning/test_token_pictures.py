"""Pictures as DreamPose and DisCo read them, against Pillow and torch; files of coordinates."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from PIL import Image

from tpc_jax._types import Keypoints
from tpc_jax.conditioning.canvas import Canvas, crop_to_aspect
from tpc_jax.conditioning.clip_pixels import centre_pixels, normalise
from tpc_jax.conditioning.foreground import foreground, scene
from tpc_jax.conditioning.levels import stretch_levels
from tpc_jax.conditioning.uv import fit_uv
from tpc_jax.errors import UserError
from tpc_jax.io.resampling import torch_cubic_weights
from tpc_jax.io.uv_files import is_uv, read_uv, render_uv
from tpc_jax.pose.openpose import COLOURS, draw_openpose

RNG = np.random.default_rng(0)
SQUARE = Canvas((16, 16), "crop")
PICTURE = RNG.integers(0, 256, (50, 38, 3), np.uint8)


def pillow(image, size, method):
    # In two calls, for new versions of Pillow may begin with the other axis.
    wide = Image.fromarray(image).resize((size[1], image.shape[0]), method)
    return np.asarray(wide.resize((size[1], size[0]), method))


def test_stretching_and_cropping_are_pillow_s():
    stretched = Canvas((40, 64), "stretch").pictures(PICTURE)
    np.testing.assert_array_equal(stretched, pillow(PICTURE, (40, 64), Image.Resampling.BICUBIC))
    square = PICTURE[6:44]
    cropped = SQUARE.pictures(PICTURE)
    np.testing.assert_array_equal(cropped, pillow(square, (16, 16), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(crop_to_aspect(PICTURE, (16, 16)), square)
    assert crop_to_aspect(PICTURE, (20, 40)).shape == (19, 38, 3)


@pytest.mark.parametrize("fit", ["letterbox", "crop", "stretch"])
def test_points_go_where_their_pixels_go(fit):
    point = np.array([21.0, 27.0])
    image = np.zeros((50, 38, 3), np.uint8)
    image[27, 21] = 255
    canvas = Canvas((100, 60), fit)
    mask = canvas.masks(image[..., 0]).astype(float)
    grid = np.stack(np.meshgrid(np.arange(60), np.arange(100)), axis=-1)
    centre = (grid * mask[..., None]).sum((0, 1)) / mask.sum()
    np.testing.assert_allclose(centre, canvas.points(point, (50, 38)), atol=0.3)


@pytest.mark.parametrize(("size", "new"), [(50, 24), (24, 50), (30, 30)])
def test_cubic_weights_are_torch_s(size, new):
    column = RNG.normal(size=(size, 4))
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(column)[None, None], (new, 4), mode="bicubic", align_corners=False
    )
    np.testing.assert_allclose(torch_cubic_weights(size, new) @ column, theirs[0, 0], atol=1e-6)


@pytest.mark.parametrize("size", [(64, 51), (51, 64), (32, 32)])
def test_centre_pixels_are_clip_s_processor(size):
    image = RNG.integers(0, 256, (*size, 3), np.uint8)
    short = min(size)
    resized = pillow(image, tuple(n * 32 // short for n in size), Image.Resampling.BICUBIC)
    top, left = ((n - 32) // 2 for n in resized.shape[:2])
    expected = resized[top : top + 32, left : left + 32].astype(np.float32) / 255
    ours = centre_pixels(jnp.asarray(image, jnp.float32) / 255, 32)
    error = np.abs(ours - normalise(jnp.asarray(expected)))
    assert error.max() <= 1.01 / 255 / 0.26
    assert (error > 1e-4).mean() < 0.01


def test_a_person_before_clip_s_mean_colour():
    """Multiplying the normalised picture by the mask, as the original does, is the same."""
    mask = np.zeros((50, 38), bool)
    mask[10:30, 8:20] = True
    person = np.asarray(normalise(jnp.asarray(foreground(PICTURE, mask, 24))))
    square = torch.from_numpy(PICTURE[6:44] / np.float32(255)).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(
        square, (24, 24), mode="bicubic", align_corners=False
    )[0]
    whole = np.asarray(normalise(jnp.asarray(resized.permute(1, 2, 0).numpy())))
    soft = pillow(mask[6:44] * np.uint8(255), (24, 24), Image.Resampling.BICUBIC) / 255
    np.testing.assert_allclose(person, whole * soft[..., None], atol=1e-4)
    behind = scene(PICTURE, mask, SQUARE)
    assert np.abs(behind[4:7, 5:7]).max() < 1e-6
    plain = SQUARE.pictures(PICTURE) / 127.5 - 1
    np.testing.assert_allclose(behind[12:], plain[12:], atol=1e-6)


def test_levels():
    frames = np.stack([np.full((4, 4, 3), 7, np.uint8), PICTURE[:4, :4] // 4 + 60])
    stretched = stretch_levels(frames)
    np.testing.assert_array_equal(stretched[0], frames[0])
    assert stretched[1].min() == 0
    assert stretched[1].max() == 255


def test_coordinates_on_the_canvas_are_torch_s():
    uv = RNG.uniform(size=(2, 9, 7, 2)).astype(np.float32)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(uv).permute(0, 3, 1, 2), (20, 30), mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(fit_uv(uv, (20, 30)), theirs.permute(0, 2, 3, 1), atol=1e-6)


def test_files_of_coordinates(tmp_path):
    uv = RNG.uniform(size=(3, 2, 5, 4)).astype(np.float32)
    for number, frame in zip((9, 10, 11), uv, strict=True):
        np.save(tmp_path / f"frame_{number}_densepose.npy", frame)
    assert is_uv(tmp_path)
    read = read_uv(tmp_path)
    np.testing.assert_array_equal(read, np.moveaxis(uv, 1, -1))
    np.save(tmp_path / "all.npy", uv)
    np.testing.assert_array_equal(read_uv(tmp_path / "all.npy"), read)
    shown = render_uv(read)
    assert shown.shape == (3, 5, 4, 3)
    assert not shown[..., 2].any()
    assert not is_uv(tmp_path / "video.mp4")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 5, 4)), r"must have shape \(2, height, width\), got \(3, 5, 4\)"),
        (np.full((2, 5, 4), 2.0), "must be in"),
        (np.full((2, 5, 4), np.nan), "not finite"),
        (np.zeros((2, 4, 5)), "the first one"),
        (np.array([{}], object), "no readable array"),
    ],
)
def test_bad_files_of_coordinates(tmp_path, array, message):
    np.save(tmp_path / "frame_1.npy", np.zeros((2, 5, 4)))
    np.save(tmp_path / "frame_2.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=message) as error:
        read_uv(tmp_path)
    assert "frame_2.npy" in str(error.value)


def test_skeletons_as_openpose_draws_them():
    xy = np.zeros((1, 17, 2), np.float32)
    conf = np.zeros((1, 17), np.float32)
    xy[0, [6, 8]], conf[0, [6, 8]] = [[20, 20], [60, 20]], 1.0  # right shoulder, right elbow
    shown = draw_openpose(Keypoints(xy, conf), 40, 80)
    np.testing.assert_array_equal(shown[20, 40], np.rint(0.6 * COLOURS[2]))
    # Over a joint the limb is half transparent, beside it there is the joint alone.
    joint = np.rint(0.4 * COLOURS[3].astype(float) + 0.6 * COLOURS[2])
    np.testing.assert_allclose(shown[20, 58], joint, atol=1)
    np.testing.assert_array_equal(shown[20, 63], COLOURS[3])
    assert not draw_openpose(Keypoints(xy, 0 * conf), 40, 80).any()
