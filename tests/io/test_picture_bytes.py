import struct
import zlib

import cv2
import numpy as np
import pytest

from tpc_jax.errors import UserError
from tpc_jax.io.images import read_image
from tpc_jax.io.masks import read_mask

# How a stored picture is turned upright by each Exif orientation.
UPRIGHT = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: np.swapaxes(x, 0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(np.swapaxes(x, 0, 1), 2),
    8: np.rot90,
}


def exif(orientation, order="<"):
    head = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHIHH", 0x112, 3, 1, orientation, 0)
    return head + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def chunk(name, content):
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


def with_chunk(png, name, content):
    """Insert a chunk before the pixels."""
    at = png.index(b"IDAT") - 4
    return png[:at] + chunk(name, content) + png[at:]


def encode(suffix, pixels, *options):
    done, data = cv2.imencode(suffix, pixels, list(options))
    assert done
    return data.tobytes()


@pytest.fixture
def cut_out():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 14, 4), np.uint8)
    pixels[..., 3] = 0
    pixels[2:7, 3:8, 3] = 255
    return pixels


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "png of 16 bits", "webp", "opaque png"])
def test_pictures_are_turned_as_the_camera_noted(tmp_path, cut_out, orientation, kind):
    if kind == "webp":
        data = encode(".webp", cut_out, cv2.IMWRITE_WEBP_QUALITY, 101)
        if b"VP8X" not in data:
            size = struct.pack("<I", 0x10)[:1] + bytes(3)
            size += (13).to_bytes(3, "little") + (8).to_bytes(3, "little")
            data = data[:12] + b"VP8X" + struct.pack("<I", 10) + size + data[12:]
        note = exif(orientation)
        data += b"EXIF" + struct.pack("<I", len(note)) + note + bytes(len(note) % 2)
        data = data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    else:
        pixels = cut_out.astype(np.uint16) * 257 if "16" in kind else cut_out
        pixels = pixels[..., :3] if "opaque" in kind else pixels
        data = with_chunk(encode(".png", pixels), b"eXIf", exif(orientation, ">"))
    (tmp_path / "a.png").write_bytes(data)
    upright = UPRIGHT[orientation](cut_out)
    alpha = 1 if "opaque" in kind else upright[..., 3:] // 255
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png"), upright[..., 2::-1] * np.uint8(alpha)
    )
    if "opaque" not in kind:
        np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), upright[..., 3] > 0)


@pytest.mark.parametrize("depth", [2, 8, 16])
def test_a_transparent_grey_level_is_a_cut_out(tmp_path, depth):
    top = 2**depth - 1
    levels = np.full((4, 8), top)
    levels[1:3, 2:6] = top // 3
    if depth == 2:
        rows = np.packbits(np.unpackbits(levels.astype(np.uint8)[..., None], axis=-1)[..., 6:])
        rows = rows.reshape(4, 2)
    else:
        rows = levels.astype(f">u{depth // 8}").view(np.uint8).reshape(4, -1)
    lines = np.pad(rows, ((0, 0), (1, 0))).tobytes()
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 4, depth, 0, 0, 0, 0))
    data += chunk(b"tRNS", struct.pack(">H", top)) + chunk(b"IDAT", zlib.compress(lines))
    (tmp_path / "a.png").write_bytes(data + chunk(b"IEND", b""))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), levels < top)
    expected = np.where(levels < top, 255 * (top // 3) // top, 0)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 0], expected)


def oversized(width, height):
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0"))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + pixels + chunk(b"IEND", b"")


GOOD = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
HEIF = struct.pack(">I", 24) + b"ftypheic" + bytes(4) + b"mif1heic"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (oversized(1 << 21, 2), r"more than 2\^30 pixels, or 2\^20 on a side"),
        (oversized(40000, 40000), r"more than 2\^30 pixels"),
        (encode(".png", GOOD)[:2000], "PNG, damaged or cut off"),
        (encode(".jpg", GOOD)[:-200], "JPEG, damaged or cut off"),
        (encode(".webp", GOOD)[:-200], "WebP, damaged or cut off"),
        (encode(".tiff", GOOD.astype(np.float32)), "a picture of float32 numbers"),
        (HEIF + bytes(100), "is HEIC"),
        (HEIF.replace(b"heic", b"avif") + bytes(100), "is AVIF"),
        (HEIF.replace(b"heic", b"avif") + b"ipcoirot mdat", "AVIF with a turn"),
        (HEIF.replace(b"heic", b"isom"), "a video, not a picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_what_is_no_picture_is_named_in_one_line(tmp_path, data, words):
    (tmp_path / "a.png").write_bytes(data)
    for read in (read_image, read_mask):
        with pytest.raises(UserError, match=rf"a.png: .*{words}.*; \w+") as caught:
            read(tmp_path / "a.png")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["n" * 300 + ".png", "folder"])
def test_paths_that_are_no_files_are_user_errors(tmp_path, path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="no such file"):
        read_image(tmp_path / path)


def test_levels_of_8_bits_in_16_are_not_read_as_black(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), GOOD.astype(np.uint16))
    with pytest.raises(UserError, match=r"a.png: .*levels reach only 255 of 65535, .*; export"):
        read_image(tmp_path / "a.png")


def test_pictures_of_printing_inks_are_read(tmp_path):
    from PIL import Image

    colours = np.kron(np.array([[[250, 20, 30], [10, 200, 90]]], np.uint8), np.ones((16, 16, 1)))
    Image.fromarray(colours.astype(np.uint8)).convert("CMYK").save(tmp_path / "a.jpg", quality=98)
    assert np.abs(read_image(tmp_path / "a.jpg") - colours).mean() < 4
