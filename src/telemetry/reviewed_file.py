"""Reviewed TOML files: lists of tables, with errors that name the line."""

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from telemetry.errors import InvalidInputError
from telemetry.names import NAME_RULE, is_valid_name


class Lines:
    """Finds the lines of tables and fields in a TOML text.

    Args:
        text: The file's text.
        origin: The file's name, for messages.
        table: The name of the list of tables, as in `[[event]]`.
    """

    def __init__(self, text: str, origin: str, table: str) -> None:
        self._lines = text.splitlines()
        self._origin = origin
        self._table = re.escape(table)
        header = re.compile(rf"\s*\[\[\s*{self._table}\s*\]\]")
        self._headers = [number for number, line in enumerate(self._lines) if header.match(line)]

    def find(self, field: str, entry: int | None = None, *, within: str = "") -> str:
        """Return the line of `field` in the numbered entry; else of `within`, else of the entry, else of the file."""
        start, end = 0, len(self._lines)
        if entry is not None and entry < len(self._headers):
            start = self._headers[entry]
            end = self._headers[entry + 1] if entry + 1 < len(self._headers) else end
        name = re.compile(rf"\s*(\[\[?\s*({self._table}\.)?)?[\"']?{re.escape(field)}[\"']?\s*[=.\]]")
        number = next((number for number in range(start, end) if name.match(self._lines[number])), None)
        if number is None and within:
            return self.find(within, entry)
        return f"{self._origin}, line {(start if number is None else number) + 1}"


@dataclass(frozen=True, slots=True)
class ReviewedTable:
    """A table of a file.

    Attributes:
        fields: Its fields.
        origin: File and line where it begins, for messages.
    """

    fields: dict[str, Any]
    origin: str
    _index: int
    _lines: Lines
    _error: type[InvalidInputError]

    def fault(self, field: str, problem: str, *, within: str = "") -> InvalidInputError:
        """Return the error to raise, with the line of `field`; else of `within`, else of the table."""
        return self._error(self._lines.find(field, self._index, within=within if field else ""), problem)

    def check_fields(self, known: frozenset[str], required: tuple[str, ...]) -> None:
        """Check that no field is unknown or missing.

        Raises:
            InvalidInputError: An error of the file's class.
        """
        if unknown := sorted(set(self.fields) - known):
            raise self.fault(unknown[0], f"unknown field {unknown[0]!r}; known: {', '.join(sorted(known))}")
        if missing := [name for name in required if name not in self.fields]:
            raise self.fault("", f"is missing {', '.join(missing)}")

    def text(self, field: str, meaning: str) -> str:
        """Return a required text field, stripped.

        Args:
            field: Name of the field.
            meaning: What the text means, for the error.

        Raises:
            InvalidInputError: An error of the file's class.
        """
        value = self.fields[field]
        if not isinstance(value, str) or not value.strip():
            raise self.fault(field, f"{field} must be text: {meaning}")
        return value.strip()

    def name(self, field: str) -> str:
        """Return a field that contains a feature or an action.

        Raises:
            InvalidInputError: An error of the file's class.
        """
        value = self.fields[field]
        if not isinstance(value, str) or not is_valid_name(value):
            raise self.fault(field, f"{field} cannot be recorded: it {NAME_RULE}")
        return value

    def day(self, field: str) -> date:
        """Return a field that contains a date.

        Raises:
            InvalidInputError: An error of the file's class.
        """
        value = self.fields[field]
        if not isinstance(value, date) or isinstance(value, datetime):
            raise self.fault(field, f"{field} must be a date without quotes, such as 2026-01-31")
        return value

    def reason(self, field: str, noun: str, key: str) -> str:
        """Return the reason of a key of the table `field`.

        Raises:
            InvalidInputError: An error of the file's class.
        """
        value = self.fields[field][key]
        if not isinstance(value, str) or not value.strip():
            raise self.fault(key, f"{noun} {key!r} has no reason", within=field)
        return value.strip()


def read_tables(text: str, origin: str, table: str, error: type[InvalidInputError]) -> list[ReviewedTable]:
    """Parse a file that contains one list of tables and nothing else.

    Args:
        text: The file's text, TOML.
        origin: The file's name, for errors.
        table: The name of the list, as in `[[event]]`.
        error: The class to raise; its `field` gets the file and the line.

    Raises:
        InvalidInputError: An error of the class `error`: the text is not valid TOML, or contains anything else.
    """
    import tomllib  # noqa: PLC0415 - most processes that record read no such file

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise error(origin, f"is not valid TOML: {fault}") from None
    except RecursionError:
        raise error(origin, "is nested too deeply") from None
    lines = Lines(text, origin, table)
    if unknown := sorted(set(document) - {table}):
        raise error(lines.find(unknown[0]), f"unknown field {unknown[0]!r}; entries are [[{table}]] tables")
    tables = document.get(table, [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise error(lines.find(table), f"entries are [[{table}]] tables")
    return [ReviewedTable(fields, lines.find("", index), index, lines, error) for index, fields in enumerate(tables)]
