"""Inserts the rows of events in the open transaction, through the driver's own cursor."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from telemetry_store.dialects import DatabaseDialect, Insertion
from telemetry_store.event_logs import WRITTEN_COLUMNS, event_logs
from telemetry_store.export_queue import QUEUED_COLUMNS, export_queue


class EventRows(NamedTuple):
    """An event's rows; None for a table without a row for it."""

    event_logs: tuple[Any, ...] | None
    export_queue: tuple[Any, ...] | None


class EventInserts:
    """The statements that insert events' rows, built once for each database.

    Args:
        dialect: The kind of database.

    Attributes:
        logged: For a row of `event_logs`.
        queued: For a row of the queue.
        unlogged: For a row of the queue whose event has no row in `event_logs`; its last value is False.
        both: For both rows in one statement, the queue's values first; None if the database cannot do that.
    """

    def __init__(self, dialect: DatabaseDialect) -> None:
        self._dialect = dialect
        self.logged = _insertion(dialect, event_logs.name, WRITTEN_COLUMNS)
        self.queued = _insertion(dialect, export_queue.name, QUEUED_COLUMNS)
        self.unlogged = _insertion(dialect, export_queue.name, (*QUEUED_COLUMNS, "in_event_logs"))
        # An INSERT inside WITH runs in the same transaction and the same round trip.
        self.both = (
            f"WITH queued AS ({self.queued.statement}) {self.logged.statement}" if dialect.writes_both_at_once else None
        )

    def is_one_statement(self, rows: Sequence[EventRows]) -> bool:
        """Return whether a single statement, which is atomic by itself, inserts the rows."""
        return len(rows) == 1 and (self.both is not None or None in rows[0])

    def insert(self, cursor: Any, rows: Sequence[EventRows]) -> None:
        """Insert the rows of one event, or of many events in the fastest way that the database has."""
        if len(rows) == 1:
            self._insert_one(cursor, rows[0])
        else:
            self._insert_many(cursor, rows)

    def _insert_one(self, cursor: Any, rows: EventRows) -> None:
        logged, queued = rows
        if queued is None:
            cursor.execute(self.logged.statement, logged)
        elif logged is None:
            cursor.execute(self.unlogged.statement, (*queued, False))
        elif self.both is not None:
            cursor.execute(self.both, queued + logged)
        else:
            cursor.execute(self.queued.statement, queued)
            cursor.execute(self.logged.statement, logged)

    def _insert_many(self, cursor: Any, rows: Sequence[EventRows]) -> None:
        queued = [(row.export_queue, row.event_logs is not None) for row in rows if row.export_queue is not None]
        by_insertion = (
            (self.queued, [row for row, logged in queued if logged]),
            (self.unlogged, [(*row, False) for row, logged in queued if not logged]),
            (self.logged, [row.event_logs for row in rows if row.event_logs is not None]),
        )
        for insertion, many in by_insertion:
            if many:
                self._dialect.insert_many(cursor, insertion, many)


def _insertion(dialect: DatabaseDialect, table: str, columns: tuple[str, ...]) -> Insertion:
    values = ", ".join([dialect.positional_parameter] * len(columns))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608 - names of our own tables
    return Insertion(table, columns, statement)
