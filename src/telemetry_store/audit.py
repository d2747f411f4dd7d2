"""Adds up what was recorded and what became of it, and says where the two differ.

Both rows of an event, in `event_logs` and in the queue, are written in one transaction, and what deletes
rows counts them in the ledger in its own. So at any moment, whatever runs,

    in event_logs + pruned there + recorded without it  =  pending + exported + dead + cleaned + dropped

but for a baseline of what a database held before counting began; migration 0002 has the sum in full.
An audit reads everything in one snapshot, so nobody has to stop for it.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection

from telemetry_store.database import Database
from telemetry_store.export_ledger import (
    ACCEPTED_THAT_DAY,
    ADOPTED_EVENT_LOGS,
    ADOPTED_QUEUE,
    CLEANED,
    CLEANED_UNLOGGED,
    DAYS_COUNTED,
    DROPPED,
    DROPPED_UNLOGGED,
    EVENT_LOGS_PRUNED,
    GONE_THAT_DAY,
    PRUNED_THAT_DAY,
    count_entries,
    hash_of_name,
    read_entries,
)
from telemetry_store.export_queue import event_name
from telemetry_store.statements import Statements

ROWS_AT_A_TIME: Final = 20_000
"""So few that each statement is short, and an interrupted audit ends soon."""

_LOWEST_ID: Final = "00000000-0000-0000-0000-000000000000"

Progress = Callable[[int, int], None]
"""Told how many rows were read and how many there are, nearly."""


def _tell_nobody(_done: int, _total: int) -> None:
    """Is told how far an audit is, and does nothing about it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the two sides differ.

    Attributes:
        day: The day that the events happened on, in UTC: `20260131`.
        type_hash: What stands for the event type in the ledger.
        name: Feature and action, as `event_logs` has them; None where neither table has such an event on a
            day that differs.
        missing_from_queue: How many events `event_logs` has counted and the queue has not; below 0 the
            other way round.
    """

    day: str
    type_hash: str
    name: str | None
    missing_from_queue: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What was recorded for export, counted on both sides.

    Attributes:
        pending: Events in the queue that may still leave.
        exported: Events in the queue that the gateway acknowledged.
        dead: Dead letters.
        cleaned: Exported events that cleanup has deleted.
        dropped: Dead letters that operators have deleted.
        event_logs: Rows of `event_logs` whose events were queued.
        event_logs_pruned: Such rows that were deleted past their retention.
        unlogged: Events that were recorded without a row in `event_logs`, ever.
        adopted_event_logs: Of the left side, what was there before counting began.
        adopted_queue: Of the right side, what was there before counting began.
        days_counted: Whether each day must add up by itself; of a database that was adopted only the whole must.
        places: Where the two sides differ, oldest first.
    """

    pending: int
    exported: int
    dead: int
    cleaned: int
    dropped: int
    event_logs: int
    event_logs_pruned: int
    unlogged: int
    adopted_event_logs: int
    adopted_queue: int
    days_counted: bool
    places: tuple[Place, ...] = ()

    @property
    def recorded(self) -> int:
        """Every event that was ever queued, as the queue tells it."""
        return self.pending + self.exported + self.dead + self.cleaned + self.dropped

    @property
    def expected(self) -> int:
        """The same, as `event_logs` tells it."""
        counted = self.event_logs + self.event_logs_pruned + self.unlogged
        return counted - self.adopted_event_logs + self.adopted_queue

    @property
    def missing_from_queue(self) -> int:
        """How many events the queue lacks; below 0, `event_logs` lacks them."""
        return self.expected - self.recorded

    @property
    def balanced(self) -> bool:
        """Whether everything adds up."""
        return self.missing_from_queue == 0 and not self.places


