"""Queries of the admin page on `event_logs`: names, events over time, and how many people were active.

They return counts and names only. Every statement is an index-only scan, because the table's rows are wide. The caller
divides time into spans, and each span is counted separately. So only the rows of one span have to be grouped, which
keeps queries on a million rows under a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

import orjson

from telemetry_store.database import Database
from telemetry_store.event_logs import UNKNOWN
from telemetry_store.statements import Statements

TimeSpan: TypeAlias = tuple[datetime, datetime]
"""A half-open interval: includes the first moment, excludes the second."""

MAX_NAMES: Final = 1000
"""The most names that are listed, and counted in each span. An adopted table can hold any number of names."""


@dataclass(frozen=True, slots=True)
class SpanCounts:
    """The number of events in a span.

    Attributes:
        total: All of them.
        by_name: The number for each name; only the most frequent `MAX_NAMES`.
    """

    total: int
    by_name: dict[str, int]


class EventLogPanels:
    """Queries on `event_logs` for operators. Thread-safe.

    Args:
        database: Where the table is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = STATEMENTS.on(database.dialect)

    def names(self) -> list[str]:
        """Return the names of events, in the database's sort order; at most `MAX_NAMES`."""
        return [_text(name) for (name,) in self._rows("names", {"names": MAX_NAMES})]

    def events(self, spans: Sequence[TimeSpan], feature: str = "") -> list[SpanCounts]:
        """Return how many events each span holds, by name.

        Args:
            spans: The spans.
            feature: Count only events of this feature and of those below it, as in the export mode: `search` covers
                `search.results.submit`. Empty counts all events.
        """
        values = {**self._values(spans, feature), "names": MAX_NAMES}
        found = (orjson.loads(_text(counts)) for (counts,) in self._rows("events", values))
        return [SpanCounts(total or 0, by_name or {}) for total, by_name in found]

    def people(self, spans: Sequence[TimeSpan], feature: str = "") -> list[int]:
        """Return how many people were active in each span: distinct user ids, or anonymous ids without one.

        Events without any of these ids are not counted. Arguments as for `events`.
        """
        return [people for (people,) in self._rows("people", self._values(spans, feature))]

    def _values(self, spans: Sequence[TimeSpan], feature: str) -> dict[str, Any]:
        to_driver = self._database.dialect.to_driver
        pairs = [(to_driver(since), to_driver(until)) for since, until in spans]
        values = {"spans": orjson.dumps(pairs).decode(), "unknown": UNKNOWN}
        return {**values, "prefix": f"{feature}."} if feature else values

    def _rows(self, statement: str, values: dict[str, Any]) -> list[Any]:
        text = self._sql[f"{statement}_of_a_feature" if "prefix" in values else statement]
        return list(self._database.read(lambda connection: connection.exec_driver_sql(text, values).all()))


def _text(value: str | bytes) -> str:
    # SQLite returns bytes: a text there can hold bytes that are not valid UTF-8, for which its driver would raise.
    return value if isinstance(value, str) else value.decode(errors="replace")


# substr instead of LIKE, which would treat % and _ in a name as wildcards.
_OF_A_FEATURE: Final = "AND substr(name, 1, length(CAST({prefix} AS text))) = CAST({prefix} AS text)"
# The total includes names that are not counted separately.
_EVENTS: Final = """
    WITH spans AS ({spans})
    SELECT (
        SELECT CAST({json_array}(
            sum(events), {json_object}(name, events) FILTER (WHERE place <= {names})
        ) AS {readable_text})
        FROM (
            SELECT name, count(*) AS events, row_number() OVER (ORDER BY count(*) DESC, name) AS place
            FROM event_logs WHERE timestamp >= since AND timestamp < until {of_a_feature} GROUP BY name
        ) AS named
    )
    FROM spans ORDER BY position
"""
_PEOPLE: Final = """
    WITH spans AS ({spans})
    SELECT (SELECT count(*) FROM (
        SELECT DISTINCT user_id, CASE WHEN user_id = 0 THEN anonymous_user_id END AS anonymous_user_id
        FROM event_logs WHERE timestamp >= since AND timestamp < until {of_a_feature}
            AND (user_id <> 0 OR anonymous_user_id <> {unknown})
    ) AS people)
    FROM spans ORDER BY position
"""


def _of(template: str, condition: str) -> str:
    return template.replace("{of_a_feature}", condition)


_TEMPLATES: Final = {
    "events": _of(_EVENTS, ""),
    "events_of_a_feature": _of(_EVENTS, _OF_A_FEATURE),
    "people": _of(_PEOPLE, ""),
    "people_of_a_feature": _of(_PEOPLE, _OF_A_FEATURE),
    # A loose index scan: one index lookup for each name, no matter how many events have it.
    "names": """
            WITH RECURSIVE names (name) AS (
                SELECT min(name) FROM event_logs
                UNION ALL
                SELECT (SELECT min(name) FROM event_logs WHERE event_logs.name > names.name)
                FROM names WHERE names.name IS NOT NULL
            )
            SELECT CAST(name AS {readable_text}) FROM names WHERE name IS NOT NULL LIMIT {names}
        """,
}
STATEMENTS: Final = Statements(_TEMPLATES)
