"""The export queue: put, lease, mark, release, set aside, prune, count. What people read of it is in `queue_reading`.

A row's state is in its columns: exported (`exported_at`), dead (`dead_at`), else unexported; of
these, due when `due_at` is past or unset. A lease is a `due_at` in the future under a token, so
the rows of an exporter that died come back by themselves. Work is selected by state, never by
`id > last seen`: concurrent writers commit out of order, and a cursor would skip rows for ever.
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
    # False for what was recorded without a row in event_logs: an audit must not miss that row there.
    Column("in_event_logs", Boolean, nullable=False, server_default=true()),
    # Partial, so that leasing costs the same however many exported rows wait for cleanup. The
    # lease's columns stand in no index: leasing a row is then a heap-only update on PostgreSQL.
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
    """Rows that one exporter holds for a while.

    Attributes:
        token: Names the lease; only its holder can release rows or count failures.
        events: The rows, oldest first.
        expires_at: When the rows come back by themselves.
    """

    token: str
    events: tuple[LeasedEvent, ...]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """The queue's state, from one reading.

    Attributes:
        pending: Unexported events: due, delayed or leased.
        leased: Those of them that an exporter holds now.
        delayed: Those of them that wait for a later try.
        exported: Exported events that cleanup has not deleted yet.
        dead: Dead letters.
        cleaned: Exported events that cleanup has deleted, ever.
        dropped: Dead letters that operators have deleted, ever.
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
        """Every event that was ever queued."""
        return self.pending + self.exported + self.dead + self.cleaned + self.dropped


def event_name(payload: bytes) -> str:
    """Returns a serialized event's feature and action as `event_logs` has them; no text where it cannot be read."""
    event = pb.Event()
    try:
        event.ParseFromString(payload)
    except DecodeError:
        return ""
    return f"{event.feature}.{event.action}"


class ExportQueue:
    """The queue as exporters and operators use it. Threads may share one.

    Args:
        database: Where it lives.
        clock: Tells the time that leases run by. Exporters on several hosts need clocks that
            agree to well within a lease.
    """

    def __init__(self, database: Database, *, clock: Clock = now_utc) -> None:
        self._database = database
        self.clock = clock
        self._sql = STATEMENTS.on(database.dialect)

    def lease(self, limit: int, duration: timedelta) -> Lease:
        """Takes up to `limit` due rows, oldest first, for `duration`.

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
        # RETURNING promises no order.
        rows.sort(key=itemgetter(1, 0))
        return Lease(token, tuple(LeasedEvent(event_id, attempts) for event_id, _, attempts in rows), expires_at)

    def payloads(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Returns the serialized events of rows, by id."""
        values = {"ids": self._ids(ids)}
        rows = self._database.read(lambda c: c.exec_driver_sql(self._sql["payloads"], values).all())
        return {event_id: bytes(payload) for event_id, payload in rows}

    def mark_exported(self, ids: Sequence[str]) -> int:
        """Marks acknowledged events as exported; returns how many were not marked before.

        Needs no lease: a late acknowledgement is still one, even of a dead letter.
        """
        return self._update("mark", {"ids": self._ids(ids), "now": self._time(self.clock())})

    def release(self, lease: Lease, ids: Sequence[str]) -> int:
        """Gives rows back as they were, due at once; returns how many were still held."""
        return self._update("release", {"ids": self._ids(ids), "lease": lease.token, "due": None})

    def postpone(self, lease: Lease, ids: Sequence[str], until: datetime) -> int:
        """Gives rows back for a later time, counting no attempt; returns how many were still held."""
        return self._update("release", {"ids": self._ids(ids), "lease": lease.token, "due": self._time(until)})

    def fail(self, lease: Lease, ids: Sequence[str], retry_at: datetime) -> int:
        """Counts an attempt against rows and gives them back for a later time; returns how many were still held."""
        return self._update("fail", {"ids": self._ids(ids), "lease": lease.token, "due": self._time(retry_at)})

    def set_aside(self, lease: Lease, reasons: Mapping[str, str]) -> int:
        """Makes dead letters of rows, each with its reason; returns how many were still held.

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
        """Makes dead letters due again, with no attempt counted; returns how many there were."""
        return self._update("requeue", {"ids": self._ids(ids)})

    def retry(self, ids: Sequence[str]) -> int:
        """Makes delayed rows due now, with their attempts counted; returns how many were delayed."""
        return self._update("retry", {"ids": self._ids(ids), "now": self._time(self.clock())})

    def retry_some(self, limit: int) -> int:
        """Makes at most `limit` delayed rows due now, whichever they are; returns how many there were."""
        return self._update("retry_some", {"limit": limit, "now": self._time(self.clock())})

    def drop(self, ids: Sequence[str]) -> int:
        """Deletes dead letters for good, and counts them in the ledger; returns how many there were."""
        return self._delete("drop", {"ids": self._ids(ids)}, DROPPED, DROPPED_UNLOGGED)

    def prune_exported(self, before: datetime, limit: int) -> int:
        """Deletes at most `limit` rows exported before then, and counts them in the ledger.

        An unexported row is never deleted. Returns how many were.
        """
        return self._delete("prune", {"before": self._time(before), "limit": limit}, CLEANED, CLEANED_UNLOGGED)

    def counts(self) -> QueueCounts:
        """Returns the queue's state. One statement, so the numbers agree with each other."""
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
        """Deletes rows and counts them, in one transaction; returns how many there were."""

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
    # MATERIALIZED, so that no plan looks for due rows again for each row, and takes more than the limit. Exporters
    # that lease at the same time skip what another is just leasing, and take the next rows.
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
    # A lease without a token is a delay: what an exporter holds is left to it.
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
