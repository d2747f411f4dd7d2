"""Captures the events that recorders record, and follows commits and rollbacks of their transactions."""

import re
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, event

from recorder import EventStore
from recorder.transaction import callers_connection
from telemetry import ExportMode, ExportPolicy, Redactor
from telemetry_store.ports import BuiltEvent, CallersConnection
from telemetry_testing.recorded_event import RecordedEvent
from telemetry_testing.telemetry_events import TelemetryEvents

_SAVEPOINT: Final = re.compile(r"(ROLLBACK TO )?SAVEPOINT (\S+)")


class NoStore:
    """The store of a recorder without a database; all its events may be exported.

    Attributes:
        policy: Allows to export everything.
        redactor: Redacts exported events.
    """

    def __init__(self, redactor: Redactor) -> None:
        self.policy = ExportPolicy(export_mode=ExportMode(everything=True))
        self.redactor = redactor

    def store_events(self, events: Sequence[BuiltEvent], **_: Any) -> None:
        """Drop events."""

    def check(self) -> None:
        """Accept everything."""

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


class Capture:
    """A diversion that keeps events for a test.

    An event recorded in a transaction of the code under test is visible immediately, and removed by a rollback.

    Args:
        events: Where events are kept.
        store_too: Whether to pass events to the recorder's own store, too.
    """

    def __init__(self, events: TelemetryEvents, *, store_too: bool = False) -> None:
        self._events = events
        self._store_too = store_too
        self._transactions: WeakKeyDictionary[Connection, _Transaction] = WeakKeyDictionary()

    def take_events(
        self,
        events: Sequence[BuiltEvent],
        *,
        store: EventStore,
        connection: CallersConnection | None = None,
    ) -> None:
        """Keep events.

        Raises:
            Exception: The failure that the test requested, or an error of the recorder's own store.
            InvalidConnectionError: The connection has no transaction to join.
        """
        if self._events.failure is not None:
            raise self._events.failure
        joined = None if connection is None else callers_connection(connection)
        if self._store_too:
            store.store_events(events, connection=connection)
        recorded = [RecordedEvent(each.event, store) for each in events]
        if joined is not None:
            self._transaction(joined).join(recorded)
        self._events.add(recorded)

    def _transaction(self, connection: Connection) -> "_Transaction":
        if connection not in self._transactions:
            self._transactions[connection] = _Transaction(self._events, connection)
        return self._transactions[connection]


class _Transaction:
    """The events of a connection's open transaction, oldest first, with the positions of its savepoints."""

    def __init__(self, kept: TelemetryEvents, connection: Connection) -> None:
        self._kept = kept
        self._events: list[RecordedEvent] = []
        self._savepoints: dict[str, int] = {}
        event.listen(connection, "commit", self._commit)
        event.listen(connection, "rollback", self._roll_back)
        # SQLAlchemy's savepoint events do not pass the name of a new savepoint.
        event.listen(connection, "after_cursor_execute", self._follow_savepoints)

    def join(self, events: Sequence[RecordedEvent]) -> None:
        self._events.extend(events)

    def _commit(self, _connection: Connection) -> None:
        self._events.clear()
        self._savepoints.clear()

    def _roll_back(self, connection: Connection) -> None:
        self._kept.remove(self._events)
        self._commit(connection)

    def _follow_savepoints(self, _connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        found = _SAVEPOINT.match(statement)
        if found is None:
            return
        back, name = found.groups()
        if back is None:
            self._savepoints[name] = len(self._events)
            return
        # An unknown savepoint is older than the first event, so all events came after it.
        place = self._savepoints.get(name, 0)
        self._kept.remove(self._events[place:])
        del self._events[place:]
