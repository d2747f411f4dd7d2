"""What the operators' page reads of `event_logs`: names, events over time, and how many people were active.

Counts and names only. Every statement is answered from an index alone: of a table whose rows are wide, nothing
else is read. Time is cut into spans that the caller gives, and each span is counted by itself: so what has to be
grouped is one span's rows, not all of them, which is what keeps a million rows under a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

import orjson

from telemetry_store.database import Database
from telemetry_store.event_logs import UNKNOWN

Span: TypeAlias = tuple[datetime, datetime]
"""From a moment until just before another."""

MAX_NAMES: Final = 1000
"""The most names that are told apart, in the list and in each span. An adopted table can hold any number."""


class Statement(Protocol):
    """Makes a statement's text."""

    def __call__(self, *, is_sqlite: bool, of_a_feature: bool) -> str:
        """Returns it for a database, with or without a place for the prefix of names."""
        ...


@dataclass(frozen=True, slots=True)
class SpanCounts:
    """The events of a span.

    Attributes:
        total: All of them.
        by_name: How many had each name; only the most frequent `MAX_NAMES`.
    """

    total: int
    by_name: dict[str, int]


class EventLogPanels:
    """`event_logs` as operators look at it. Threads may share one.

    Args:
        database: Where the table is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def names(self) -> list[str]:
        """Returns the names that events have, sorted as the database sorts; at most `MAX_NAMES`."""
        values = {"names": MAX_NAMES}
        return [_text(name) for (name,) in self._rows(names_statement, values)]

    def events(self, spans: Sequence[Span], feature: str = "") -> list[SpanCounts]:
        """Returns how many events each span holds, by name.

        Args:
            spans: Which spans.
            feature: Only events of this feature and of those below it, as in the export mode: `search` covers
                `search.results.submit`. Empty: all.
        """
        values = {**self._values(spans, feature), "names": MAX_NAMES}
        found = (orjson.loads(_text(counts)) for (counts,) in self._rows(events_statement, values))
        return [SpanCounts(total or 0, by_name or {}) for total, by_name in found]

    def people(self, spans: Sequence[Span], feature: str = "") -> list[int]:
        """Returns how many people were active in each span: different user ids, and anonymous ids where there is none.

        An event of nobody in particular counts for nobody. Arguments as for `events`.
        """
        return [people for (people,) in self._rows(people_statement, self._values(spans, feature))]

    def _values(self, spans: Sequence[Span], feature: str) -> dict[str, Any]:
        since = [self._database.to_driver(span[0]) for span in spans]
        until = [self._database.to_driver(span[1]) for span in spans]
        values: dict[str, Any] = {"since": since, "until": until}
        if self._database.is_sqlite:
            values = {"spans": orjson.dumps(list(zip(since, until, strict=True))).decode()}
        return {**values, "prefix": f"{feature}."} if feature else values

    def _rows(self, statement: Statement, values: dict[str, Any]) -> list[Any]:
        text = statement(is_sqlite=self._database.is_sqlite, of_a_feature="prefix" in values)
        return list(self._database.read(lambda connection: connection.exec_driver_sql(text, values).all()))


def _text(value: str | bytes) -> str:
    # SQLite is asked for bytes: a text there can hold some that are none, which its driver would refuse.
    return value if isinstance(value, str) else value.decode(errors="replace")


_SPANS_SQLITE: Final = """
    SELECT key AS position, json_extract(value, '$[0]') AS since, json_extract(value, '$[1]') AS until
    FROM json_each(:spans)
"""
_SPANS_POSTGRESQL: Final = """
    SELECT position, since, until
    FROM unnest(%(since)s::timestamptz[], %(until)s::timestamptz[]) WITH ORDINALITY AS given (since, until, position)
"""
_WITHIN: Final = "timestamp >= since AND timestamp < until"
# By substr, because LIKE would take a name's own % and _ for patterns.
_OF_A_FEATURE: Final = "AND substr(name, 1, length({prefix})) = {prefix}"
# The total counts the names, too, that are not told apart.
_EVENTS: Final = """
    WITH spans AS ({spans})
    SELECT (
        SELECT CAST({as_array}(sum(events), {as_object}(name, events) FILTER (WHERE place <= {names})) AS {text})
        FROM (
            SELECT name, count(*) AS events, row_number() OVER (ORDER BY count(*) DESC, name) AS place
            FROM event_logs WHERE {within} {of_a_feature} GROUP BY name
        ) AS named
    )
    FROM spans ORDER BY position
"""
_PEOPLE: Final = """
    WITH spans AS ({spans})
    SELECT (SELECT count(*) FROM (
        SELECT DISTINCT user_id, CASE WHEN user_id = 0 THEN anonymous_user_id END AS anonymous_user_id
        FROM event_logs WHERE {within} {of_a_feature} AND (user_id <> 0 OR anonymous_user_id <> '{unknown}')
    ) AS people)
    FROM spans ORDER BY position
"""
# From each name the index leads to the next one: a step a name, however many events have it.
_NAMES: Final = """
    WITH RECURSIVE names (name) AS (
        SELECT min(name) FROM event_logs
        UNION ALL
        SELECT (SELECT min(name) FROM event_logs WHERE event_logs.name > names.name)
        FROM names WHERE names.name IS NOT NULL
    )
    SELECT CAST(name AS {text}) FROM names WHERE name IS NOT NULL LIMIT {names}
"""
_SQLITE: Final = {
    "spans": _SPANS_SQLITE,
    "prefix": ":prefix",
    "as_array": "json_array",
    "as_object": "json_group_object",
    "text": "BLOB",
    "names": ":names",
}
_POSTGRESQL: Final = {
    "spans": _SPANS_POSTGRESQL,
    "prefix": "%(prefix)s::text",
    "as_array": "json_build_array",
    "as_object": "json_object_agg",
    "text": "text",
    "names": "%(names)s",
}


def _statement(template: str, *, is_sqlite: bool, of_a_feature: bool) -> str:
    places = _SQLITE if is_sqlite else _POSTGRESQL
    chosen = _OF_A_FEATURE.format_map(places) if of_a_feature else ""
    return template.format_map({**places, "within": _WITHIN, "of_a_feature": chosen, "unknown": UNKNOWN})


names_statement: Final[Statement] = partial(_statement, _NAMES)
events_statement: Final[Statement] = partial(_statement, _EVENTS)
people_statement: Final[Statement] = partial(_statement, _PEOPLE)
