"""Counts what no longer stands in the tables, so that an audit can still add everything up.

Recording counts nothing here: a counter is one row that all recorders of an instance would wait
for. What deletes rows counts them, in the transaction that deletes. The sum that the entries
serve stands in the docstring of migration 0002.
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
"""One row an entry; an entry that is missing is 0."""

CLEANED: Final = "cleaned"
"""Exported events whose rows cleanup deleted from the queue."""

CLEANED_UNLOGGED: Final = "cleaned_unlogged"
"""Those of them that were recorded without a row in `event_logs`."""

DROPPED: Final = "dropped"
"""Unexported or dead events that an operator deleted from the queue."""

DROPPED_UNLOGGED: Final = "dropped_unlogged"
"""Those of them that were recorded without a row in `event_logs`."""

EVENT_LOGS_PRUNED: Final = "event_logs_pruned"
"""Rows of `event_logs` marked exportable that were deleted past their retention."""

ADOPTED_EVENT_LOGS: Final = "adopted_event_logs"
"""Rows of `event_logs` marked exportable that were there when counting began."""

ADOPTED_QUEUE: Final = "adopted_queue"
"""Events of the queue, the cleaned ones included, that were there when counting began."""

GONE_THAT_DAY: Final = "gone"
"""With a day and an event type: logged events of both that cleanup or an operator deleted from the queue."""

PRUNED_THAT_DAY: Final = "pruned"
"""With a day and an event type: exportable rows of both that were deleted from `event_logs`."""

ACCEPTED_THAT_DAY: Final = "known"
"""With a day and an event type: a difference between the two tables that an operator has accepted."""

DAYS_COUNTED: Final = "days_counted"
"""Not 0: since an operator accepted all differences of a database that was adopted, its days add up, too."""

_TEMPLATES: Final = {
    "entries": "SELECT entry, events FROM {ledger}",
    "count": """
        INSERT INTO {ledger} (entry, events) VALUES ({entry}, {events})
        ON CONFLICT (entry) DO UPDATE SET events = {ledger}.events + excluded.events
    """,
}
_STATEMENTS: Final = Statements(_TEMPLATES)


def entry_of_day(kind: str, day: str, name: str) -> str:
    """Returns the entry for events of one type that happened on one day.

    With it an audit can say where a difference lies, after the rows are gone. The column holds 32
    characters, so of the type's name it has a hash.

    Args:
        kind: `GONE_THAT_DAY` or `PRUNED_THAT_DAY`.
        day: The day in UTC, as `{day}` in a statement gives it: `20260131`.
        name: Feature and action, as `event_logs` has them.
    """
    return f"{kind}@{day}#{hash_of_name(name)}"


def hash_of_name(name: str) -> str:
    """Returns what stands for an event type's name in the entry of a day."""
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def entries_of_days(kind: str, events: Iterable[tuple[str, str]]) -> Counter[str]:
    """Returns how many events each entry of a day counts, of events given by day and name."""
    return Counter(entry_of_day(kind, day, name) for day, name in events)


def read_entries(connection: Connection) -> dict[str, int]:
    """Returns all entries, as the transaction that is open sees them."""
    statement = _STATEMENTS.on(dialect_of(connection))["entries"]
    return {row.entry: int(row.events) for row in connection.exec_driver_sql(statement)}


def count_entries(connection: Connection, counted: Mapping[str, int]) -> None:
    """Adds to entries, in the transaction that is open. It is the one that deletes what is counted."""
    statement = _STATEMENTS.on(dialect_of(connection))["count"]
    # In one order, so that two that count the same entries wait for each other and never both.
    values = [{"entry": entry, "events": events} for entry, events in sorted(counted.items()) if events]
    if values:
        connection.exec_driver_sql(statement, values)