class Auditor:
    """Audits a database, and accepts what an audit found.

    Args:
        database: Where the tables are.
        rows_at_a_time: Rows that one statement reads.
    """

    def __init__(self, database: Database, *, rows_at_a_time: int = ROWS_AT_A_TIME) -> None:
        self._database = database
        self._limit = rows_at_a_time
        self._sql = _STATEMENTS.on(database.dialect)

    def audit(self, progress: Progress = _tell_nobody) -> Audit:
        """Counts both sides in one snapshot.

        Raises:
            RecorderError: The database failed.
        """
        return self._database.snapshot(lambda connection: self._audit(connection, progress, every_day=False))

    def accept(self, progress: Progress = _tell_nobody) -> Audit:
        """Takes the tables as they are: from now on the sum holds with them, day by day. Returns what was accepted.

        For after the cause is known, such as rows that somebody deleted by hand. Nothing but the ledger is changed.
        A difference stays what it is while the instance goes on, so nobody has to stop for this either.

        Raises:
            RecorderError: The database failed; nothing was changed.
        """
        found = self._database.snapshot(lambda connection: self._audit(connection, progress, every_day=True))
        entries = Counter({ADOPTED_QUEUE: -found.missing_from_queue})
        for place in found.places:
            entries[f"{ACCEPTED_THAT_DAY}@{place.day}#{place.type_hash}"] += place.missing_from_queue
        entries[DAYS_COUNTED] = 1
        self._database.write(lambda connection: count_entries(connection, entries))
        return found

    def _audit(self, connection: Connection, progress: Progress, *, every_day: bool) -> Audit:
        size = connection.exec_driver_sql(self._sql["size"]).one()
        total = int(size.event_logs + size.queue)
        logs = self._count_event_logs(connection, int(size.before), lambda done: progress(done, total))
        queue = self._count_queue(connection, lambda done: progress(int(size.event_logs) + done, total))
        ledger = read_entries(connection)
        found = _added_up(logs, queue, ledger)
        if found.missing_from_queue == 0 and not (found.days_counted or every_day):
            return found
        days = _differing_days(logs, queue, ledger)
        return replace(found, places=self._places(connection, days, ledger)) if days else found

    def _count_event_logs(self, connection: Connection, before: int, progress: Callable[[int], None]) -> Counter[str]:
        """Returns how many exportable rows `event_logs` has of each day."""
        days = Counter[str]()
        done = 0
        after = before
        while rows := connection.exec_driver_sql(self._sql["event_logs"], {"after": after, "limit": self._limit}).all():
            for row in rows:
                days[row.day] += row.exportable
            done += sum(row.events for row in rows)
            after = max(row.last for row in rows)
            progress(done)
        return days

    def _count_queue(self, connection: Connection, progress: Callable[[int], None]) -> "_QueueRows":
        """Returns how many rows the queue has of each day and state, those with a row in `event_logs` apart."""
        counted: _QueueRows = Counter()
        done = 0
        after = _LOWEST_ID
        while rows := connection.exec_driver_sql(self._sql["queue"], {"after": after, "limit": self._limit}).all():
            for row in rows:
                counted[row.day, row.state, bool(row.in_event_logs)] += row.events
            done += sum(row.events for row in rows)
            after = max(row.last for row in rows)
            progress(done)
        return counted

    def _places(self, connection: Connection, days: set[str], ledger: Mapping[str, int]) -> tuple[Place, ...]:
        """Returns where the sides differ on these days, by event type."""
        listed = self._database.dialect.list_parameter(sorted(days))
        names: dict[str, str] = {}
        found = Counter[tuple[str, str]]()
        for row in connection.exec_driver_sql(self._sql["names"], {"days": listed}):
            names[hash_of_name(row.name)] = row.name
            found[row.day, hash_of_name(row.name)] += row.exportable
        after = _LOWEST_ID
        values = {"days": listed, "limit": self._limit}
        while rows := connection.exec_driver_sql(self._sql["events"], {**values, "after": after}).all():
            for row in rows:
                name = event_name(bytes(row.payload_pb))
                names[hash_of_name(name)] = name
                found[row.day, hash_of_name(name)] -= 1
            after = max(row.id for row in rows)
        for entry, events in ledger.items():
            sign, day, type_hash = _of_day(entry)
            if day in days:
                found[day, type_hash] += sign * events
        return tuple(
            Place(day, type_hash, names.get(type_hash), missing)
            for (day, type_hash), missing in sorted(found.items())
            if missing
        )


