"""Outputs that appear whole or not at all."""

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tpc_jax.errors import UserError


@contextmanager
def atomic_path(path: str | Path, *, directory: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path` that becomes `path` when the block ends well.

    An exception, Ctrl-C included, removes the temporary and every parent folder made for it, so
    nothing half-written is left. An existing file is replaced in one step. An existing directory
    keeps its other entries; entries of the same name are replaced one by one.

    Args:
        path: The final output. Missing parent folders are made.
        directory: Whether the output is a directory; the temporary one then exists already.

    Yields:
        The path to write to, with the suffix of `path` (writers choose formats by it).

    Raises:
        UserError: If nothing can be written there, or the disk is full.
    """
    final = Path(path)
    made = [parent for parent in final.parents if not parent.exists()]
    partial = final.with_name(f".{final.stem}.{uuid.uuid4().hex[:8]}.partial{final.suffix}")
    try:
        if final.is_dir() and not directory:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if directory and final.exists() and not final.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        final.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir() if directory else partial.touch()
    except OSError as error:
        _remove(partial, made)
        raise _not_writable(final, error) from error
    try:
        yield partial
        _move(partial, final)
    except BaseException as error:
        _remove(partial, made)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _not_writable(final, error) from error
        raise


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


def _move(partial: Path, final: Path) -> None:
    if not (partial.is_dir() and final.exists()):
        os.replace(partial, final)
        return
    for entry in partial.iterdir():
        target = final / entry.name
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        os.replace(entry, target)
    partial.rmdir()


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
