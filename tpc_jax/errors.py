"""What is wrong with an input, as one line without a traceback: errors, and what is only said."""

import warnings


class UserError(Exception):
    """Input that the user can mend; the message names the input, the fault and the remedy.

    What no terminal shows, as names and texts of a file may hold, is written as its escape.
    """

    def __init__(self, message: str):
        super().__init__(_printable(message))


class InputWarning(UserWarning):
    """What was made of an input that says less than is needed, or looks implausible."""


def warn(message: str) -> None:
    """Say what was made of an input; commands print it as one line."""
    warnings.warn(_printable(message), InputWarning, stacklevel=3)


def _printable(text: str) -> str:
    shown = (char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)
    return "".join(shown)
