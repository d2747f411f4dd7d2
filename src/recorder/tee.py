"""Writes both rows of each event, `event_logs` and the export queue, in one transaction."""

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from sqlalchemy import Connection

from recorder.gathering.group_commit import GroupCommit
from recorder.transaction import callers_connection, savepoint
from recorder.translation import translate
from telemetry import ExportPolicy, Redactor
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_store.database import Database
from telemetry_store.event_inserts import EventInserts, EventRows
from telemetry_store.ports import BuiltEvent, CallersConnection
from telemetry_store.readiness import check_ready


class TeeStore:
    """Stores events in `event_logs` and, where the policy allows export, in the export queue.

    Args:
        database: Where the tables are.
        policy: Decides which events are queued.
        redactor: Removes from the queue's copy what must not be exported.

    Attributes:
        policy: As given.
        redactor: As given.
    """

    def __init__(self, database: Database, *, policy: ExportPolicy, redactor: Redactor) -> None:
        self._database = database
        self.policy = policy
        self.redactor = redactor
        self._inserts = EventInserts(database.dialect)
        self._group = GroupCommit(self._write)

    def store_events(self, events: Sequence[BuiltEvent], *, connection: CallersConnection | None = None) -> None:
        """Store all of the events or none, in one transaction.

        Args:
            events: Complete events, private metadata included; each says whether it gets a row in `event_logs`.
            connection: The caller's transaction, which is neither committed nor rolled back;
                without one, the events are durable when this returns.

        Raises:
            RecorderError: The database failed; nothing was stored.
            RedactionError: An event could not be redacted; nothing was stored.
        """
        found = [self._rows(each.event, in_event_logs=each.in_event_logs) for each in events]
        rows = [row for row in found if any(row)]
        if not rows:
            return
        if connection is not None:
            self._database.run(lambda: self._join(connection, rows))
        else:
            self._group.submit(rows)

    def check(self) -> None:
        """Check that events can be stored now: see `check_ready`.

        Raises:
            RecorderError: They cannot be stored.
        """
        check_ready(self._database)

    def close(self) -> None:
        """Close the database connections that this process holds."""
        self._database.close()

    def _rows(self, event: pb.Event, *, in_event_logs: bool) -> EventRows:
        timestamp = self._database.dialect.to_driver(event.timestamp.ToDatetime(UTC))
        exportable = self.policy.allows(event)
        logs_row = None
        if in_event_logs:
            private_exportable = self.redactor.exports_private_metadata(event)
            logs_row = translate(event, timestamp, exportable=exportable, private_exportable=private_exportable)
        if not exportable:
            return EventRows(logs_row, None)
        queued = pb.Event()
        queued.CopyFrom(event)
        # SECURITY: what the current allowlist forbids is never written to the queue.
        self.redactor.redact(queued)
        return EventRows(logs_row, (event.id, timestamp, queued.SerializeToString()))

    def _write(self, rows: Sequence[EventRows]) -> None:
        """Write rows in a separate transaction."""
        one_statement = self._inserts.is_one_statement(rows)
        self._database.write_held(
            lambda driver: self._inserts.insert(driver.cursor(), rows), one_statement=one_statement
        )

    def _join(self, given: CallersConnection, rows: Sequence[EventRows]) -> None:
        """Write rows in the caller's transaction."""
        connection = callers_connection(given)
        if self._inserts.is_one_statement(rows):
            self._insert(connection, rows)
            return
        with savepoint(connection):
            self._insert(connection, rows)

    def _insert(self, connection: Connection, rows: Sequence[EventRows]) -> None:
        # SECURITY: not through SQLAlchemy, because a host's engine with `echo` would log the parameters.
        cursor: Any = connection.connection.cursor()
        try:
            self._inserts.insert(cursor, rows)
        except Exception as error:
            # As SQLAlchemy does: a broken connection must not be returned to the host's pool.
            dbapi: Any = error
            if connection.dialect.is_disconnect(dbapi, connection.connection.dbapi_connection, cursor):
                connection.invalidate(error)
            raise
        finally:
            cursor.close()
