"""The export queue: put, lease, mark, release, set aside, prune, count. Queries for operators are in `queue_reading`.

A row's columns hold its state: exported (`exported_at`), dead (`dead_at`), otherwise unexported. An unexported row is
due if `due_at` is past or unset. A lease is a `due_at` in the future with a token, so the rows of an exporter that
died become due again by themselves. Rows are selected by state, never by `id > last seen`: concurrent writers commit
out of order, and a cursor would skip rows forever.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError
from sqlalchemy import Boolean, Column, Connection, Index, Integer, LargeBinary, String, Table, Text, text, true

from telemetry.event import Clock, now_utc
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_store.column_types import EVENT_ID, UtcDateTime
from telemetry_store.database import Database
from telemetry_store.export_ledger import (
    CLEANED,
    CLEANED_UNLOGGED,
    DROPPED,
    DROPPED_UNLOGGED,
    GONE_THAT_DAY,
    count_entries,
    entries_of_days,
)
from telemetry_store.statements import QUEUE, Statements
from telemetry_store.tables import UPDATED_OFTEN, conditional, metadata

export_queue = Table(
    QUEUE,
    metadata,
    Column("id", EVENT_ID, primary_key=True),
    Column("timestamp", UtcDateTime, nullable=False),
    Column("payload_pb", LargeBinary, nullable=False),
    Column("exported_at", UtcDateTime),
    Column("due_at", UtcDateTime),
    Column("lease", String(36)),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("dead_at", UtcDateTime),
    Column("dead_reason", Text),
    # False for events recorded without a row in event_logs: an audit must not report that row as missing.
    Column("in_event_logs", Boolean, nullable=False, server_default=true()),
    # Partial, so that the cost of leasing does not depend on how many exported rows wait for cleanup. No index has
    # the lease's columns, so that leasing a row is a heap-only update on PostgreSQL.
    Index(f"{QUEUE}_unexported", "timestamp", "id", **conditional("exported_at IS NULL AND dead_at IS NULL")),
    Index(f"{QUEUE}_exported", "exported_at", **conditional("exported_at IS NOT NULL")),
    Index(f"{QUEUE}_dead", "dead_at", **conditional("dead_at IS NOT NULL")),
    info=UPDATED_OFTEN,
)

QUEUED_COLUMNS: Final = ("id", "timestamp", "payload_pb")
"""The columns of a new row, in the row's order; the others have their defaults."""


