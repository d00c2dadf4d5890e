"""Command lines as one types them, and the one line that a wrong one ends with."""

import pytest

from tpc_jax import cli


def command_line(command: str, options: dict) -> list[str]:
    """Return the words; an option of None is left out, one of a list has several values."""
    words = [command]
    for name, value in options.items():
        if value is not None:
            values = value if isinstance(value, list | tuple) else [value]
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words


def fails(words: list[str], capsys, *expected: str) -> None:
    """Check that a command ends with exit code 2 and one line that holds what is expected."""
    with pytest.raises(SystemExit) as stopped:
        cli.main(words)
    assert stopped.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("tpc-jax: ")
    for part in expected:
        assert part in message
