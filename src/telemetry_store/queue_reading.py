"""Read-only queries on the export queue for operators: pending events, dead letters, exported events."""

import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from telemetry.event import Clock, now_utc
from telemetry_store.database import Database
from telemetry_store.statements import Statements


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was set aside because it cannot be exported.

    Attributes:
        id: The event's id.
        timestamp: When the event happened.
        dead_at: When it was set aside.
        reason: A code, a colon, and what the gateway or the exporter said.
        attempts: How often it was sent.
    """

    id: str
    timestamp: datetime
    dead_at: datetime
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class ExportedEvent:
    """A row whose event the gateway acknowledged.

    Attributes:
        id: The event's id.
        exported_at: When it was acknowledged.
        payload: The event as it was queued, serialized.
    """

    id: str
    exported_at: datetime
    payload: bytes

    @property
    def place(self) -> "ExportedPlace":
        """Its position in the list of exported events."""
        return ExportedPlace(self.exported_at, self.id)


class ExportedPlace(NamedTuple):
    """A position in the list of exported events: that of one event, which may have been deleted since.

    Its text is the cursor that pages and clients use for pagination.

    Attributes:
        exported_at: When the event was acknowledged.
        id: The event's id; a canonical UUID.
    """

    exported_at: datetime
    id: str

    def __str__(self) -> str:
        return f"{self.exported_at.isoformat()},{self.id}"

    @classmethod
    def parse(cls, text: str) -> "ExportedPlace":
        """Parse the text of a position.

        Raises:
            ValueError: The text is not a valid position.
        """
        moment, _, event_id = text.partition(",")
        exported_at = datetime.fromisoformat(moment)
        if exported_at.utcoffset() is None:
            raise ValueError("the time has no time zone")
        try:
            return cls(exported_at.astimezone(UTC), str(UUID(event_id)))
        except OverflowError:
            raise ValueError("the time is out of range") from None


class QueueState(enum.Enum):
    """The state of a row of the queue."""

    DUE = "due"
    """The next exporter leases it."""
    LEASED = "leased"
    """An exporter holds it now."""
    DELAYED = "delayed"
    """It waits for a retry."""
    DEAD = "dead"
    """It was set aside."""
    EXPORTED = "exported"
    """The gateway acknowledged it."""


def is_event_id(text: str) -> bool:
    """Return whether a text is a valid id of the queue: a UUID in canonical lower-case text.

    Any version is valid: recorded events get version 7, but the ids of an adopted queue may have another one.
    """
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


WAITING: Final = (QueueState.DUE, QueueState.LEASED, QueueState.DELAYED)
"""The states of rows that may still be exported."""


@dataclass(frozen=True, slots=True)
class QueuedEvent:
    """A complete row of the queue.

    Attributes:
        id: The event's id.
        timestamp: When the event happened.
        state: Its state.
        due_at: When it is due again, if it is leased or delayed.
        attempts: How often it was sent without being acknowledged.
        exported_at: When it was acknowledged, if it was.
        dead_at: When it was set aside, if it was.
        dead_reason: Why it was set aside: a code, a colon, and what the gateway or the exporter said.
        payload: The event as it was queued, serialized.
    """

    id: str
    timestamp: datetime
    state: QueueState
    due_at: datetime | None
    attempts: int
    exported_at: datetime | None
    dead_at: datetime | None
    dead_reason: str | None
    payload: bytes


class QueueReading:
    """Queries on the queue for operators. Thread-safe.

    Args:
        database: Where the queue is.
        clock: Returns the time for leases.
    """

    def __init__(self, database: Database, *, clock: Clock = now_utc) -> None:
        self._database = database
        self._clock = clock
        self._sql = STATEMENTS.on(database.dialect)

    def waiting(self, limit: int, state: QueueState | None = None) -> list[QueuedEvent]:
        """Return unexported events, oldest first.

        Args:
            limit: The most to return.
            state: Only those in this state, one of `WAITING`.
        """
        now = self._clock()
        statement = "waiting" if state is None else f"waiting_{state.value}"
        rows = self._rows(statement, limit=limit, now=self._database.dialect.to_driver(now))
        return [self._queued(row, now) for row in rows]

    def event(self, event_id: str) -> QueuedEvent | None:
        """Return one row in any state; None if it does not exist."""
        rows = self._rows("event", id=event_id)
        return self._queued(rows[0], self._clock()) if rows else None

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Return the dead letters, the latest first."""
        return [
            DeadLetter(str(row.id), self._known(row.timestamp), self._known(row.dead_at), row.dead_reason, row.attempts)
            for row in self._rows("dead_letters", limit=limit)
        ]

    def preview(self, limit: int) -> list[tuple[str, bytes]]:
        """Return ids and serialized events in the order in which they will be sent, without leasing them."""
        return [(str(row.id), bytes(row.payload_pb)) for row in self._rows("preview", limit=limit)]

    def exported(self, limit: int, after: ExportedPlace | None = None) -> list[ExportedEvent]:
        """Return exported events that are not cleaned up yet, the latest first.

        Args:
            limit: The most to return.
            after: The position at which an earlier call ended. Such pages neither repeat nor skip events, even if some
                are exported or cleaned up in between.
        """
        if after is None:
            rows = self._rows("exported", limit=limit)
        else:
            rows = self._rows(
                "exported_after", limit=limit, at=self._database.dialect.to_driver(after.exported_at), id=after.id
            )
        return [ExportedEvent(str(row.id), self._known(row.exported_at), bytes(row.payload_pb)) for row in rows]

    def exported_count(self) -> int:
        """Return how many exported events are not cleaned up yet."""
        return int(self._rows("exported_count")[0][0])

    def _queued(self, row: Any, now: datetime) -> QueuedEvent:
        due_at = self._database.dialect.from_driver(row.due_at)
        exported_at = self._database.dialect.from_driver(row.exported_at)
        dead_at = self._database.dialect.from_driver(row.dead_at)
        if exported_at is not None:
            state = QueueState.EXPORTED
        elif dead_at is not None:
            state = QueueState.DEAD
        elif due_at is None or due_at <= now:
            state = QueueState.DUE
        else:
            state = QueueState.DELAYED if row.lease is None else QueueState.LEASED
        return QueuedEvent(
            id=str(row.id),
            timestamp=self._known(row.timestamp),
            state=state,
            due_at=due_at,
            attempts=row.attempts,
            exported_at=exported_at,
            dead_at=dead_at,
            dead_reason=row.dead_reason,
            payload=bytes(row.payload_pb),
        )

    def _rows(self, statement: str, **values: Any) -> list[Any]:
        return list(self._database.read(lambda c: c.exec_driver_sql(self._sql[statement], values).all()))

    def _known(self, value: Any) -> datetime:
        moment = self._database.dialect.from_driver(value)
        assert moment is not None  # noqa: S101 - the columns behind it are never null
        return moment


