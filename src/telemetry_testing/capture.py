"""Takes what recorders record, and follows the transactions that it belongs to."""

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
    """The store of a recorder that has none, and whose every event may leave.

    Attributes:
        policy: Lets everything leave.
        redactor: Knows what of it.
    """

    def __init__(self, redactor: Redactor) -> None:
        self.policy = ExportPolicy(export_mode=ExportMode(everything=True))
        self.redactor = redactor

    def store_events(self, events: Sequence[BuiltEvent], **_: Any) -> None:
        """Drops events."""

    def check(self) -> None:
        """Accepts everything."""

    def close(self) -> None:
        """Holds nothing."""


class Capture:
    """A diversion that keeps events for a test.

    An event in a transaction of the code under test is there at once, and gone when that rolls back.

    Args:
        events: Where they are kept.
        store_too: Whether their recorder's own store gets them as well.
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
        """Keeps events.

        Raises:
            Exception: The failure that the test has asked for, or that of the recorder's own store.
            InvalidConnectionError: What was given as connection has no transaction to join.
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
    """The events of a connection's open transaction, oldest first, and where its savepoints stand among them."""

    def __init__(self, kept: TelemetryEvents, connection: Connection) -> None:
        self._kept = kept
        self._events: list[RecordedEvent] = []
        self._savepoints: dict[str, int] = {}
        event.listen(connection, "commit", self._commit)
        event.listen(connection, "rollback", self._roll_back)
        # The events named after savepoints do not know a new one's name.
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
        # One that is not known was there before the first event, so all of them came after it.
        place = self._savepoints.get(name, 0)
        self._kept.remove(self._events[place:])
        del self._events[place:]
