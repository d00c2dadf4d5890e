"""The `tpc-jax` command: picks a command, shows errors and warnings."""

import contextlib
import sys
import warnings
from collections.abc import Iterator

import tyro

from tpc_jax.commands.animation import animate, calibrate, demo, inspect_attention
from tpc_jax.commands.convert import convert
from tpc_jax.commands.preparing import check, fetch_pose, prepare
from tpc_jax.commands.settings import expand_settings
from tpc_jax.commands.studies import evaluate, make_split, sensitivity, train
from tpc_jax.errors import InputWarning, UserError

DESCRIPTION = """Animate the person of one picture by the motion of another.

Every command takes --settings FILE (TOML or JSON) with options by name; those on the line win."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command; user errors end as one line and exit code 2, Ctrl-C as 130."""
    commands = {
        "fetch-pose": fetch_pose,
        "prepare": prepare,
        "check": check,
        "calibrate": calibrate,
        "animate": animate,
        "inspect-attention": inspect_attention,
        "demo": demo,
        "train": train,
        "sensitivity": sensitivity,
        "make-split": make_split,
        "evaluate": evaluate,
        "convert": convert,
    }
    line = sys.argv[1:] if arguments is None else arguments
    try:
        with _warnings_as_lines():
            tyro.extras.subcommand_cli_from_dict(
                commands, prog="tpc-jax", description=DESCRIPTION, args=expand_settings(line)
            )
    except UserError as error:
        print(f"tpc-jax: {error}", file=sys.stderr)
        sys.exit(2)
    except MemoryError:
        print(
            "tpc-jax: not enough memory; end other programs or take a machine with more",
            file=sys.stderr,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        print("tpc-jax: interrupted; nothing is left half-written", file=sys.stderr)
        sys.exit(130)


@contextlib.contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Print what is said of inputs as one line each, other warnings as ever."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_line(message, category, filename, lineno, file=None, line=None):
            if issubclass(category, InputWarning):
                print(f"tpc-jax: note: {message}", file=file or sys.stderr)
            else:
                show(message, category, filename, lineno, file, line)

        warnings.simplefilter("always", InputWarning)
        warnings.showwarning = show_line
        yield


if __name__ == "__main__":
    main()
