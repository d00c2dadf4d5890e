"""Decode pictures: upright, with their transparency; or say why not."""

import struct
from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import UInt8, UInt16

# Picture sizes that OpenCV refuses.
_LIMIT = "more than 2^30 pixels, or 2^20 on a side; shrink it"
_LONGEST_SIDE = 1 << 20
_ORIENTATION, _SAMPLES_PER_PIXEL = 0x112, 0x115
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_GREY = 0
_REMEDY = "export it as PNG or JPEG"
# How files begin that are handed over as pictures, as (position, bytes, what it is).
_KINDS = (
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL ", "JPEG XL"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"<svg", "SVG, a drawing"),
    (0, b"<?xml", "an XML file, perhaps an SVG drawing"),
    (0, b"<!", "a web page"),
    (0, b"<html", "a web page"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
)
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_READABLE = (
    (b"\xff\xd8\xff", "JPEG"), (_PNG, "PNG"), (b"GIF8", "GIF"), (b"BM", "BMP"),
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"RIFF", "WebP"),
)  # fmt: skip


def decode_picture(
    encoded: UInt8[np.ndarray, " bytes"], *, keep_depth: bool = False
) -> UInt8[np.ndarray, "height width channels"] | UInt16[np.ndarray, "height width channels"]:
    """Decode to RGB, or to RGBA where the file has transparency, turned as its camera noted.

    Args:
        encoded: The bytes of the file.
        keep_depth: Leave levels of 16 bits as they are; otherwise they become 8 bits.

    Returns:
        The picture, 3 or 4 channels.

    Raises:
        ValueError: It cannot be read; the message says what it is and what to do.
    """
    data = encoded.tobytes()
    if _is_turned_avif(data):
        raise ValueError(f"is AVIF with a turn or a mirroring, which is not read; {_REMEDY}")
    pixels = _opencv(encoded, cv2.IMREAD_UNCHANGED)
    if pixels is not None and pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"is a picture of {pixels.dtype} numbers; export it with 8 or 16 bits")
    if pixels is not None and pixels.dtype == np.uint16 and not keep_depth:
        _require_16_bits(pixels)
    if pixels is not None and pixels.ndim == 2:
        pixels = _with_lost_alpha(pixels, data)
    if pixels is None or pixels.ndim == 2 or pixels.shape[2] != 4:
        # Only these modes obey the camera's orientation note; they have no transparency.
        depth = cv2.IMREAD_ANYDEPTH if keep_depth else 0
        pixels = _opencv(encoded, cv2.IMREAD_COLOR | depth)
    else:
        pixels = _turned(pixels, _orientation(data))
    if pixels is None:
        raise ValueError(_fault(data))
    if pixels.dtype != np.uint8 and not keep_depth:
        pixels = (pixels // 256).astype(np.uint8)
    return np.ascontiguousarray(pixels[..., [2, 1, 0, 3][: pixels.shape[2]]])


def is_lossy(encoded: UInt8[np.ndarray, " bytes"]) -> bool:
    """Tell whether a file's levels may differ from those that were written: JPEG, or WebP so."""
    head = encoded[:64].tobytes()
    return head.startswith(b"\xff\xd8") or (head[8:12] == b"WEBP" and b"VP8L" not in head)


def is_animated(data: bytes) -> bool:
    """Tell whether a PNG or WebP file holds several pictures."""
    chunks = _png_chunks(data) if data.startswith(_PNG) else _riff_chunks(data)
    return any(name in (b"acTL", b"ANIM") for name, _ in chunks)


def may_hold_several(data: bytes) -> bool:
    """Tell whether a file may hold several pictures: it does, or it is a GIF or TIFF."""
    return data.startswith((b"GIF8", b"II*\0", b"MM\0*")) or is_animated(data)


def _opencv(encoded: np.ndarray, mode: int) -> np.ndarray | None:
    if not encoded.size:
        return None
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return cv2.imdecode(encoded, mode)
    except cv2.error as error:
        if "CV_IO_MAX" in str(error):
            raise ValueError(f"has {_LIMIT}") from error
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)


