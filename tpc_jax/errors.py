"""What is wrong with an input, as one line without a traceback: errors, and what is only said."""

import warnings


class UserError(Exception):
    """Input that the user can mend; the message names the input, the fault and the remedy."""


class InputWarning(UserWarning):
    """What was made of an input that says less than is needed, or looks implausible."""


def warn(message: str) -> None:
    """Say what was made of an input; commands print it as one line."""
    warnings.warn(message, InputWarning, stacklevel=3)
