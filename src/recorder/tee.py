"""Writes both rows of each event, `event_logs` and the export queue, in one transaction."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from recorder.gathering.group_commit import GroupCommit
from recorder.transaction import callers_connection, savepoint
from recorder.translation import translate
from telemetry import ExportPolicy, Redactor
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_store.database import Database
from telemetry_store.event_logs import WRITTEN_COLUMNS, event_logs
from telemetry_store.export_queue import QUEUED_COLUMNS, export_queue
from telemetry_store.insert_statements import insert_statements
from telemetry_store.ports import BuiltEvent, CallersConnection


class _Rows(NamedTuple):
    """An event's rows; None for a table that it has no place in."""

    event_logs: tuple[Any, ...] | None
    export_queue: tuple[Any, ...] | None


class _Split(NamedTuple):
    """The rows of many events, by the statement that inserts them."""

    export_queue: list[tuple[Any, ...]]
    unlogged: list[tuple[Any, ...]]
    event_logs: list[tuple[Any, ...]]


def _split(rows: Sequence[_Rows]) -> _Split:
    queued = [(row.export_queue, row.event_logs is not None) for row in rows if row.export_queue is not None]
    return _Split(
        [row for row, logged in queued if logged],
        [row for row, logged in queued if not logged],
        [row.event_logs for row in rows if row.event_logs is not None],
    )


class TeeStore:
    """Stores events in `event_logs` and, where the policy lets them leave, in the export queue.

    Args:
        database: Where the tables are.
        policy: Decides which events are queued.
        redactor: Removes from the queue's copy what must not leave.

    Attributes:
        policy: As given.
        redactor: As given.
    """

    def __init__(self, database: Database, *, policy: ExportPolicy, redactor: Redactor) -> None:
        self._database = database
        self.policy = policy
        self.redactor = redactor
        self._sql = insert_statements(database.dialect.name)
        self._group = GroupCommit(self._write)

    def store_events(self, events: Sequence[BuiltEvent], *, connection: CallersConnection | None = None) -> None:
        """Stores all of the events or none, in one transaction.

        Args:
            events: Whole events, private metadata included; those that are not to be in `event_logs` skip it.
            connection: The caller's transaction, which is neither committed nor rolled back;
                without one, the events are durable when this returns.

        Raises:
            RecorderError: The database failed; nothing was stored.
            RedactionError: An event could not be redacted; nothing was stored.
        """
        rows = [self._rows(each.event, in_event_logs=each.in_event_logs) for each in events]
        if not any(row.event_logs or row.export_queue for row in rows):
            return
        if connection is not None:
            self._database.run(lambda: self._join(connection, rows))
        else:
            self._group.submit(rows)

    def close(self) -> None:
        """Closes the database connections that this process holds."""
        self._database.close()

    def _rows(self, event: pb.Event, *, in_event_logs: bool) -> _Rows:
        timestamp = self._database.dialect.to_driver(event.timestamp.ToDatetime(UTC))
        exportable = self.policy.allows(event)
        logs_row = None
        if in_event_logs:
            private_exportable = self.redactor.exports_private_metadata(event)
            logs_row = translate(event, timestamp, exportable=exportable, private_exportable=private_exportable)
        if not exportable:
            return _Rows(logs_row, None)
        queued = pb.Event()
        queued.CopyFrom(event)
        # SECURITY: what the allowlist of today forbids is never written to the queue.
        self.redactor.redact(queued)
        return _Rows(logs_row, (event.id, timestamp, queued.SerializeToString()))

    def _write(self, rows: Sequence[_Rows]) -> None:
        """Writes rows in a transaction of their own."""
        one_statement = len(rows) == 1 and self._sql.both is not None
        self._database.write_held(lambda driver: self._insert_by_driver(driver, rows), one_statement=one_statement)

    def _join(self, given: CallersConnection, rows: Sequence[_Rows]) -> None:
        connection = callers_connection(given)
        if self._database.dialect.name != "sqlite" and len(rows) == 1:
            self._insert(connection, rows)  # one statement is whole or nothing by itself
            return
        with savepoint(connection):
            self._insert(connection, rows)

    def _insert(self, connection: Connection, rows: Sequence[_Rows]) -> None:
        """Inserts in the caller's transaction, which is open."""
        if len(rows) > 1 and connection.dialect.driver == "psycopg" and not connection.dialect.is_async:
            _copy_rows(connection.connection.driver_connection, rows)
            return
        # SECURITY: not through SQLAlchemy, where a host's engine with `echo` writes the parameters to the log.
        cursor: Any = connection.connection.cursor()
        try:
            for statement, parameters in self._inserts(rows):
                if isinstance(parameters, list):
                    cursor.executemany(statement, parameters)
                else:
                    cursor.execute(statement, parameters)
        except Exception as error:
            # As SQLAlchemy would: a connection that broke does not go back into the host's pool.
            dbapi: Any = error
            if connection.dialect.is_disconnect(dbapi, connection.connection.dbapi_connection, cursor):
                connection.invalidate(error)
            raise
        finally:
            cursor.close()

    def _insert_by_driver(self, driver: Any, rows: Sequence[_Rows]) -> None:
        """Inserts through the driver's own connection, in the transaction that is open."""
        if len(rows) > 1 and self._database.dialect.name != "sqlite":
            _copy_rows(driver, rows)
            return
        for statement, parameters in self._inserts(rows):
            if isinstance(parameters, list):
                driver.executemany(statement, parameters)
            else:
                driver.execute(statement, parameters)

    def _inserts(self, rows: Sequence[_Rows]) -> list[tuple[str, Any]]:
        """Returns the statements for rows, each with the parameters of one row or a list of many."""
        queue_rows, unlogged, logs_rows = _split(rows)
        if self._sql.both is not None and len(queue_rows) == len(logs_rows) == 1 and not unlogged:
            return [(self._sql.both, queue_rows[0] + logs_rows[0])]
        found = [
            (self._sql.export_queue, queue_rows),
            (self._sql.unlogged, unlogged),
            (self._sql.event_logs, logs_rows),
        ]
        return [(statement, many[0] if len(many) == 1 else many) for statement, many in found if many]


_COPY_EXPORT_QUEUE: Final = f"COPY {export_queue.name} ({', '.join(QUEUED_COLUMNS)}) FROM STDIN"
_COPY_UNLOGGED: Final = f"COPY {export_queue.name} ({', '.join(QUEUED_COLUMNS)}, in_event_logs) FROM STDIN"
_COPY_EVENT_LOGS: Final = f"COPY {event_logs.name} ({', '.join(WRITTEN_COLUMNS)}) FROM STDIN"


def _copy_rows(driver: Any, rows: Sequence[_Rows]) -> None:
    """Sends rows by COPY: for many rows several times faster than INSERT."""
    split = _split(rows)
    _copy(driver, _COPY_EXPORT_QUEUE, split.export_queue)
    _copy(driver, _COPY_UNLOGGED, [(*row, False) for row in split.unlogged])
    _copy(driver, _COPY_EVENT_LOGS, split.event_logs)


def _copy(driver: Any, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    if not rows:
        return
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)
