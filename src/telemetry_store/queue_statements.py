"""Statements as text, made once for each database's driver: those about the queue, the ledger and `event_logs`.

A statement names its places in braces: `{queue}` and `{ledger}` are tables, `{ids}` is the set of ids
that it is for, `{text_id}` an id as text, `{day}` the day of `timestamp` in UTC, such as `20260131`,
`{listed_days}` is the set of days that it is for, `{exportable}` whether a row of `event_logs` was queued for
export. Every other name is a parameter.

`{in_utc}` follows an event's time that is read. PostgreSQL would give it in the session's time zone, where the first or
the last hours that an event may have lie outside the years 1 to 9999, which Python cannot read; one such row would
keep all others from being leased.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

QUEUE: Final = "telemetry_events_export_queue"
LEDGER: Final = "telemetry_export_ledger"


EXPORTABLE_MARK: Final = "telemetry.event.exportable"
"""The key in `event_logs.public_argument` that says whether an event was queued for export."""


class _Places(dict[str, str]):
    """What stands at each place; a name that is not known is a parameter."""

    def __init__(self, parameter: str, **places: str) -> None:
        super().__init__(queue=QUEUE, ledger=LEDGER, **places)
        self._parameter = parameter

    def __missing__(self, name: str) -> str:
        return self._parameter.format(name)


def for_sqlite(statements: Mapping[str, str]) -> dict[str, str]:
    """Returns statements as SQLite's driver takes them, with named parameters."""
    places = _Places(
        ":{}",
        ids="IN (SELECT value FROM json_each(:ids))",
        listed_days="IN (SELECT value FROM json_each(:days))",
        text_id="id",
        in_utc="",
        day="replace(substr(timestamp, 1, 10), '-', '')",
        # An adopted table may hold any text there.
        exportable="CASE WHEN json_valid(public_argument) "
        f"""THEN json_extract(public_argument, '$."{EXPORTABLE_MARK}"') = 1 ELSE 0 END""",
    )
    return {name: statement.format_map(places) for name, statement in statements.items()}


def for_postgresql(statements: Mapping[str, str]) -> dict[str, str]:
    """Returns statements as psycopg takes them, with named parameters."""
    places = _Places(
        "%({})s",
        ids="= ANY(%(ids)s::uuid[])",
        listed_days="= ANY(%(days)s::text[])",
        text_id="id::text",
        in_utc=" AT TIME ZONE 'UTC'",
        day="left(to_char(timestamp AT TIME ZONE 'UTC', 'YYYYMMDD'), 8)",
        exportable=f"""public_argument @> '{{"{EXPORTABLE_MARK}": true}}'""",
    )
    return {name: statement.format_map(places) for name, statement in statements.items()}


def ids_parameter(ids: Sequence[str], *, is_sqlite: bool) -> str:
    """Returns ids as the parameter `ids`, or days as `days`.

    As one text: an array would be quoted element by element in Python.
    """
    return json.dumps(list(ids)) if is_sqlite else f"{{{','.join(ids)}}}"
