"""Compares the events that were recorded with the events of the queue, and finds where the two differ.

Both rows of an event, in `event_logs` and in the queue, are written in one transaction. A transaction that deletes
rows also counts them in the ledger. So at any moment, whichever processes run,

    in event_logs + pruned there + recorded without it  =  pending + exported + dead + cleaned + dropped

except for a baseline of what a database held before counting began. Migration 0002 has the full equation.
An audit reads everything in one snapshot, so no process has to stop for it.
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
"""Keeps each statement short, and lets an interrupted audit end soon."""

_LOWEST_ID: Final = "00000000-0000-0000-0000-000000000000"

Progress = Callable[[int, int], None]
"""Called with the number of rows read so far, and an estimate of all rows."""


def _ignore_progress(_done: int, _total: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True, slots=True)
class Place:
    """A day and an event type for which the two sides differ.

    Attributes:
        day: The day on which the events happened, in UTC, such as `20260131`.
        type_hash: The hash of the event type's name in the ledger.
        name: Feature and action, as in `event_logs`; None if neither table has such an event on a day that differs.
        missing_from_queue: How many events are counted for `event_logs` but not for the queue; negative if it is the
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
        pending: Events in the queue that may still be exported.
        exported: Events in the queue that the gateway acknowledged.
        dead: Dead letters.
        cleaned: Exported events that cleanup has deleted.
        dropped: Dead letters that operators have deleted.
        event_logs: Rows of `event_logs` whose events were queued.
        event_logs_pruned: Such rows that were deleted after their retention time.
        unlogged: All events that were ever recorded without a row in `event_logs`.
        adopted_event_logs: The part of the left side that existed before counting began.
        adopted_queue: The part of the right side that existed before counting began.
        days_counted: Whether the sides must be equal for each day. For an adopted database, only the totals must be.
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
        """The number of events that were ever queued, counted by the queue."""
        return self.pending + self.exported + self.dead + self.cleaned + self.dropped

    @property
    def expected(self) -> int:
        """The number of events that were ever queued, counted by `event_logs`."""
        counted = self.event_logs + self.event_logs_pruned + self.unlogged
        return counted - self.adopted_event_logs + self.adopted_queue

    @property
    def missing_from_queue(self) -> int:
        """How many events are missing from the queue; negative if they are missing from `event_logs`."""
        return self.expected - self.recorded

    @property
    def balanced(self) -> bool:
        """Whether both sides are equal."""
        return self.missing_from_queue == 0 and not self.places


class Auditor:
    """Audits a database, and accepts the differences that an audit found.

    Args:
        database: Where the tables are.
        rows_at_a_time: The number of rows that one statement reads.
    """

    def __init__(self, database: Database, *, rows_at_a_time: int = ROWS_AT_A_TIME) -> None:
        self._database = database
        self._limit = rows_at_a_time
        self._sql = _STATEMENTS.on(database.dialect)

    def audit(self, progress: Progress = _ignore_progress) -> Audit:
        """Count both sides in one snapshot.

        Raises:
            RecorderError: The database failed.
        """
        return self._database.snapshot(lambda connection: self._audit(connection, progress, every_day=False))

    def accept(self, progress: Progress = _ignore_progress) -> Audit:
        """Accept the current differences, so that later audits are balanced for each day; return what was accepted.

        Use it once the cause is known, for example rows that were deleted by hand. Only the ledger is changed.
        Recording and exporting do not change a difference, so no process has to stop for this either.

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
        found = _summed_up(logs, queue, ledger)
        if found.missing_from_queue == 0 and not (found.days_counted or every_day):
            return found
        days = _differing_days(logs, queue, ledger)
        return replace(found, places=self._places(connection, days, ledger)) if days else found

    def _count_event_logs(self, connection: Connection, before: int, progress: Callable[[int], None]) -> Counter[str]:
        """Return the number of exportable rows in `event_logs` for each day."""
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
        """Return the number of rows in the queue by day, state and whether the event has a row in `event_logs`."""
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
        """Return where the sides differ on these days, by event type."""
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
"""The sign with which entries of a day are added to the events missing from the queue."""


def _of_day(entry: str) -> tuple[int, str, str]:
    """Return the sign, day and type of an entry; zero and empty text for an entry without a day."""
    kind, _, place = entry.partition("@")
    day, _, type_hash = place.partition("#")
    return (_SIGNS[kind], day, type_hash) if kind in _SIGNS and type_hash else (0, "", "")


def _summed_up(logs: Counter[str], queue: _QueueRows, ledger: Mapping[str, int]) -> Audit:
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
    # Run only if something differs: these two read a table again, the second one with its payloads.
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
