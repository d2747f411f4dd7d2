"""Reads the variables that a package declares from a request, as text."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from telemetry.text import text_problem
from telemetry_ingest.collection.nesting import value_is_too_deep
from telemetry_ingest.collection.partial_json import read_object


@dataclass(frozen=True, slots=True)
class Reading:
    """The variables of a request.

    Attributes:
        kept: The declared variables, as text.
        undeclared: Number of other variables, which are dropped.
        unstorable: Number of declared variables that no database can store, or that are nested too deep.
        whole_body: Whether the body was empty, or a complete JSON object.
    """

    kept: Mapping[str, str]
    undeclared: int
    unstorable: int
    whole_body: bool


class KeptVariables:
    """Reads the declared variables from requests.

    Args:
        declared: Their names; `details.version` is the key `version` in the object `details`.
    """

    def __init__(self, declared: Iterable[str]) -> None:
        self._declared = frozenset(declared)
        # The parents of nested names.
        self._parents = frozenset(
            name[:position] for name in self._declared for position, letter in enumerate(name) if letter == "."
        )

    def read(self, path: Mapping[str, str], query: str, body: bytes) -> Reading:
        """Return the declared variables of a request, and count the others.

        If a variable appears several times, the path takes precedence over the query, and the query over the body.

        Args:
            path: The route's variables.
            query: The query string as received.
            body: The body as received, JSON or not.
        """
        found: dict[str, str | None] = {}
        undeclared, whole_body = 0, True
        if body:
            document, whole_body = read_object(body)
            undeclared = self._read_body(document, "", found)
        for name, value in parse_qsl(query, keep_blank_values=True):
            # SECURITY: undeclared variables are never stored, not even on this instance.
            if name in self._declared:
                found[name] = value
            else:
                undeclared += 1
        found.update(path)
        kept = {name: value for name, value in found.items() if value is not None and text_problem(value) is None}
        return Reading(kept, undeclared, len(found) - len(kept), whole_body)

    def _read_body(self, body: Mapping[str, Any], above: str, found: dict[str, str | None]) -> int:
        """Collect the declared variables of an object; return the number of undeclared values."""
        undeclared = 0
        for key, value in body.items():
            name = above + key
            # SECURITY: as above.
            if name in self._declared:
                found[name] = as_text(value)
            elif name in self._parents and isinstance(value, dict):
                undeclared += self._read_body(value, f"{name}.", found)
            else:
                undeclared += 1
        return undeclared


def as_text(value: Any) -> str | None:
    """Return a JSON value as text: text unchanged, other values as JSON; None if it is nested too deep."""
    if isinstance(value, str):
        return value
    if value_is_too_deep(value):
        return None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
