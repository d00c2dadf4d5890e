"""Files of torch: shared storages are read once, a few hostile bytes get no memory."""

import pickle
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
import torch

from tpc_jax import cli
from tpc_jax.convert import open as opening
from tpc_jax.convert import torch_files, unpickle
from tpc_jax.convert.open import open_source
from tpc_jax.errors import UserError

pytestmark = pytest.mark.torch
MB = 2**20


def peak_of(run):
    """Return what `run` returns and the most memory, in bytes, that it held."""
    tracemalloc.start()
    try:
        return run(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def views_of_one_storage(count, dtype):
    whole = torch.randn(count * MB // 8, generator=torch.Generator().manual_seed(0)).to(dtype)
    return {f"layers.{i}.weight": part.view(128, -1) for i, part in enumerate(whole.chunk(count))}


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_shared_storage_is_verified_once_and_never_held(tmp_path, monkeypatch, is_new, dtype):
    """As in DeepSpeed's files, all tensors of which are views of one storage."""
    state, path, hashed = views_of_one_storage(64, dtype), tmp_path / "model.pt", []
    torch.save({"module": state, "step": 1}, path, _use_new_zipfile_serialization=is_new)
    crc32 = zlib.crc32
    monkeypatch.setattr(torch_files.zlib, "crc32", lambda x: hashed.append(len(x)) or crc32(x))

    def read_all():
        tensors = open_source(path).tensors
        assert tensors.keys() == state.keys()
        for name, tensor in tensors.items():
            array = np.asarray(tensor.read(), np.float32)
            np.testing.assert_array_equal(array, state[name].float().numpy())

    _, peak = peak_of(read_all)
    stored = 64 * MB // 8 * dtype.itemsize
    assert sum(hashed) == pytest.approx(stored if is_new else 0, rel=0.01)
    assert peak < 4 * MB < stored // 3


def test_a_flipped_bit_in_a_shared_storage_is_told_of_every_tensor(tmp_path):
    state, path = views_of_one_storage(4, torch.float32), tmp_path / "model.pt"
    torch.save(state, path)
    content = bytearray(path.read_bytes())
    content[content.index(state["layers.3.weight"].numpy().tobytes()) + 7] ^= 1
    path.write_bytes(content)
    for tensor in open_source(path).tensors.values():
        with pytest.raises(UserError, match=r"truncated or corrupt \(the checksum of data/0"):
            tensor.read()


def test_a_file_that_becomes_shorter_is_told(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.ones(100_000)}, path)
    tensor = open_source(path).tensors["a"]
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"model\.pt: truncated or corrupt \(it became shorter"):
        tensor.read()


def test_views_of_all_kinds(tmp_path):
    base, path = torch.arange(24.0), tmp_path / "model.pt"
    state = {
        "part": base[3:9],
        "turned": base.view(4, 6).T,
        "stepped": base[::5],
        "row": base.expand(1, -1),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2.0),
    }
    for is_new in (True, False):
        torch.save(state, path, _use_new_zipfile_serialization=is_new)
        for name, tensor in open_source(path).tensors.items():
            np.testing.assert_array_equal(tensor.read(), state[name].numpy(), err_msg=name)


def test_a_number_is_not_repeated_without_end(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.zeros(1).expand(10**6, 10**6)}, path)
    with pytest.raises(UserError, match="a has 1000000000000 numbers in a storage of 1"):
        open_source(path)


def packed(folder, body: bytes, is_new: bool):
    """Write a pickle as torch would."""
    path = folder / "hostile.ckpt"
    if is_new:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", body)
    else:
        info = {"little_endian": True}
        start = (0x1950A86A20F9469CFC6C, 1001, info)
        path.write_bytes(b"".join(pickle.dumps(x, 2) for x in start) + body + b"\x80\x02].")
    return path


def doubled(depth: int) -> bytes:
    """Build a tuple of 2**depth empty tuples, of which few exist."""
    return b")" + b"2\x86" * depth


def long_text(code: bytes, length: bytes) -> bytes:
    return b"\x80\x04}" + code + length + b"text"


