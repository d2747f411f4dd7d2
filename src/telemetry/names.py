"""The rule for `feature` and `action`, as in the wire contract."""

import re

from telemetry.errors import InvalidNameError

MAX_NAME_LENGTH = 64
NAME_RULE = (
    f"must be 2 to {MAX_NAME_LENGTH} ASCII letters, dashes or dots, "
    "the first a lower-case letter (no digits, underscores or spaces)"
)

# `fullmatch` below is part of the rule: with `match`, `$` would let a trailing newline through.
_NAME = re.compile(r"[a-z][a-zA-Z\-.]+")


def is_valid_name(name: object) -> bool:
    """Return whether `name` is a valid feature or action."""
    return isinstance(name, str) and len(name) <= MAX_NAME_LENGTH and _NAME.fullmatch(name) is not None


def check_name(field: str, name: object) -> None:
    """Check a feature or an action.

    Args:
        field: `feature` or `action`, for the error.
        name: The name to check.

    Raises:
        InvalidNameError: The name is invalid. The message has the rule, never the name: a name
            built at run time may contain private data.
    """
    if not is_valid_name(name):
        kind = "" if isinstance(name, str) else f" (given: {type(name).__name__}, not text)"
        raise InvalidNameError(field, NAME_RULE + kind)
