"""Reviewed TOML files: lists of tables, whose faults are told with the line that they stand on."""

import re
import tomllib
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from telemetry.errors import InvalidInputError
from telemetry.names import NAME_RULE, is_valid_name


class Lines:
    """Finds the lines of a TOML text that its tables and their fields stand on.

    Args:
        text: The file's text.
        origin: The file's name, for people.
        table: The name of the list of tables, as in `[[event]]`.
    """

    def __init__(self, text: str, origin: str, table: str) -> None:
        self._lines = text.splitlines()
        self._origin = origin
        self._table = re.escape(table)
        header = re.compile(rf"\s*\[\[\s*{self._table}\s*\]\]")
        self._headers = [number for number, line in enumerate(self._lines) if header.match(line)]

    def find(self, field: str, entry: int | None = None, *, within: str = "") -> str:
        """Returns where `field` stands in the numbered entry; else `within`, else the entry, else the file."""
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
    """One table of a file.

    Attributes:
        fields: What stands in it.
        origin: Where it begins, for people.
    """

    fields: dict[str, Any]
    origin: str
    _index: int
    _lines: Lines
    _error: type[InvalidInputError]

    def fault(self, field: str, problem: str, *, within: str = "") -> InvalidInputError:
        """Returns the error to raise, with the line of `field`; else that of `within`, else the table's."""
        return self._error(self._lines.find(field, self._index, within=within if field else ""), problem)

    def check_fields(self, known: frozenset[str], required: tuple[str, ...]) -> None:
        """Checks that no field is unknown and none is missing.

        Raises:
            InvalidInputError: Of the file's class.
        """
        if unknown := sorted(set(self.fields) - known):
            raise self.fault(unknown[0], f"unknown field {unknown[0]!r}; known: {', '.join(sorted(known))}")
        if missing := [name for name in required if name not in self.fields]:
            raise self.fault("", f"the entry lacks {', '.join(missing)}")

    def text(self, field: str, meaning: str) -> str:
        """Returns a field that must hold text, without space around it.

        Args:
            field: Its name.
            meaning: What it must say, for the error.

        Raises:
            InvalidInputError: Of the file's class.
        """
        value = self.fields[field]
        if not isinstance(value, str) or not value.strip():
            raise self.fault(field, f"{field} must say {meaning}")
        return value.strip()

    def name(self, field: str) -> str:
        """Returns a field that must hold a feature or an action.

        Raises:
            InvalidInputError: Of the file's class.
        """
        value = self.fields[field]
        if not isinstance(value, str) or not is_valid_name(value):
            raise self.fault(field, f"{field} could never be recorded: it {NAME_RULE}")
        return value

    def day(self, field: str) -> date:
        """Returns a field that must hold a date.

        Raises:
            InvalidInputError: Of the file's class.
        """
        value = self.fields[field]
        if not isinstance(value, date) or isinstance(value, datetime):
            raise self.fault(field, f"{field} must be a date without quotes, such as 2026-01-31")
        return value

    def reason(self, field: str, noun: str, key: str) -> str:
        """Returns the reason that stands beside a key of the table `field`.

        Raises:
            InvalidInputError: Of the file's class.
        """
        value = self.fields[field][key]
        if not isinstance(value, str) or not value.strip():
            raise self.fault(key, f"{noun} {key!r} has no reason", within=field)
        return value.strip()


def read_tables(text: str, origin: str, table: str, error: type[InvalidInputError]) -> list[ReviewedTable]:
    """Reads a file that holds one list of tables and nothing else.

    Args:
        text: The file's text, TOML.
        origin: The file's name, for errors.
        table: The name of the list, as in `[[event]]`.
        error: The class to raise; its `field` says the file and the line.

    Raises:
        InvalidInputError: Of the class `error`: the text is no TOML, or holds anything else.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        raise error(origin, f"is no TOML: {fault}") from None
    except RecursionError:
        raise error(origin, "is nested too deeply") from None
    lines = Lines(text, origin, table)
    if unknown := sorted(set(document) - {table}):
        raise error(lines.find(unknown[0]), f"unknown field {unknown[0]!r}; entries are [[{table}]] tables")
    tables = document.get(table, [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise error(lines.find(table), f"entries are [[{table}]] tables")
    return [ReviewedTable(fields, lines.find("", index), index, lines, error) for index, fields in enumerate(tables)]
