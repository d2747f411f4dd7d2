"""Writes both rows of each event, `event_logs` and the export queue, in one transaction."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from recorder import statements
from recorder.database import Database
from recorder.event_logs import WRITTEN_COLUMNS, event_logs, translate
from recorder.export_queue import QUEUED_COLUMNS, export_queue
from recorder.transaction import CallersConnection, callers_connection, savepoint
from telemetry import ExportPolicy, Redactor
from telemetry.v1 import telemetrygateway_pb2 as pb

_WITHOUT_EVENT_LOGS: ContextVar[bool] = ContextVar("telemetry_without_event_logs", default=False)


@contextmanager
def without_event_logs() -> Generator[None]:
    """Skips the row in `event_logs` for what is recorded inside the `with` block.

    For call sites that still write that table themselves.
    """
    token = _WITHOUT_EVENT_LOGS.set(True)
    try:
        yield
    finally:
        _WITHOUT_EVENT_LOGS.reset(token)


def event_logs_skipped() -> bool:
    """Returns whether the current context is inside a `without_event_logs` block."""
    return _WITHOUT_EVENT_LOGS.get()


class _Rows(NamedTuple):
    """An event's rows; None for a table that it has no place in."""

    event_logs: tuple[Any, ...] | None
    export_queue: tuple[Any, ...] | None


class TeeStore:
    """Stores events in `event_logs` and, where the policy lets them leave, in the export queue.

    Args:
        database: Where the tables are.
        policy: Decides which events are queued.
        redactor: Removes from the queue's copy what must not leave.
    """

    def __init__(self, database: Database, *, policy: ExportPolicy, redactor: Redactor) -> None:
        self._database = database
        self._policy = policy
        self._redactor = redactor
        self._sql = statements.SQLITE if database.is_sqlite else statements.POSTGRESQL

    def store_events(
        self,
        events: Sequence[pb.Event],
        *,
        connection: CallersConnection | None = None,
        without_event_logs: bool = False,
    ) -> None:
        """Stores all of the events or none, in one transaction.

        Args:
            events: Whole events, private metadata included.
            connection: The caller's transaction, which is neither committed nor rolled back;
                without one, the events are durable when this returns.
            without_event_logs: Skips the rows in `event_logs`.

        Raises:
            RecorderError: The database failed; nothing was stored.
            RedactionError: An event could not be redacted; nothing was stored.
        """
        skip_logs = without_event_logs or event_logs_skipped()
        rows = [self._rows(event, skip_logs=skip_logs) for event in events]
        if not any(row.event_logs or row.export_queue for row in rows):
            return
        if connection is not None:
            self._database.run(lambda: self._join(connection, rows))
        elif self._database.is_sqlite:
            self._database.write_held(lambda own: self._insert(own, rows))
        elif len(rows) == 1:
            self._database.write_statement(lambda own: self._insert(own, rows))
        else:
            self._database.write(lambda own: self._insert(own, rows))

    def close(self) -> None:
        """Closes the database connections that this process holds."""
        self._database.close()

    def _rows(self, event: pb.Event, *, skip_logs: bool) -> _Rows:
        timestamp = self._database.to_driver(event.timestamp.ToDatetime(UTC))
        exportable = self._policy.allows(event)
        logs_row = None
        if not skip_logs:
            private_exportable = self._redactor.exports_private_metadata(event)
            logs_row = translate(event, timestamp, exportable=exportable, private_exportable=private_exportable)
        if not exportable:
            return _Rows(logs_row, None)
        queued = pb.Event()
        queued.CopyFrom(event)
        # SECURITY: what the allowlist of today forbids is never written to the queue.
        self._redactor.redact(queued)
        return _Rows(logs_row, (event.id, timestamp, queued.SerializeToString()))

    def _join(self, given: CallersConnection, rows: Sequence[_Rows]) -> None:
        connection = callers_connection(given)
        if not self._database.is_sqlite and len(rows) == 1:
            self._insert(connection, rows)  # one statement is whole or nothing by itself
            return
        with savepoint(connection):
            self._insert(connection, rows)

    def _insert(self, connection: Connection, rows: Sequence[_Rows]) -> None:
        if len(rows) > 1:
            self._insert_many(connection, rows)
            return
        row = rows[0]
        if self._sql.both is not None and row.event_logs is not None and row.export_queue is not None:
            connection.exec_driver_sql(self._sql.both, row.export_queue + row.event_logs)
            return
        if row.export_queue is not None:
            connection.exec_driver_sql(self._sql.export_queue, row.export_queue)
        if row.event_logs is not None:
            connection.exec_driver_sql(self._sql.event_logs, row.event_logs)

    def _insert_many(self, connection: Connection, rows: Sequence[_Rows]) -> None:
        queue_rows = [row.export_queue for row in rows if row.export_queue is not None]
        logs_rows = [row.event_logs for row in rows if row.event_logs is not None]
        if connection.dialect.driver == "psycopg" and not connection.dialect.is_async:
            _copy(connection, _COPY_EXPORT_QUEUE, queue_rows)
            _copy(connection, _COPY_EVENT_LOGS, logs_rows)
            return
        if queue_rows:
            connection.exec_driver_sql(self._sql.export_queue, queue_rows)
        if logs_rows:
            connection.exec_driver_sql(self._sql.event_logs, logs_rows)


_COPY_EXPORT_QUEUE: Final = f"COPY {export_queue.name} ({', '.join(QUEUED_COLUMNS)}) FROM STDIN"
_COPY_EVENT_LOGS: Final = f"COPY {event_logs.name} ({', '.join(WRITTEN_COLUMNS)}) FROM STDIN"


def _copy(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Sends rows by COPY: for many rows several times faster than INSERT."""
    if not rows:
        return
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
