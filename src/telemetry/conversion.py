"""What to write instead of a value that an event cannot hold. Looks at the value's type alone, never at the value."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from numbers import Rational
from typing import Final
from uuid import UUID

_NUMBERS: Final = "must be a finite int, float or bool"
_JSON: Final = "must be str, int, float, bool, None, or a list, tuple or mapping of these"
_ACCEPTED_NAMES: Final = frozenset({"bool", "int", "float", "str", "list", "tuple"})


def number_wanted(value: object) -> str:
    """Return what is wrong with a value of `metadata` that is not a number, and how to convert it."""
    kind = type(value)
    return f"{_NUMBERS}, not {_name(kind)}; {_as_number(kind)}"


def json_wanted(value: object) -> str:
    """Return what is wrong with a value of `private_metadata` that is not JSON, and how to convert it."""
    kind = type(value)
    return f"{_JSON}, not {_name(kind)}; {_as_json(kind)}"


def _name(kind: type) -> str:
    # numpy's own `bool` and `int` would otherwise read "must be bool, not bool".
    ambiguous = kind.__name__ in _ACCEPTED_NAMES and kind.__module__ != "builtins"
    return f"{kind.__module__}.{kind.__name__}" if ambiguous else kind.__name__


def _as_number(kind: type) -> str:
    if advice := next((advice for found, advice in _NUMBER_ADVICE if found(kind)), None):
        return advice
    if call := _number_call(kind):
        return f"convert it with {call}"
    if issubclass(kind, Iterable):
        return "structures belong into private_metadata"
    return "convert it to a number, or put str(value) into private_metadata"


def _as_json(kind: type) -> str:
    call = next((call for found, call in _JSON_CALLS if found(kind)), None) or _number_call(kind)
    if call is None:
        call = "list(value)" if issubclass(kind, Iterable) else "str(value)"
    return f"convert it with {call}"


# The first that fits is said, so the order matters: a datetime is a date, and a UUID has an int that no double holds.
_NUMBER_ADVICE: Final[Sequence[tuple[Callable[[type], bool], str]]] = (
    (lambda kind: kind is type(None), "leave the key out"),
    (lambda kind: issubclass(kind, bytes | bytearray), "text belongs into private_metadata"),
    (
        lambda kind: issubclass(kind, Enum),
        "convert it with value.value if that is a number, or put value.name into private_metadata",
    ),
    (
        lambda kind: issubclass(kind, datetime),
        "convert it with value.timestamp(), or put value.isoformat() into private_metadata",
    ),
    (lambda kind: issubclass(kind, date | time), "put value.isoformat() into private_metadata"),
    (lambda kind: issubclass(kind, timedelta), "convert it with value.total_seconds()"),
    (lambda kind: issubclass(kind, UUID), "put str(value) into private_metadata"),
)
_JSON_CALLS: Final[Sequence[tuple[Callable[[type], bool], str]]] = (
    (lambda kind: issubclass(kind, Enum), "value.value or value.name"),
    (lambda kind: issubclass(kind, Decimal | Rational), "str(value), or with float(value)"),
    (lambda kind: issubclass(kind, date | time), "value.isoformat()"),
    (lambda kind: issubclass(kind, timedelta), "value.total_seconds()"),
    (lambda kind: issubclass(kind, UUID) or hasattr(kind, "__fspath__"), "str(value)"),
    (lambda kind: issubclass(kind, bytes | bytearray), "value.decode() if it is text, or value.hex()"),
    (lambda kind: hasattr(kind, "model_dump"), 'value.model_dump(mode="json")'),
    (dataclasses.is_dataclass, "dataclasses.asdict(value)"),
    (
        lambda kind: hasattr(kind, "tolist") and issubclass(kind, Iterable) and hasattr(kind, "__len__"),
        "value.tolist()",
    ),
)


def _number_call(kind: type) -> str | None:
    """Return the call that makes a plain number of a number of another library, or of a Decimal."""
    if _is_numpy_time(kind) or issubclass(kind, complex):
        return None
    if kind.__name__.startswith("bool"):
        return "bool(value)"
    if hasattr(kind, "__index__"):
        return "int(value)"
    # Arrays have it, too, for their only element.
    return "float(value)" if hasattr(kind, "__float__") and not issubclass(kind, Iterable) else None


def _is_numpy_time(kind: type) -> bool:
    # These claim to be convertible to any number, and are not.
    return kind.__name__ in ("datetime64", "timedelta64")