_QUEUED: Final = """
    SELECT id, timestamp{in_utc} AS timestamp, due_at, lease, attempts, exported_at, dead_at, dead_reason, payload_pb
    FROM {queue}
"""
_WAITING: Final = f"{_QUEUED} WHERE exported_at IS NULL AND dead_at IS NULL"
_OLDEST_FIRST: Final = "ORDER BY {queue}.timestamp, id LIMIT {limit}"
_TEMPLATES: Final = {
    "event": f"{_QUEUED} WHERE id = {{id}}",
    "waiting": f"{_WAITING} {_OLDEST_FIRST}",
    "waiting_due": f"{_WAITING} AND (due_at IS NULL OR due_at <= {{now}}) {_OLDEST_FIRST}",
    "waiting_leased": f"{_WAITING} AND due_at > {{now}} AND lease IS NOT NULL {_OLDEST_FIRST}",
    "waiting_delayed": f"{_WAITING} AND due_at > {{now}} AND lease IS NULL {_OLDEST_FIRST}",
    "dead_letters": """
        SELECT id, timestamp{in_utc} AS timestamp, dead_at, dead_reason, attempts FROM {queue}
        WHERE dead_at IS NOT NULL ORDER BY dead_at DESC, id LIMIT {limit}
    """,
    "preview": """
        SELECT id, payload_pb FROM {queue}
        WHERE exported_at IS NULL AND dead_at IS NULL ORDER BY timestamp, id LIMIT {limit}
    """,
    "exported": """
        SELECT id, exported_at, payload_pb FROM {queue}
        WHERE exported_at IS NOT NULL ORDER BY exported_at DESC, id DESC LIMIT {limit}
    """,
    # Keyset pagination instead of an offset: rows are added before and deleted behind the position between pages.
    "exported_after": """
        SELECT id, exported_at, payload_pb FROM {queue}
        WHERE exported_at IS NOT NULL AND (exported_at, id) < ({at}, {id})
        ORDER BY exported_at DESC, id DESC LIMIT {limit}
    """,
    "exported_count": "SELECT count(*) FROM {queue} WHERE exported_at IS NOT NULL",
}
STATEMENTS: Final = Statements(_TEMPLATES)
