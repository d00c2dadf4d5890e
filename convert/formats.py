"""What a file is by its first bytes: web pages and archives are saved under weights' names."""

import codecs
import re
from pathlib import Path

from tpc_jax.convert.read import damaged
from tpc_jax.errors import UserError

ZIP_MAGIC = b"PK\x03\x04"
# The number 0x1950a86a20f9469cfc6c, pickled.
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
START = 512  # bytes that tell what a file is; a tar archive does so at 257

_LFS_POINTER = "version https://git-lfs"
_CONVERTED = "published in another format; take the original .safetensors, .bin, .ckpt or .pth"
_PACKED = "an archive; unpack it and give the file inside"
_FOREIGN = {
    rb"GGUF|GGML|lmgg|fmgg|tjgg": f"a GGUF or GGML file, {_CONVERTED}",
    rb".{4}TFL3": f"a TensorFlow Lite model, {_CONVERTED}",
    rb"\x89HDF\r\n\x1a\n": f"an HDF5 file, as of Keras, {_CONVERTED}",
    # A protocol buffer: the version of the format, then the producer or a later field.
    rb"\x08[\x01-\x1f][\x12\x1a\x22\x28\x32\x3a\x42]": f"an ONNX model, {_CONVERTED}",
    rb"\x93NUMPY": f"a NumPy array, {_CONVERTED}",
    rb"7z\xbc\xaf\x27\x1c": f"7z, {_PACKED}",
    rb"Rar!\x1a\x07": f"RAR, {_PACKED}",
    rb"\x1f\x8b\x08": f"gzip, {_PACKED}",
    rb"BZh[1-9]": f"bzip2, {_PACKED}",
    rb"\xfd7zXZ\0": f"xz, {_PACKED}",
    rb"\x28\xb5\x2f\xfd": f"zstd, {_PACKED}",
    rb".{257}ustar": f"tar, {_PACKED}",
    rb"PK\x05\x06": f"an empty zip, {_PACKED}",
    rb"%PDF-": "a PDF document; download the weights themselves",
    rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF.{4}WEBP": "a picture; download the weights themselves",
    rb"\x7fELF|MZ.{62}": "a program; download the weights themselves",
    rb"\x80[\x02-\x05]": "a pickle that PyTorch did not write; save the state dict as safetensors",
}


def refuse_foreign(path: Path, start: bytes) -> None:
    """Refuse files that cannot hold weights.

    Args:
        path: The file.
        start: Its first `START` bytes, or all of it.

    Raises:
        UserError: It is empty, text, or of a format that is not read; says which.
    """
    if not start:
        raise damaged(path, "it is empty")
    if any(magic.startswith(start) for magic in (ZIP_MAGIC, LEGACY_MAGIC)):
        raise damaged(path, f"only {len(start)} bytes")
    # An index, too, may turn out to be a web page.
    text = _text(start)
    if text is not None and not (text.startswith("{") and path.name.endswith(".json")):
        raise UserError(f"{path}: {_described(text)}")
    if start.startswith((ZIP_MAGIC, LEGACY_MAGIC)) or _is_safetensors(start):
        return
    for magic, what in _FOREIGN.items():
        if path.suffix != ".msgpack" and re.match(magic, start, re.DOTALL):
            raise UserError(f"{path}: {what}")


def refuse_archive(path: Path, names: list[str]) -> None:
    """Refuse zip archives that are not PyTorch's, and programs of TorchScript, which are.

    Args:
        path: The file.
        names: What it holds.

    Raises:
        UserError: Says what it is.
    """
    last = {name.rsplit("/", 1)[-1] for name in names}
    if "constants.pkl" in last and any("/code/" in name for name in names):
        raise UserError(f"{path}: a TorchScript program, which is not run; save its state dict")
    if "data.pkl" in last:
        return
    if names and all(name.endswith(".npy") for name in names):
        raise UserError(f"{path}: NumPy arrays (.npz), {_CONVERTED}")
    held = ", ".join(name[:60] for name in names[:3]) + (", ..." if len(names) > 3 else "")
    raise UserError(f"{path}: a zip archive not of PyTorch ({held or 'empty'}), {_PACKED}")


def _is_safetensors(start: bytes) -> bool:
    return start[4:9] == b"\0\0\0\0{"


def _text(start: bytes) -> str | None:
    """Return the beginning of a text without what is blank; None if it is none."""
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)
    except UnicodeDecodeError:
        return None
    is_text = all(letter.isprintable() or letter.isspace() for letter in text)
    return text.lstrip() if is_text else None


def _described(text: str) -> str:
    if text.startswith(_LFS_POINTER):
        return "only a Git LFS pointer, not the weights; run `git lfs pull` or download it"
    if text.startswith("<"):
        return "a web page, not the weights; download again where you are logged in, or elsewhere"
    shown = " ".join(text.split())[:60]
    return f"text, not weights (it says {shown!r}); download the file itself"
