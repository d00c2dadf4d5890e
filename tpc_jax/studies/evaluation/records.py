"""Results as they come: one line per clip and variant, appended whole or not at all."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from tpc_jax.errors import UserError
from tpc_jax.model.params import Params

Key = tuple[str, str, str]


def params_digest(params: Params) -> str:
    """Return a short checksum of parameters."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(params):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()[:8]


class Records:
    """An append-only file of results under one description of what all have in common.

    A process that is killed leaves at most one unfinished line, which the next one cuts off.

    Attributes:
        rows: What is known, by (split digest, pair, variant).
    """

    def __init__(self, file: Any, rows: dict[Key, dict[str, Any]]):
        self._file = file
        self.rows = rows

    def variants_of(self, split: str, pair: str) -> set[str]:
        """Return what is known of a pair."""
        return {variant for s, p, variant in self.rows if (s, p) == (split, pair)}

    def add(self, split: str, pair: str, variant: str, values: dict[str, Any]) -> None:
        """Append the result of one clip and variant.

        Raises:
            ValueError: There is one already, or a number is not finite.
        """
        key = (split, pair, variant)
        if key in self.rows:
            raise ValueError(f"there is a result of {key} already")
        row = {"split": split, "pair": pair, "variant": variant, **values}
        _write_line(self._file, row)
        self.rows[key] = row


@contextmanager
def open_records(path: Path, study: dict[str, Any]) -> Iterator[Records]:
    """Open or start a file of results, for one process at a time.

    Args:
        path: The file, one JSON object per line.
        study: Plain values on which all results depend.

    Raises:
        UserError: The file belongs to another study, is damaged or in use, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); choose another") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{path}: another evaluation is writing it; wait for it") from None
        lines = _whole_lines(file)
        if not lines:
            _write_line(file, {"study": study})
            yield Records(file, {})
            return
        # As it reads once it is written: tuples come back as lists.
        study = json.loads(json.dumps(study))
        header, *rows = _parse(path, lines)
        if header.get("study") != study:
            before = header.get("study")
            before = before if isinstance(before, dict) else {}
            changed = [name for name in study if before.get(name) != study[name]]
            raise UserError(
                f"{path}: holds results of another study ({', '.join(changed) or 'its header'} "
                "differ); choose another --out"
            )
        yield Records(file, _by_key(path, rows))


def _write_line(file, value: dict[str, Any]) -> None:
    data = json.dumps(value, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    if file.write(data) != len(data):
        raise UserError("the results file cannot be written; make room on the disk")
    os.fsync(file.fileno())


def _whole_lines(file) -> list[bytes]:
    """Return all finished lines; an unfinished one at the end is cut off."""
    file.seek(0)
    data = file.read()
    end = data.rfind(b"\n") + 1
    if end != len(data):
        file.truncate(end)
    return data[:end].splitlines()


def _parse(path: Path, lines: list[bytes]) -> list[dict[str, Any]]:
    values = []
    for number, line in enumerate(lines, 1):
        try:
            values.append(json.loads(line))
            if not isinstance(values[-1], dict):
                raise ValueError("no object")
        except ValueError as error:
            raise UserError(
                f"{path}: line {number} is damaged ({error}); remove it, it will be measured again"
            ) from error
    return values


def _by_key(path: Path, rows: list[dict[str, Any]]) -> dict[Key, dict[str, Any]]:
    try:
        keyed = {(row["split"], row["pair"], row["variant"]): row for row in rows}
    except KeyError as error:
        raise UserError(f"{path}: a line lacks {error}; remove it") from error
    if len(keyed) != len(rows):
        raise UserError(f"{path}: holds a clip twice; remove one of the lines")
    return keyed