OPENED = {
    "slots of the memo": b"\x80\x02}r\xff\xff\xff\x7f.",
    "a tuple of tuples": b"\x80\x02}X\x01\0\0\0a" + doubled(100) + b"s.",
    "a list inside lists": b"\x80\x02}X\x01\0\0\0a" + b"]" * 10_000 + b"a" * 9_999 + b"s.",
    "a frame": b"\x80\x04\x95" + b"\xff" * 7 + b"\x0f}.",
}
REFUSED = {
    "long bytes": (long_text(b"\x8e", struct.pack("<Q", 2**40)), "corrupt"),
    "a long text": (long_text(b"\x8d", struct.pack("<Q", 2**40)), "corrupt"),
    "a long number": (long_text(b"\x8b", struct.pack("<i", 2**31 - 1)), "corrupt"),
    "a long array": (long_text(b"\x96", struct.pack("<Q", 2**40)), "corrupt"),
    "a key of tuples": (b"\x80\x02}" + doubled(100) + b"Ns.", "asks for a tuple as a key"),
    "a global of tuples": (b"\x80\x04}" + doubled(100) + b"2\x93.", "corrupt"),
    "a storage of tuples": (
        b"\x80\x02}(X\x07\0\0\0storagectorch\nFloatStorage\n" + doubled(100) + b"NK\x01tQ.",
        "asks for a storage of another kind",
    ),
    "a shape of many axes": (
        b"\x80\x02}ctorch\nSize\n(" + b"K\x01" * 1000 + b"t\x85R.",
        "a tensor with 1000 axes",
    ),
    "a state of a type": (b"\x80\x02}ctorch\nFloatStorage\n(K\x03tb.", "an object with a state"),
    "nothing on the stack": (b"\x80\x02R.", "corrupt"),
    "a mark that is missing": (b"\x80\x02}t.", "corrupt"),
}


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("name", OPENED)
def test_a_few_bytes_get_little_memory(tmp_path, name, is_new):
    path = packed(tmp_path, OPENED[name], is_new)
    source, peak = peak_of(lambda: open_source(path))
    assert not source.tensors
    assert peak < 16 * MB


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("name", REFUSED)
def test_hostile_pickles_are_refused_before_they_get_memory(tmp_path, name, is_new):
    body, message = REFUSED[name]
    path = packed(tmp_path, body, is_new)

    def refusal():
        with pytest.raises(UserError, match=message) as error:
            open_source(path)
        return str(error.value)

    text, peak = peak_of(refusal)
    assert text.startswith(f"{path}: ")
    assert len(text) < 300
    assert peak < 16 * MB
    assert np.zeros(1, np.float32).dtype.byteorder == "="


@pytest.mark.parametrize(
    "body",
    [
        b"N0" * 5_000,
        b"](" + b"NN\x86" * 1_000 + b"eq\0" + b"ccollections\nOrderedDict\nh\0\x85R" * 10,
    ],
)
def test_steps_and_what_they_copy_are_counted(tmp_path, monkeypatch, body):
    path = packed(tmp_path, b"\x80\x02}" + body + b".", is_new=True)
    monkeypatch.setattr(unpickle, "MAX_STEPS", 9_000)
    with pytest.raises(UserError, match="asks for more than 9,000 steps, which is not run"):
        open_source(path)


def test_a_compressed_pickle_is_not_inflated(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(64 * MB))

    def refusal():
        with pytest.raises(UserError, match=r"data\.pkl is compressed"):
            open_source(path)

    assert path.stat().st_size < MB
    assert peak_of(refusal)[1] < MB


def test_an_entry_behind_the_file_is_told_before_it_is_read(tmp_path):
    path = tmp_path / "model.pt"
    torch.save({"a": torch.ones(1)}, path)
    content = bytearray(path.read_bytes())
    place = content.rindex(b"/data/0", 0, content.rindex(b"PK\x05\x06")) - len("model") - 46
    assert content[place : place + 4] == b"PK\x01\x02"
    content[place + 20 : place + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(content)
    with pytest.raises(UserError, match="ends behind the file"):
        open_source(path)


@pytest.mark.parametrize(
    "content",
    [
        b"\x81\xdb\xff\xff\xff\xff",  # a name of 4 GB
        b"\x81\xa1a\xc9\xff\xff\xff\xff\x01\x93",  # an array of 4 GB
        b"\x81\xa1a\xc7\x1f\x01\x93\x92" + 2 * (b"\xcf" + struct.pack(">Q", 2**32))
        + b"\xa7float32\xc4\0",  # 2**64 numbers in no bytes
        b"\x81\xa1a\xc7\x0c\x01\x93\x91\x01\xa1O\xc4\x04abcd",  # objects
        b"\x81\xa1a" * 100_000,
    ],
)  # fmt: skip
def test_hostile_files_of_flax(tmp_path, content):
    path = tmp_path / "hostile.msgpack"
    path.write_bytes(content)

    def refusal():
        with pytest.raises(UserError, match=r"hostile\.msgpack: truncated or corrupt"):
            open_source(path)

    assert peak_of(refusal)[1] < 16 * MB


def test_an_index_of_itself(tmp_path):
    path = tmp_path / "a.index.json"
    path.write_text('{"weight_map": {"a": "a.index.json"}}')
    with pytest.raises(UserError, match="weight_map names an index"):
        open_source(path)


def test_deep_headers(tmp_path):
    path, text = tmp_path / "a.safetensors", b"[" * 100_000
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(UserError, match=r"a\.safetensors: truncated or corrupt"):
        open_source(path)


def no_memory(*_, **__):
    raise MemoryError


def test_memory_that_does_not_suffice_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    path = tmp_path / "weights.pt"
    torch.save({"a": torch.ones(1)}, path)
    with monkeypatch.context() as patched:
        patched.setattr(torch_files.mmap, "mmap", no_memory)
        with pytest.raises(UserError, match=r"weights\.pt: does not fit into memory; end other"):
            open_source(path)
    monkeypatch.setattr(opening, "read_zip", no_memory)
    with pytest.raises(SystemExit) as ended:
        cli.main(["convert", "i3d", "--weights", str(path), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tpc-jax: not enough memory")
    assert [p.name for p in tmp_path.iterdir()] == ["weights.pt"]
