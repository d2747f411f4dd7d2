"""The queue's statements as text, made once for each database's driver.

A statement names its places in braces: `{queue}` and `{ledger}` are tables, `{ids}` is the set of ids
that it is for, `{text_id}` an id as text. Every other name is a parameter.

`{in_utc}` follows an event's time that is read. PostgreSQL would give it in the session's time zone, where the first or
the last hours that an event may have lie outside the years 1 to 9999, which Python cannot read; one such row would
keep all others from being leased.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

QUEUE: Final = "telemetry_events_export_queue"
LEDGER: Final = "telemetry_export_ledger"


class _Places(dict[str, str]):
    """What stands at each place; a name that is not known is a parameter."""

    def __init__(self, parameter: str, **places: str) -> None:
        super().__init__(queue=QUEUE, ledger=LEDGER, **places)
        self._parameter = parameter

    def __missing__(self, name: str) -> str:
        return self._parameter.format(name)


def for_sqlite(statements: Mapping[str, str]) -> dict[str, str]:
    """Returns statements as SQLite's driver takes them, with named parameters."""
    places = _Places(":{}", ids="IN (SELECT value FROM json_each(:ids))", text_id="id", in_utc="")
    return {name: statement.format_map(places) for name, statement in statements.items()}


def for_postgresql(statements: Mapping[str, str]) -> dict[str, str]:
    """Returns statements as psycopg takes them, with named parameters."""
    places = _Places("%({})s", ids="= ANY(%(ids)s::uuid[])", text_id="id::text", in_utc=" AT TIME ZONE 'UTC'")
    return {name: statement.format_map(places) for name, statement in statements.items()}


def ids_parameter(ids: Sequence[str], *, is_sqlite: bool) -> str:
    """Returns ids as the parameter `ids`: one text, because an array would be quoted element by element in Python."""
    return json.dumps(list(ids)) if is_sqlite else f"{{{','.join(ids)}}}"
