"""Reads JSON objects; of a truncated object, the complete members.

Scarf's npm client sets Content-Length in characters instead of bytes, so bodies with non-ASCII names arrive truncated.
"""

import codecs
import json
import re
from typing import Any, Final, NoReturn

import orjson

from telemetry_ingest.collection.nesting import text_is_too_deep

_MAX_DEPTH: Final = 32
_AFTER_NUMBERS: Final = frozenset(" \t\n\r,}")
_SPACE: Final = re.compile(r"[ \t\n\r]*")


def read_object(body: bytes) -> tuple[dict[str, Any], bool]:
    """Return the JSON object of a body, and whether it is complete.

    The object is empty if the body is not a JSON object.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _read_start(body), False
    return (found, True) if isinstance(found, dict) else ({}, False)


def _read_start(body: bytes) -> dict[str, Any]:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(body)  # drops a truncated character
    except UnicodeDecodeError:
        return {}
    reader = _Reader(text)
    start = reader.skip_space(0)
    found: dict[str, Any] = {}
    if text[start : start + 1] == "{":
        reader.read_members(start + 1, found, 1)
    return found


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("not JSON")


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._decoder = json.JSONDecoder(parse_constant=_refuse)

    def skip_space(self, at: int) -> int:
        found = _SPACE.match(self._text, at)
        return at if found is None else found.end()

    def read_members(self, at: int, target: dict[str, Any], depth: int) -> int | None:
        """Read members into `target` and return the position after the object; None if it is truncated or invalid."""
        at = self.skip_space(at)
        if self._text[at : at + 1] == "}":
            return at + 1
        while self._text[at : at + 1] == '"':  # a name begins
            after = self._read_member(at, target, depth)
            if after is None:
                return None
            at = self.skip_space(after)
            if self._text[at : at + 1] == "}":
                return at + 1
            if self._text[at : at + 1] != ",":
                return None
            at = self.skip_space(at + 1)
        return None

    def _read_member(self, at: int, target: dict[str, Any], depth: int) -> int | None:
        try:
            key, at = self._decoder.raw_decode(self._text, at)
            at = self.skip_space(at)
            if self._text[at : at + 1] != ":":
                return None
            at = self.skip_space(at + 1)
            if self._text[at : at + 1] == "{" and depth < _MAX_DEPTH:
                target[key] = {}
                return self.read_members(at + 1, target[key], depth + 1)
            if self._text[at : at + 1] in ("[", "{") and text_is_too_deep(self._text, at):
                return None
            value, at = self._decoder.raw_decode(self._text, at)
        except ValueError:
            return None
        if type(value) in (int, float) and self._text[at : at + 1] not in _AFTER_NUMBERS:
            return None  # without a delimiter after it the number may be truncated
        target[key] = value
        return at
