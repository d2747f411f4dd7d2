"""Text that both databases, JSON and protobuf can hold."""

from telemetry.errors import InvalidInputError

NUL_RULE = "text must not contain NUL (U+0000), which PostgreSQL cannot hold"
SURROGATE_RULE = "text must not contain lone surrogates, which UTF-8 cannot encode"


def text_problem(value: str) -> str | None:
    """Returns the rule that `value` breaks, or None when every store can hold it."""
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
    """Returns `value` when it is storable text of a length within the bounds, in characters.

    Args:
        field: How the caller knows this input; it starts the error's text.
        value: What was given.
        error: The class to raise.
        min_length: Fewest characters.
        max_length: Most characters; None leaves the bound to the limit of the whole event.

    Raises:
        InvalidInputError: Of the class `error`, saying the rule and never the value.
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
