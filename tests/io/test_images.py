import warnings

import cv2
import numpy as np
import pytest
from PIL import Image

from tpc_jax.errors import InputWarning, UserError
from tpc_jax.io.images import (
    from_uint8,
    letterbox,
    letterbox_placement,
    read_image,
    to_uint8,
    write_image,
)
from tpc_jax.io.masks import read_mask


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)


def test_png_round_trip_is_rgb(tmp_path, picture):
    write_image(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], picture)


def test_mask_round_trip(tmp_path, picture):
    mask = picture[..., 0] > 100
    write_image(tmp_path / "m.png", mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), mask)


def test_grey_and_16_bit_are_read_as_8_bit_rgb(tmp_path, picture):
    grey = picture[..., 0]
    cv2.imwrite(str(tmp_path / "g.png"), grey)
    cv2.imwrite(str(tmp_path / "d.png"), grey.astype(np.uint16) * 257)
    for name in ("g.png", "d.png"):
        np.testing.assert_array_equal(read_image(tmp_path / name), np.stack([grey] * 3, -1))


def test_transparency_is_composited_and_is_a_mask(tmp_path):
    rgba = np.full((4, 6, 4), 200, np.uint8)
    rgba[..., 3] = 0
    rgba[1:3, 2:4, 3] = 255
    cv2.imwrite(str(tmp_path / "cut.png"), rgba)
    image = read_image(tmp_path / "cut.png")
    assert image[1, 2].tolist() == [200] * 3
    assert image[0, 0].tolist() == [0] * 3
    assert read_image(tmp_path / "cut.png", (9, 8, 7))[0, 0].tolist() == [9, 8, 7]
    np.testing.assert_array_equal(read_mask(tmp_path / "cut.png"), rgba[..., 3] > 127)


def test_opaque_rgba_mask_goes_by_lightness(tmp_path):
    rgba = np.full((4, 6, 4), 255, np.uint8)
    rgba[:2, :, :3] = 0
    cv2.imwrite(str(tmp_path / "m.png"), rgba)
    assert read_mask(tmp_path / "m.png").sum() == 12


def test_bad_pictures_are_user_errors(tmp_path, picture):
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name, words in [("none.png", "no such file"), ("text.png", "not a readable picture"),
                        ("empty.png", "not a readable picture")]:  # fmt: skip
        with pytest.raises(UserError, match=rf"{name}: .*{words}"):
            read_image(tmp_path / name)
    with pytest.raises(UserError, match="unknown picture suffix"):
        write_image(tmp_path / "a.xyz", picture)


@pytest.mark.parametrize("name", ["a.gif", "a.tiff", "a.png", "a.webp"])
def test_further_pictures_of_a_file_are_said(tmp_path, picture, name):
    pictures = [Image.fromarray(picture), Image.fromarray(255 - picture)]
    pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:])
    with pytest.warns(InputWarning, match=rf"{name}: holds 2 pictures; only the first is read"):
        assert read_image(tmp_path / name).shape == picture.shape
    pictures[0].save(tmp_path / f"one_{name}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_image(tmp_path / f"one_{name}")


def test_float_conversion_rounds_and_clips():
    levels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(from_uint8(levels)), levels)
    assert to_uint8(np.array([-0.2, 1.3], np.float32)).tolist() == [0, 255]


@pytest.mark.parametrize("shape", [(60, 40), (40, 60), (300, 200), (37, 53)])
@pytest.mark.parametrize("canvas", [(128, 128), (96, 160)])
def test_letterbox_carries_points_with_the_picture(shape, canvas):
    # A soft blob: its centre of mass on the canvas must be where the placement says.
    at = np.array([shape[1] * 0.37, shape[0] * 0.61])
    y, x = np.mgrid[: shape[0], : shape[1]]
    spread = 0.06 * min(shape)
    blob = 255 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * spread**2))
    image = np.repeat(blob.round().astype(np.uint8)[..., None], 3, axis=2)
    boxed = letterbox(image, *canvas)
    placement = letterbox_placement(shape, *canvas)
    assert boxed.shape == (*canvas, 3)
    weight = boxed[..., 0].astype(float)
    y, x = np.mgrid[: canvas[0], : canvas[1]]
    centre = np.array([(x * weight).sum(), (y * weight).sum()]) / weight.sum()
    np.testing.assert_allclose(placement.apply(at), centre, atol=0.06)
    np.testing.assert_allclose(placement.canvas_from_image @ [*at, 1], placement.apply(at))
    # The corners of the picture (half a pixel beyond the centres) fit the canvas exactly.
    corners = placement.apply(np.array([[-0.5, -0.5], [shape[1] - 0.5, shape[0] - 0.5]]))
    assert (corners >= -0.5 - 1e-9).all()
    assert (corners <= np.array(canvas[::-1]) - 0.5 + 1e-9).all()
    assert np.isclose(np.ptp(corners, axis=0), canvas[::-1], atol=1e-9).any()


def test_letterbox_keeps_what_fits_and_pads_with_the_colour(picture):
    boxed = letterbox(picture, 9, 20, padding=(1, 2, 3))
    placement = letterbox_placement(picture.shape[:2], 9, 20)
    np.testing.assert_array_equal(boxed[:, 3:17], picture)
    assert (boxed[:, :3] == [1, 2, 3]).all()
    assert (boxed[:, 17:] == [1, 2, 3]).all()
    np.testing.assert_array_equal(placement.apply(np.zeros((1, 2))), [[3, 0]])


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_mask_lies_on_its_picture(factor):
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:44] = True
    image = np.repeat((mask * np.uint8(255))[..., None], 3, axis=2)
    size = int(40 * factor), int(80 * factor)
    boxed = letterbox(image[..., :1], *size, (0,))
    np.testing.assert_array_equal(boxed[..., 0], letterbox(image, *size)[..., 0])
    assert (boxed > 127).sum() == mask.sum() * factor**2
