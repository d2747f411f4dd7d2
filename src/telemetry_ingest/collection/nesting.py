"""How deep a value may go: a rule of ours, because the limits of JSON's readers and writers depend on Python."""

import re
from collections.abc import Iterable
from typing import Any, Final

MAX_LEVELS: Final = 100
"""The most lists and objects inside each other. No ping needs them, and no version of Python fails on so few."""

# A string, whole or cut, or a bracket outside of strings. Possessive, so that a cut string is read only once.
_STRINGS_AND_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def value_is_too_deep(value: Any) -> bool:
    """Return whether a JSON value has more than `MAX_LEVELS` levels."""
    level, levels = _lists_and_objects([value]), 0
    while level and levels <= MAX_LEVELS:
        level = _lists_and_objects(inner for outer in level for inner in _inside(outer))
        levels += 1
    return levels > MAX_LEVELS


def text_is_too_deep(text: str, at: int) -> bool:
    """Return whether the list or object that begins at a place of a text has more than `MAX_LEVELS` levels."""
    levels = 0
    for found in _STRINGS_AND_BRACKETS.finditer(text, at):
        bracket = found[0]
        if bracket in ("[", "{"):
            levels += 1
        elif bracket in ("]", "}"):
            levels -= 1
        if levels > MAX_LEVELS:
            return True
        if levels <= 0:
            break
    return False


def _lists_and_objects(values: Iterable[Any]) -> list[Any]:
    return [value for value in values if isinstance(value, list | dict)]


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
