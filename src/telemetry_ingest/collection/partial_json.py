"""Reads JSON objects, cut ones as far as they go.

Scarf's npm client counts characters where its header wants bytes: for names that are not ASCII its body arrives cut.
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
    """Returns what a body holds of a JSON object, and whether that is all of it.

    Of a body that is none, nothing.
    """
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return _read_start(body), False
    return (found, True) if isinstance(found, dict) else ({}, False)


def _read_start(body: bytes) -> dict[str, Any]:
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(body)  # leaves out a character that is cut
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
        """Reads members into `target` until the object ends; returns where, None where it is cut or no JSON."""
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
            return None  # of a number that nothing ends nobody knows whether it is whole
        target[key] = value
        return at
