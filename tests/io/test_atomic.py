import json

import pytest

from tpc_jax.errors import UserError
from tpc_jax.io.atomic import atomic_path, write_json


def test_file_appears_only_at_the_end(tmp_path):
    final = tmp_path / "deep" / "er" / "out.txt"
    with atomic_path(final) as partial:
        partial.write_text("new")
        assert partial.suffix == ".txt"
        assert not final.exists()
    assert final.read_text() == "new"
    assert [file.name for file in final.parent.iterdir()] == ["out.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("directory", [False, True])
def test_failure_leaves_nothing(tmp_path, error, directory):
    def write():
        with atomic_path(tmp_path / "a" / "b", directory=directory) as partial:
            (partial / "x" if directory else partial).write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_the_previous_file_and_folder(tmp_path):
    final = tmp_path / "out.txt"
    final.write_text("old")

    def write():
        with atomic_path(final) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert final.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["out.txt"]


def test_directory_replaces_same_names_and_keeps_others(tmp_path):
    final = tmp_path / "out"
    (final / "sub").mkdir(parents=True)
    (final / "sub" / "stale").write_text("x")
    (final / "mine").write_text("kept")
    (final / "same").write_text("old")
    with atomic_path(final, directory=True) as partial:
        (partial / "same").write_text("new")
        (partial / "sub").mkdir()
        (partial / "sub" / "fresh").write_text("y")
    assert (final / "mine").read_text() == "kept"
    assert (final / "same").read_text() == "new"
    assert [file.name for file in (final / "sub").iterdir()] == ["fresh"]
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_unwritable_places_are_user_errors(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for path, directory in [
        (tmp_path / "file" / "out.txt", False),
        (tmp_path / "folder", False),
        (tmp_path / "file", True),
    ]:
        with pytest.raises(UserError, match=r"cannot be written .*choose another"):
            with atomic_path(path, directory=directory):
                pytest.fail("the block must not run")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


def test_write_json_refuses_nan_and_is_whole(tmp_path):
    write_json(tmp_path / "a.json", {"x": [1, 2.5]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": [1, 2.5]}
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "b.json", float("nan"))
    assert not (tmp_path / "b.json").exists()
