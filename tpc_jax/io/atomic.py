"""Outputs that appear whole or not at all."""

import errno
import json
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tpc_jax.errors import UserError

_LONGEST_SUFFIX = 16


@contextmanager
def atomic_path(path: str | Path, *, directory: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path` that becomes `path` when the block ends well.

    An exception, Ctrl-C included, removes the temporary and every parent folder made for it, so
    nothing half-written is left. An existing file is replaced in one step and hands its mode on; a
    link stays, what it leads to is replaced. An existing directory keeps its other entries; entries
    of the same name are replaced one by one, and a link is replaced where the new entry is one too.

    Args:
        path: The final output. Missing parent folders are made.
        directory: Whether the output is a directory; the temporary one then exists already.

    Yields:
        The path to write to, with the suffix of `path` (writers choose formats by it).

    Raises:
        UserError: If nothing can be written there, or the disk is full.
    """
    final, partial, made = _begin(Path(path), directory)
    try:
        yield partial
        try:
            _move(partial, final)
        except OSError as error:
            raise _not_writable(Path(path), error) from error
    except BaseException as error:
        _remove(partial, made)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _not_writable(Path(path), error) from error
        raise


def require_writable(path: str | Path, *, directory: bool = False) -> None:
    """Find out before long work whether `atomic_path` will do; leaves nothing behind.

    Raises:
        UserError: If nothing can be written there.
    """
    _, partial, made = _begin(Path(path), directory)
    _remove(partial, made)


def write_json(path: str | Path, value: Any) -> None:
    """Write a JSON file atomically, refusing NaN and infinity.

    Args:
        path: The file to write.
        value: Dictionaries, lists, strings and finite numbers.

    Raises:
        UserError: If the file cannot be written.
        ValueError: If a number is not finite.
    """
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8")


def _begin(path: Path, directory: bool) -> tuple[Path, Path, list[Path]]:
    """Make the temporary; return where it goes, where it is and which parents are new."""
    made = []
    partial = None
    try:
        final = Path(os.path.realpath(path))  # what a link leads to
        found = _stat(final)
        if found is not None:
            _require_kind(final, found.st_mode, directory)
        made = [parent for parent in final.parents if not parent.exists()]
        # In an existing folder, which may be another file system than its parent. The name is
        # short, so that it fits wherever the final one does.
        home = final if directory and found is not None else final.parent
        partial = home / f".{uuid.uuid4().hex[:8]}.partial{final.suffix[:_LONGEST_SUFFIX]}"
        final.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir() if directory else partial.touch()
    except OSError as error:
        if partial is not None:
            _remove(partial, made)
        raise _not_writable(path, error) from error
    return final, partial, made


def _stat(path: Path) -> os.stat_result | None:
    """Look a path up; a name that is too long, or a circle of links, is an error."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _require_kind(path: Path, mode: int, directory: bool) -> None:
    if directory:
        code = 0 if stat.S_ISDIR(mode) else errno.ENOTDIR
    elif stat.S_ISDIR(mode):
        code = errno.EISDIR
    elif not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file")
    else:
        code = 0 if os.access(path, os.W_OK) else errno.EACCES
    if code:
        raise OSError(code, os.strerror(code))


def _move(partial: Path, final: Path) -> None:
    if not (partial.is_dir() and final.exists()):
        _replace(partial, final)
        return
    for entry in partial.iterdir():
        present = final / entry.name
        if entry.is_symlink() and present.is_symlink():
            os.replace(entry, present)
            continue
        target = Path(os.path.realpath(present))
        if target.is_dir():
            shutil.rmtree(target)
        if present.is_symlink():
            # Perhaps on another file system: copied beside its target, then put in one step.
            beside = target.with_name(partial.name)
            shutil.move(entry, beside)
            entry = beside
        _replace(entry, target)
    partial.rmdir()


def _replace(source: Path, target: Path) -> None:
    """Put a file or folder where another of its kind may be, with the mode of the other."""
    with suppress(FileNotFoundError):
        source.chmod(stat.S_IMODE(target.stat().st_mode))
    os.replace(source, target)


def _remove(partial: Path, made: list[Path]) -> None:
    if partial.is_dir():
        shutil.rmtree(partial, ignore_errors=True)
    else:
        with suppress(OSError):
            partial.unlink()
    for parent in made:  # innermost first; a folder that others filled meanwhile stays
        with suppress(OSError):
            parent.rmdir()


def _not_writable(path: Path, error: OSError) -> UserError:
    reason = (error.strerror or str(error)).lower()
    return UserError(f"{path}: cannot be written ({reason}); choose another output path")
