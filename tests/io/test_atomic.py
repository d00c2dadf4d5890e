import json
import os
import stat

import pytest

from tpc_jax.errors import UserError
from tpc_jax.io.atomic import atomic_path, require_writable, write_json


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


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "real.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    (tmp_path / "fresh.txt").symlink_to("disk/not_yet.txt")
    for path in (link, tmp_path / "fresh.txt"):
        with atomic_path(path) as partial:
            partial.write_text("new")
        assert path.is_symlink()
        assert path.read_text() == "new"
    assert sorted(file.name for file in target.parent.iterdir()) == ["not_yet.txt", "real.txt"]


def test_links_to_folders_and_in_folders_stay(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "kept.txt").write_text("old")
    (tmp_path / "disk" / "linked.txt").symlink_to(tmp_path / "kept.txt")
    (tmp_path / "out").symlink_to(tmp_path / "disk", target_is_directory=True)
    with atomic_path(tmp_path / "out", directory=True) as partial:
        (partial / "linked.txt").write_text("new")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk" / "linked.txt").is_symlink()
    assert (tmp_path / "kept.txt").read_text() == "new"
    assert [file.name for file in (tmp_path / "disk").iterdir()] == ["linked.txt"]


def test_a_circle_of_links_is_a_user_error(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(UserError, match="cannot be written"):
        require_writable(tmp_path / "a")


def test_modes_are_kept_and_new_files_have_the_usual_one(tmp_path):
    mask = os.umask(0o027)
    try:
        (tmp_path / "old.txt").write_text("old")
        (tmp_path / "old.txt").chmod(0o604)
        for name, mode in (("old.txt", 0o604), ("new.txt", 0o640)):
            with atomic_path(tmp_path / name) as partial:
                partial.write_text("new")
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode
        with atomic_path(tmp_path, directory=True) as partial:
            (partial / "old.txt").write_text("newer")
        assert stat.S_IMODE((tmp_path / "old.txt").stat().st_mode) == 0o604
    finally:
        os.umask(mask)


@pytest.mark.parametrize("name", ["n" * 251 + ".txt", "é" * 125 + "n.txt", "a." + "s" * 253])
def test_the_longest_names_can_be_written_and_longer_ones_are_refused(tmp_path, name):
    with atomic_path(tmp_path / name) as partial:
        partial.write_text("new")
    assert (tmp_path / name).read_text() == "new"
    for path in (tmp_path / f"n{name}", tmp_path / f"n{name}" / "out.txt"):
        with pytest.raises(UserError, match=r"cannot be written \(file name too long\)"):
            require_writable(path)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_looking_ahead_leaves_nothing_and_refuses_devices(tmp_path):
    require_writable(tmp_path / "a" / "b.mp4")
    require_writable(tmp_path / "a" / "b", directory=True)
    assert list(tmp_path.iterdir()) == []
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="not a regular file"):
        require_writable(tmp_path / "pipe")


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_link_in_a_folder_is_replaced_by_a_new_one_and_what_it_leads_to_is_left(
    tmp_path, is_folder
):
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "0.png").write_text("picture")
    (tmp_path / "video").write_text("frames")
    for source in ("frames", "frames") if is_folder else ("video", "video", "frames"):
        with atomic_path(tmp_path / "out", directory=True) as partial:
            (partial / "link").symlink_to(tmp_path / source)
    assert (tmp_path / "out" / "link").resolve() == tmp_path / source
    assert (tmp_path / "video").read_text() == "frames"
    assert not (tmp_path / "video").is_symlink()
    assert (tmp_path / "frames" / "0.png").read_text() == "picture"
