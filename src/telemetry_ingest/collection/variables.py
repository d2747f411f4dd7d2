"""What is kept of a request: the variables that its package declares, as text."""

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
    """What was found in a request.

    Attributes:
        kept: The declared variables, as text.
        undeclared: How many others there were.
        unstorable: How many declared ones no database could hold, or go too deep.
        whole_body: Whether the body was empty, or a whole JSON object.
    """

    kept: Mapping[str, str]
    undeclared: int
    unstorable: int
    whole_body: bool


class KeptVariables:
    """Takes the declared variables out of requests.

    Args:
        declared: Their names; `details.version` is the key `version` inside the key `details`.
    """

    def __init__(self, declared: Iterable[str]) -> None:
        self._declared = frozenset(declared)
        # What a declared name stands inside of.
        self._above = frozenset(
            name[:position] for name in self._declared for position, letter in enumerate(name) if letter == "."
        )

    def read(self, path: Mapping[str, str], query: str, body: bytes) -> Reading:
        """Returns what is kept of a request, and counts what is not.

        Of a variable that comes twice, the path's value wins over the query's, and the query's over the body's.

        Args:
            path: The route's variables.
            query: As it came.
            body: As it came, JSON or not.
        """
        found: dict[str, str | None] = {}
        undeclared, whole_body = 0, True
        if body:
            document, whole_body = read_object(body)
            undeclared = self._read_body(document, "", found)
        for name, value in parse_qsl(query, keep_blank_values=True):
            # SECURITY: what no package declares is not kept, not even on the instance.
            if name in self._declared:
                found[name] = value
            else:
                undeclared += 1
        found.update(path)
        kept = {name: value for name, value in found.items() if value is not None and text_problem(value) is None}
        return Reading(kept, undeclared, len(found) - len(kept), whole_body)

    def _read_body(self, body: Mapping[str, Any], above: str, found: dict[str, str | None]) -> int:
        """Takes what is declared out of an object; returns how many of its values are not."""
        undeclared = 0
        for key, value in body.items():
            name = above + key
            # SECURITY: as above.
            if name in self._declared:
                found[name] = as_text(value)
            elif name in self._above and isinstance(value, dict):
                undeclared += self._read_body(value, f"{name}.", found)
            else:
                undeclared += 1
        return undeclared


def as_text(value: Any) -> str | None:
    """Returns a JSON value as text: text as it is, everything else as its JSON; None where that goes too deep."""
    if isinstance(value, str):
        return value
    if value_is_too_deep(value):
        return None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