_QueueRows = Counter[tuple[str, str, bool]]

_SIGNS: Final = {PRUNED_THAT_DAY: 1, GONE_THAT_DAY: -1, ACCEPTED_THAT_DAY: -1}
"""How entries of days count in what the queue lacks."""


def _of_day(entry: str) -> tuple[int, str, str]:
    """Returns how an entry counts, and for which day and type; nothing for one that is of no day."""
    kind, _, place = entry.partition("@")
    day, _, type_hash = place.partition("#")
    return (_SIGNS[kind], day, type_hash) if kind in _SIGNS and type_hash else (0, "", "")


def _added_up(logs: Counter[str], queue: _QueueRows, ledger: Mapping[str, int]) -> Audit:
    states = Counter[str]()
    unlogged = ledger.get(CLEANED_UNLOGGED, 0) + ledger.get(DROPPED_UNLOGGED, 0)
    for (_, state, logged), events in queue.items():
        states[state] += events
        unlogged += 0 if logged else events
    return Audit(
        pending=states["pending"],
        exported=states["exported"],
        dead=states["dead"],
        cleaned=ledger.get(CLEANED, 0),
        dropped=ledger.get(DROPPED, 0),
        event_logs=logs.total(),
        event_logs_pruned=ledger.get(EVENT_LOGS_PRUNED, 0),
        unlogged=unlogged,
        adopted_event_logs=ledger.get(ADOPTED_EVENT_LOGS, 0),
        adopted_queue=ledger.get(ADOPTED_QUEUE, 0),
        days_counted=DAYS_COUNTED in ledger or not {ADOPTED_EVENT_LOGS, ADOPTED_QUEUE} & set(ledger),
    )


def _differing_days(logs: Counter[str], queue: _QueueRows, ledger: Mapping[str, int]) -> set[str]:
    missing = Counter(logs)
    for (day, _, logged), events in queue.items():
        missing[day] -= events if logged else 0
    for entry, events in ledger.items():
        sign, day, _ = _of_day(entry)
        missing[day] += sign * events
    return {day for day, events in missing.items() if events}


_TEMPLATES: Final = {
    "size": """
        SELECT coalesce(max(id) - min(id) + 1, 0) AS event_logs, coalesce(min(id), 1) - 1 AS before,
            (SELECT count(*) FROM {queue}) AS queue
        FROM event_logs
    """,
    "event_logs": """
        SELECT day, count(*) AS events, count(CASE WHEN exportable THEN 1 END) AS exportable, max(id) AS last FROM (
            SELECT id, {day} AS day, {exportable} AS exportable FROM event_logs
            WHERE id > {after} ORDER BY id LIMIT {limit}
        ) AS chunk GROUP BY day
    """,
    "queue": """
        SELECT day, state, in_event_logs, count(*) AS events, max(id) AS last FROM (
            SELECT {text_id} AS id, {day} AS day, in_event_logs, CASE
                WHEN exported_at IS NOT NULL THEN 'exported' WHEN dead_at IS NOT NULL THEN 'dead' ELSE 'pending'
            END AS state
            FROM {queue} WHERE id > {after} ORDER BY {queue}.id LIMIT {limit}
        ) AS chunk GROUP BY day, state, in_event_logs
    """,
    # Only where something differs: these two read a table once more, the second one with what is in it.
    "names": """
        SELECT {day} AS day, name, count(CASE WHEN {exportable} THEN 1 END) AS exportable
        FROM event_logs WHERE {day} {listed_days} GROUP BY 1, 2
    """,
    "events": """
        SELECT {text_id} AS id, {day} AS day, payload_pb FROM {queue}
        WHERE id > {after} AND in_event_logs AND {day} {listed_days} ORDER BY {queue}.id LIMIT {limit}
    """,
}
_STATEMENTS: Final = Statements(_TEMPLATES)
