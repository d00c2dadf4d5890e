"""Device choice and settings files for the scripts, in front of the installed command.

    python scripts/animate.py --device gpu --settings configs/tiny_animate.toml --reference ...

A settings file holds command-line options by name; options given on the line win.
"""

import os
import sys
import tomllib
from pathlib import Path

PLATFORMS = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tpc_jax" / "xla"


def run(command: str) -> None:
    """Run a `tpc-jax` command with the script's own two options taken off the line."""
    arguments = sys.argv[1:]
    device = _take(arguments, "--device")
    settings = _take(arguments, "--settings")
    if device is not None:
        if device not in PLATFORMS:
            sys.exit(f"--device must be one of {', '.join(PLATFORMS)}, got {device}")
        os.environ["JAX_PLATFORMS"] = PLATFORMS[device]
    # Compiled programs are kept between runs: on accelerators compiling takes minutes.
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))

    from tpc_jax.cli import main

    main([command, *(_options(Path(settings)) if settings else []), *arguments])


def _take(arguments: list[str], name: str) -> str | None:
    """Remove `--name value` or `--name=value` from the list and return the value."""
    for index, argument in enumerate(arguments):
        if argument == name:
            if index + 1 == len(arguments):
                sys.exit(f"{name} needs a value")
            del arguments[index]
            return arguments.pop(index)
        if argument.startswith(f"{name}="):
            return arguments.pop(index).split("=", 1)[1]
    return None


def _options(path: Path) -> list[str]:
    """Turn a TOML table into command-line options."""
    try:
        table = tomllib.loads(path.read_text())
    except OSError:
        sys.exit(f"{path}: cannot be read; check the path")
    except tomllib.TOMLDecodeError as error:
        sys.exit(f"{path}: {error}; mend the file")
    options = []
    for key, value in table.items():
        name = key.replace("_", "-")
        if isinstance(value, bool):
            options.append(f"--{name}" if value else f"--no-{name}")
        else:
            options += [f"--{name}", str(value)]
    return options
