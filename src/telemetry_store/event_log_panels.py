"""What the operators' page reads of `event_logs`: names, events over time, and how many people were active.

Counts and names only. Every statement is answered from an index alone: of a table whose rows are wide, nothing
else is read. Time is cut into spans that the caller gives, and each span is counted by itself: so what has to be
grouped is one span's rows, not all of them, which is what keeps a million rows under a second.
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
"""From a moment until just before another."""

MAX_NAMES: Final = 1000
"""The most names that are told apart, in the list and in each span. An adopted table can hold any number."""


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
        self._sql = STATEMENTS.on(database.dialect)

    def names(self) -> list[str]:
        """Returns the names that events have, sorted as the database sorts; at most `MAX_NAMES`."""
        return [_text(name) for (name,) in self._rows("names", {"names": MAX_NAMES})]

    def events(self, spans: Sequence[TimeSpan], feature: str = "") -> list[SpanCounts]:
        """Returns how many events each span holds, by name.

        Args:
            spans: Which spans.
            feature: Only events of this feature and of those below it, as in the export mode: `search` covers
                `search.results.submit`. Empty: all.
        """
        values = {**self._values(spans, feature), "names": MAX_NAMES}
        found = (orjson.loads(_text(counts)) for (counts,) in self._rows("events", values))
        return [SpanCounts(total or 0, by_name or {}) for total, by_name in found]

    def people(self, spans: Sequence[TimeSpan], feature: str = "") -> list[int]:
        """Returns how many people were active in each span: different user ids, and anonymous ids where there is none.

        An event of nobody in particular counts for nobody. Arguments as for `events`.
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
    # SQLite is asked for bytes: a text there can hold some that are none, which its driver would refuse.
    return value if isinstance(value, str) else value.decode(errors="replace")


# By substr, because LIKE would take a name's own % and _ for patterns.
_OF_A_FEATURE: Final = "AND substr(name, 1, length(CAST({prefix} AS text))) = CAST({prefix} AS text)"
# The total counts the names, too, that are not told apart.
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
    # From each name the index leads to the next one: a step a name, however many events have it.
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
