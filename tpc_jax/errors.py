"""The error a command shows to its user as one line, without a traceback."""


class UserError(Exception):
    """Input that the user can mend; the message names the input, the fault and the remedy."""
