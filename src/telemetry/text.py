"""Checks that text can be stored in both databases, JSON and protobuf."""

from telemetry.errors import InvalidInputError

NUL_RULE = "text must not contain NUL (U+0000), which PostgreSQL cannot store"
SURROGATE_RULE = "text must not contain lone surrogates, which UTF-8 cannot encode"


def text_problem(value: str) -> str | None:
    """Return the rule that `value` breaks; None if it can be stored everywhere."""
    if "\0" in value:
        return NUL_RULE
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            return SURROGATE_RULE
    return None


def check_text(
    field: str, value: object, error: type[InvalidInputError], *, min_length: int = 0, max_length: int | None = None
) -> str:
    """Return `value` if it is storable text with a valid length in characters.

    Args:
        field: The caller's name of the input, for the error.
        value: The value to check.
        error: The class to raise.
        min_length: Minimum number of characters.
        max_length: Maximum number of characters; None if only the limit of the whole event applies.

    Raises:
        InvalidInputError: An error of the class `error`, with the rule but never the value.
    """
    if not isinstance(value, str):
        raise error(field, f"must be text, not {type(value).__name__}")
    if problem := text_problem(value):
        raise error(field, problem)
    if len(value) < min_length:
        raise error(field, "must not be empty")
    if max_length is not None and len(value) > max_length:
        raise error(field, f"must have at most {max_length} characters, has {len(value)}")
    return value
