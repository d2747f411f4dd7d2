"""Counts rows that were deleted from the tables, so that an audit can still account for all events.

Recording does not count here, because a counter is a single row for which all recorders of an instance would wait.
Each transaction that deletes rows counts them. The docstring of migration 0002 has the equation in which the entries
are used.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Final

from sqlalchemy import BigInteger, Column, Connection, String, Table

from telemetry_store.dialects import dialect_of
from telemetry_store.statements import LEDGER, Statements
from telemetry_store.tables import metadata

export_ledger = Table(
    LEDGER,
    metadata,
    Column("entry", String(32), primary_key=True),
    Column("events", BigInteger, nullable=False),
)
"""One row for each entry; a missing entry is 0."""

CLEANED: Final = "cleaned"
"""Exported events that cleanup deleted from the queue."""

CLEANED_UNLOGGED: Final = "cleaned_unlogged"
"""Those of them that were recorded without a row in `event_logs`."""

DROPPED: Final = "dropped"
"""Unexported or dead events that an operator deleted from the queue."""

DROPPED_UNLOGGED: Final = "dropped_unlogged"
"""Those of them that were recorded without a row in `event_logs`."""

EVENT_LOGS_PRUNED: Final = "event_logs_pruned"
"""Rows of `event_logs` marked exportable that were deleted after their retention time."""

ADOPTED_EVENT_LOGS: Final = "adopted_event_logs"
"""Rows of `event_logs` marked exportable that existed when counting began."""

ADOPTED_QUEUE: Final = "adopted_queue"
"""Events of the queue, including the cleaned ones, that existed when counting began."""

GONE_THAT_DAY: Final = "gone"
"""With a day and an event type: such logged events that cleanup or an operator deleted from the queue."""

PRUNED_THAT_DAY: Final = "pruned"
"""With a day and an event type: such exportable rows that were deleted from `event_logs`."""

ACCEPTED_THAT_DAY: Final = "known"
"""With a day and an event type: a difference between the two tables that an operator has accepted."""

DAYS_COUNTED: Final = "days_counted"
"""Not 0 once an operator accepted all differences of an adopted database: then each of its days must balance, too."""

_TEMPLATES: Final = {
    "entries": "SELECT entry, events FROM {ledger}",
    "count": """
        INSERT INTO {ledger} (entry, events) VALUES ({entry}, {events})
        ON CONFLICT (entry) DO UPDATE SET events = {ledger}.events + excluded.events
    """,
}
_STATEMENTS: Final = Statements(_TEMPLATES)


def entry_of_day(kind: str, day: str, name: str) -> str:
    """Return the entry for events of one type that happened on one day.

    With it an audit can locate a difference after the rows are deleted. The column holds 32 characters, so the entry
    has a hash of the type's name.

    Args:
        kind: `GONE_THAT_DAY` or `PRUNED_THAT_DAY`.
        day: The day in UTC, as `{day}` in a statement returns it, such as `20260131`.
        name: Feature and action, as in `event_logs`.
    """
    return f"{kind}@{day}#{hash_of_name(name)}"


def hash_of_name(name: str) -> str:
    """Return the hash of an event type's name for the entry of a day."""
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def entries_of_days(kind: str, events: Iterable[tuple[str, str]]) -> Counter[str]:
    """Return the number of events for each entry of a day; events are pairs of day and name."""
    return Counter(entry_of_day(kind, day, name) for day, name in events)


def read_entries(connection: Connection) -> dict[str, int]:
    """Return all entries, as the open transaction sees them."""
    statement = _STATEMENTS.on(dialect_of(connection))["entries"]
    return {row.entry: int(row.events) for row in connection.exec_driver_sql(statement)}


def count_entries(connection: Connection, counted: Mapping[str, int]) -> None:
    """Add to entries in the open transaction, which must be the one that deletes the counted rows."""
    statement = _STATEMENTS.on(dialect_of(connection))["count"]
    # Sorted, so that two transactions that count the same entries cannot deadlock.
    values = [{"entry": entry, "events": events} for entry, events in sorted(counted.items()) if events]
    if values:
        connection.exec_driver_sql(statement, values)
