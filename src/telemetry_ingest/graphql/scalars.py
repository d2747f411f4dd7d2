"""Custom scalars: DateTime and JSONValue."""

import re
from datetime import UTC, datetime
from typing import Any, Final

from ariadne import ScalarType

_RFC_3339: Final = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)

date_time = ScalarType("DateTime")
json_value = ScalarType("JSONValue")


@date_time.value_parser
def parse_date_time(value: Any) -> datetime:
    """Parse an RFC 3339 time, truncated to microseconds.

    Raises:
        ValueError: It is not an RFC 3339 time.
    """
    if not isinstance(value, str) or _RFC_3339.fullmatch(value) is None:
        raise ValueError("not an RFC 3339 time")
    return datetime.fromisoformat(value.upper())


@date_time.serializer
def write_date_time(value: datetime) -> str:
    """Format a time as RFC 3339, in UTC."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


@json_value.value_parser
def parse_json_value(value: Any) -> Any:
    """Return the value unchanged: it was parsed from JSON."""
    return value


@json_value.serializer
def write_json_value(value: Any) -> Any:
    """Return the value unchanged: it is written as JSON."""
    return value
