"""Settings files: command-line options by name, in TOML or JSON."""

import json
import tomllib
from pathlib import Path
from typing import Any

from tpc_jax.errors import UserError


def read_settings(path: Path) -> dict[str, Any]:
    """Read a TOML or JSON file of settings.

    Raises:
        UserError: The file is missing or malformed.
    """
    try:
        text = path.read_text()
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError:
        raise UserError(f"{path}: cannot be read; check the path") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}; mend the file") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: must hold settings by name; mend the file")
    return values


def expand_settings(arguments: list[str]) -> list[str]:
    """Replace `--settings FILE` behind a command by the options in the file.

    They come first, so that options given on the line win.

    Raises:
        UserError: The file is missing or malformed.
    """
    rest = list(arguments)
    path = take_option(rest, "--settings")
    if path is None:
        return rest
    return [*rest[:1], *_as_options(Path(path)), *rest[1:]]


def take_option(arguments: list[str], name: str) -> str | None:
    """Remove `--name value` or `--name=value` from a command line and return the value.

    Raises:
        UserError: The value is missing.
    """
    for index, argument in enumerate(arguments):
        if argument == name:
            if index + 1 == len(arguments):
                raise UserError(f"{name} needs a value")
            del arguments[index]
            return arguments.pop(index)
        if argument.startswith(f"{name}="):
            return arguments.pop(index).split("=", 1)[1]
    return None


def _as_options(path: Path) -> list[str]:
    options = []
    for key, value in read_settings(path).items():
        name = key.replace("_", "-")
        if isinstance(value, dict):
            raise UserError(f"{path}: [{key}] is a table; give options by name at the top")
        if isinstance(value, bool):
            options.append(f"--{name}" if value else f"--no-{name}")
        else:
            values = value if isinstance(value, list) else [value]
            options += [f"--{name}", *map(str, values)]
    return options