class LeasedEvent(NamedTuple):
    """A leased row.

    Attributes:
        id: The event's id.
        attempts: How often it was sent without being acknowledged.
    """

    id: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Lease:
    """Rows that one exporter holds for a limited time.

    Attributes:
        token: Identifies the lease; only its holder can release rows or count failures.
        events: The rows, oldest first.
        expires_at: When the rows become due again by themselves.
    """

    token: str
    events: tuple[LeasedEvent, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """The queue's state, from one query.

    Attributes:
        pending: Unexported events: due, delayed or leased.
        leased: Those of them that an exporter holds now.
        delayed: Those of them that wait for a retry.
        exported: Exported events that cleanup has not deleted yet.
        dead: Dead letters.
        cleaned: All exported events that cleanup has ever deleted.
        dropped: All dead letters that operators have ever deleted.
        oldest_pending: When the oldest unexported event happened.
    """

    pending: int
    leased: int
    delayed: int
    exported: int
    dead: int
    cleaned: int
    dropped: int
    oldest_pending: datetime | None

    @property
    def recorded(self) -> int:
        """The number of events that were ever queued."""
        return self.pending + self.exported + self.dead + self.cleaned + self.dropped


def event_name(payload: bytes) -> str:
    """Return a serialized event's feature and action as in `event_logs`; empty text if it cannot be parsed."""
    event = pb.Event()
    try:
        event.ParseFromString(payload)
    except DecodeError:
        return ""
    return f"{event.feature}.{event.action}"


class ExportQueue:
    """The queue as exporters and operators use it. Thread-safe.

    Args:
        database: Where the queue is.
        clock: Returns the time for leases. The clocks of exporters on several hosts must differ by much less than the
            duration of a lease.
    """

    def __init__(self, database: Database, *, clock: Clock = now_utc) -> None:
        self._database = database
        self.clock = clock
        self._sql = STATEMENTS.on(database.dialect)

    def lease(self, limit: int, duration: timedelta) -> Lease:
        """Lease up to `limit` due rows, oldest first, for `duration`.

        Exporters that lease at the same time get different rows and do not wait for each other.
        The transaction ends before this returns.
        """
        now = self.clock()
        token = str(uuid.uuid4())
        expires_at = now + duration
        values = {"now": self._time(now), "until": self._time(expires_at), "lease": token, "limit": limit}

        def leasing(connection: Connection) -> list[Any]:
            return list(connection.exec_driver_sql(self._sql["lease"], values).all())

        rows = self._database.write(leasing)
        # RETURNING does not guarantee an order.
        rows.sort(key=itemgetter(1, 0))
        return Lease(token, tuple(LeasedEvent(event_id, attempts) for event_id, _, attempts in rows), expires_at)

    def payloads(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the serialized events of rows, by id."""
        values = {"ids": self._ids(ids)}
        rows = self._database.read(lambda c: c.exec_driver_sql(self._sql["payloads"], values).all())
        return {event_id: bytes(payload) for event_id, payload in rows}

    def mark_exported(self, ids: Sequence[str]) -> int:
        """Mark acknowledged events as exported; return how many were not marked before.

        Does not need a lease: a late acknowledgement is still valid, even for a dead letter.
        """
        return self._update("mark", {"ids": self._ids(ids), "now": self._time(self.clock())})

    def release(self, lease: Lease, ids: Sequence[str]) -> int:
        """Release rows unchanged and due immediately; return how many were still held."""
        return self._update("release", {"ids": self._ids(ids), "lease": lease.token, "due": None})

    def postpone(self, lease: Lease, ids: Sequence[str], until: datetime) -> int:
        """Release rows until a later time, without counting an attempt; return how many were still held."""
        return self._update("release", {"ids": self._ids(ids), "lease": lease.token, "due": self._time(until)})

    def fail(self, lease: Lease, ids: Sequence[str], retry_at: datetime) -> int:
        """Count a failed attempt for rows and release them until a later time; return how many were still held."""
        return self._update("fail", {"ids": self._ids(ids), "lease": lease.token, "due": self._time(retry_at)})

    def set_aside(self, lease: Lease, reasons: Mapping[str, str]) -> int:
        """Turn rows into dead letters, each with its reason; return how many were still held.

        They are kept until they are requeued, and never cleaned up.
        """
        now = self._time(self.clock())

        def setting_aside(connection: Connection) -> int:
            return sum(
                connection.exec_driver_sql(
                    self._sql["set_aside"], {"id": event_id, "reason": reason, "lease": lease.token, "now": now}
                ).rowcount
                for event_id, reason in reasons.items()
            )

        return self._database.write(setting_aside)

    def requeue(self, ids: Sequence[str]) -> int:
        """Make dead letters due again and reset their attempts; return how many were requeued."""
        return self._update("requeue", {"ids": self._ids(ids)})

    def retry(self, ids: Sequence[str]) -> int:
        """Make delayed rows due now and keep their attempts; return how many were delayed."""
        return self._update("retry", {"ids": self._ids(ids), "now": self._time(self.clock())})

    def retry_some(self, limit: int) -> int:
        """Make any delayed rows due now, at most `limit`; return how many were delayed."""
        return self._update("retry_some", {"limit": limit, "now": self._time(self.clock())})

    def drop(self, ids: Sequence[str]) -> int:
        """Delete dead letters permanently and count them in the ledger; return how many were deleted."""
        return self._delete("drop", {"ids": self._ids(ids)}, DROPPED, DROPPED_UNLOGGED)

    def prune_exported(self, before: datetime, limit: int) -> int:
        """Delete at most `limit` rows exported before `before`, and count them in the ledger; return their number.

        An unexported row is never deleted.
        """
        return self._delete("prune", {"before": self._time(before), "limit": limit}, CLEANED, CLEANED_UNLOGGED)

    def counts(self) -> QueueCounts:
        """Return the queue's state, from a single statement, so that the numbers are consistent."""
        values = {"now": self._time(self.clock()), "cleaned": CLEANED, "dropped": DROPPED}
        row = self._database.read(lambda c: c.exec_driver_sql(self._sql["counts"], values).one())
        return QueueCounts(
            pending=row.pending,
            leased=row.leased,
            delayed=row.delayed,
            exported=row.exported,
            dead=row.dead,
            cleaned=row.cleaned,
            dropped=row.dropped,
            oldest_pending=self._database.dialect.from_driver(row.oldest_pending),
        )

    def _delete(self, statement: str, values: Mapping[str, Any], entry: str, entry_unlogged: str) -> int:
        """Delete rows and count them in one transaction; return how many were deleted."""

        def deleting(connection: Connection) -> int:
            rows = connection.exec_driver_sql(self._sql[statement], dict(values)).all()
            logged = [(row.day, event_name(bytes(row.payload_pb))) for row in rows if row.in_event_logs]
            counted = {entry: len(rows), entry_unlogged: len(rows) - len(logged)}
            count_entries(connection, counted | entries_of_days(GONE_THAT_DAY, logged))
            return len(rows)

        return self._database.write(deleting)

    def _update(self, statement: str, values: Mapping[str, Any]) -> int:
        return self._database.write(lambda c: c.exec_driver_sql(self._sql[statement], dict(values)).rowcount)

    def _ids(self, ids: Sequence[str]) -> str:
        return self._database.dialect.list_parameter(ids)

    def _time(self, moment: datetime) -> Any:
        return self._database.dialect.to_driver(moment)


_TEMPLATES: Final = {
    # MATERIALIZED, so that no query plan runs the subquery again for each row and leases more than the limit.
    # Exporters that lease at the same time skip rows that another one is leasing, and take the next ones.
    "lease": """
        WITH due AS MATERIALIZED (
            SELECT id FROM {queue}
            WHERE exported_at IS NULL AND dead_at IS NULL AND (due_at IS NULL OR due_at <= {now})
            ORDER BY timestamp, id LIMIT {limit} {skip_locked}
        )
        UPDATE {queue} SET due_at = {until}, lease = {lease} WHERE id IN (SELECT id FROM due)
        RETURNING {text_id}, timestamp{in_utc}, attempts
    """,
    "payloads": "SELECT {text_id}, payload_pb FROM {queue} WHERE id {ids}",
    "mark": """
        UPDATE {queue} SET exported_at = {now}, due_at = NULL, lease = NULL, dead_at = NULL, dead_reason = NULL
        WHERE id {ids} AND exported_at IS NULL
    """,
    "release": """
        UPDATE {queue} SET due_at = {due}, lease = NULL
        WHERE id {ids} AND lease = {lease} AND exported_at IS NULL
    """,
    "fail": """
        UPDATE {queue} SET due_at = {due}, lease = NULL, attempts = attempts + 1
        WHERE id {ids} AND lease = {lease} AND exported_at IS NULL
    """,
    "set_aside": """
        UPDATE {queue} SET dead_at = {now}, dead_reason = {reason}, due_at = NULL, lease = NULL, attempts = attempts + 1
        WHERE id = {id} AND lease = {lease} AND exported_at IS NULL
    """,
    "requeue": """
        UPDATE {queue} SET dead_at = NULL, dead_reason = NULL, attempts = 0
        WHERE id {ids} AND dead_at IS NOT NULL
    """,
    # A future `due_at` without a token is a delay. Rows that an exporter holds are not changed.
    "retry": """
        UPDATE {queue} SET due_at = NULL
        WHERE id {ids} AND exported_at IS NULL AND dead_at IS NULL AND lease IS NULL AND due_at > {now}
    """,
    "retry_some": """
        UPDATE {queue} SET due_at = NULL
        WHERE lease IS NULL AND id IN (
            SELECT id FROM {queue}
            WHERE exported_at IS NULL AND dead_at IS NULL AND lease IS NULL AND due_at > {now} LIMIT {limit}
        )
    """,
    "prune": """
        DELETE FROM {queue} WHERE id IN (
            SELECT id FROM {queue} WHERE exported_at IS NOT NULL AND exported_at < {before}
            ORDER BY exported_at LIMIT {limit}
        ) RETURNING {day} AS day, in_event_logs, payload_pb
    """,
    "drop": """
        DELETE FROM {queue} WHERE id {ids} AND dead_at IS NOT NULL AND exported_at IS NULL
        RETURNING {day} AS day, in_event_logs, payload_pb
    """,
    "counts": """
        SELECT
            count(*) AS pending,
            count(CASE WHEN due_at > {now} AND lease IS NOT NULL THEN 1 END) AS leased,
            count(CASE WHEN due_at > {now} AND lease IS NULL THEN 1 END) AS delayed,
            min(timestamp){in_utc} AS oldest_pending,
            (SELECT count(*) FROM {queue} WHERE exported_at IS NOT NULL) AS exported,
            (SELECT count(*) FROM {queue} WHERE dead_at IS NOT NULL) AS dead,
            coalesce((SELECT events FROM {ledger} WHERE entry = {cleaned}), 0) AS cleaned,
            coalesce((SELECT events FROM {ledger} WHERE entry = {dropped}), 0) AS dropped
        FROM {queue} WHERE exported_at IS NULL AND dead_at IS NULL
    """,
}
STATEMENTS: Final = Statements(_TEMPLATES)