def _require_16_bits(pixels: np.ndarray) -> None:
    if 0 < (top := pixels[..., :3].max()) < 256:
        raise ValueError(
            f"is a 16-bit picture whose levels reach only {top} of 65535, which is black; export "
            "it with 8 bits"
        )


def _fault(data: bytes) -> str:
    if not data:
        return f"is not a readable picture (0 bytes); {_REMEDY}"
    if (
        data.startswith(_PNG)
        and len(data) > 24
        and max(struct.unpack(">2I", data[16:24])) > 1 << 20
    ):
        return f"has {_LIMIT}"
    brand = data[8:12] if data[4:8] == b"ftyp" else None
    if brand in _HEIF_BRANDS:
        return f"is HEIC, which is not read; {_REMEDY}"
    if brand in _AVIF_BRANDS:
        return f"is AVIF, which this OpenCV does not read, or damaged; {_REMEDY}"
    if brand is not None:
        return f"is a video, not a picture; {_REMEDY}"
    for position, magic, kind in _KINDS:
        if data.startswith(magic, position):
            return f"is {kind}; {_REMEDY}"
    for magic, kind in _READABLE:
        if data.startswith(magic):
            return f"is not a readable picture ({kind}, damaged or cut off); export it again"
    return "is not a readable picture; give a PNG or JPEG file"


def _is_turned_avif(data: bytes) -> bool:
    """Tell whether an AVIF file holds a turn, which OpenCV leaves out."""
    if data[4:8] != b"ftyp" or data[8:12] not in _AVIF_BRANDS:
        return False
    properties = data[: data.find(b"mdat")]
    return b"irot" in properties or b"imir" in properties


def _with_lost_alpha(grey: np.ndarray, data: bytes) -> np.ndarray:
    """Add the transparency of a grey picture that OpenCV leaves out."""
    if data.startswith((b"II*\0", b"MM\0*")) and _tiff_tags(data).get(_SAMPLES_PER_PIXEL) == 2:
        raise ValueError(f"is a grey TIFF with transparency, which is not read; {_REMEDY}")
    chunks = dict(_png_chunks(data))
    if b"tRNS" not in chunks or data[25] != _PNG_GREY:
        return grey
    depth, key = data[24], int.from_bytes(chunks[b"tRNS"][:2], "big")
    if depth < 8:
        key = key * 255 // (2**depth - 1)
    alpha = np.where(grey == key, 0, np.iinfo(grey.dtype).max).astype(grey.dtype)
    return np.stack([grey, grey, grey, alpha], axis=-1)


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a picture upright by its Exif orientation, 1 to 8."""
    if orientation >= 5:  # the stored rows are the columns shown
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _orientation(data: bytes) -> int:
    """Return the orientation that a PNG or WebP file notes; OpenCV itself obeys a TIFF's."""
    chunks = _png_chunks(data) if data.startswith(_PNG) else _riff_chunks(data)
    for name, content in chunks:
        if name in (b"eXIf", b"EXIF"):
            found = _tiff_tags(content.removeprefix(b"Exif\0\0")).get(_ORIENTATION, 1)
            return found if 1 <= found <= 8 else 1
    return 1


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG)
    while data.startswith(_PNG) and at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        at += size + 12


def _riff_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while data.startswith(b"RIFF") and at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _tiff_tags(block: bytes) -> dict[int, int]:
    """Return the first directory's tags that are one 16-bit number."""
    if len(block) < 8 or block[:4] not in (b"II*\0", b"MM\0*"):
        return {}
    order = "<" if block[:2] == b"II" else ">"
    (at,) = struct.unpack_from(order + "I", block, 4)
    if at + 2 > len(block):
        return {}
    (count,) = struct.unpack_from(order + "H", block, at)
    entries = range(at + 2, min(at + 2 + 12 * count, len(block) - 11), 12)
    rows = [struct.unpack_from(order + "HHIH", block, entry) for entry in entries]
    return {tag: value for tag, kind, number, value in rows if (kind, number) == (3, 1)}
