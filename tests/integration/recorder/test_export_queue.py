"""The export queue: leases, marks, dead letters, and that no event is lost between them."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import make_url

from support.databases import ManualClock
from support.recorders import make_recorder
from telemetry import NewEvent
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.event_logs import prune_event_logs
from telemetry_store.export_queue import ExportQueue, Lease
from telemetry_store.queue_reading import QueueReading

MINUTE = timedelta(minutes=1)


def fill(database: Database, count: int, *, start: datetime | None = None) -> list[str]:
    """Queues events a second apart; returns their ids, oldest first."""
    first = start or datetime(2026, 3, 1, 11, 0, tzinfo=UTC)
    return make_recorder(database).batch_record(
        NewEvent("search", "submit", timestamp=first + timedelta(seconds=number)) for number in range(count)
    )


def ids_of(lease: Lease) -> list[str]:
    return [event.id for event in lease.events]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_the_earliest_and_the_latest_time_do_not_block_other_events(
    database: Database, migrated_url: str, zone: str
) -> None:
    if database.dialect.name != "sqlite":  # a server whose sessions are not in UTC
        url = make_url(migrated_url).update_query_dict({"options": f"-c timezone={zone}"})
        database = Database(create_database_engine(url))
    moments = [datetime.min.replace(tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    recorder = make_recorder(database)
    ids = recorder.batch_record(NewEvent("search", "submit", timestamp=moment) for moment in moments)
    queue = ExportQueue(database)
    assert queue.counts().oldest_pending == moments[0]
    lease = queue.lease(10, MINUTE)
    assert ids_of(lease) == ids
    assert queue.set_aside(lease, dict.fromkeys(ids, "x")) == 3
    assert {letter.id: letter.timestamp for letter in QueueReading(database).dead_letters(10)} == dict(
        zip(ids, moments, strict=True)
    )
    recorder.close()


def test_leases_take_the_oldest_first_and_never_the_same_twice(database: Database, queue: ExportQueue) -> None:
    ids = fill(database, 5)
    first, second = queue.lease(3, MINUTE), queue.lease(3, MINUTE)
    assert (ids_of(first), ids_of(second)) == (ids[:3], ids[3:])
    assert queue.lease(3, MINUTE).events == ()
    assert first.token != second.token


def test_the_oldest_event_is_leased_first_regardless_of_its_id(database: Database, queue: ExportQueue) -> None:
    # Rows are selected by state, never by id: they are not committed in the order of their ids.
    newer = fill(database, 2)
    older = fill(database, 2, start=datetime(2020, 1, 1, tzinfo=UTC))
    assert ids_of(queue.lease(10, MINUTE)) == older + newer


def test_rows_of_an_expired_lease_become_due_again(database: Database, queue: ExportQueue, clock: ManualClock) -> None:
    ids = fill(database, 2)
    queue.lease(2, MINUTE)
    clock.advance(seconds=59)
    assert queue.lease(2, MINUTE).events == ()
    clock.advance(seconds=1)
    assert ids_of(queue.lease(2, MINUTE)) == ids


def test_only_the_leases_holder_releases_fails_or_sets_aside(
    database: Database, queue: ExportQueue, clock: ManualClock
) -> None:
    ids = fill(database, 1)
    old = queue.lease(1, MINUTE)
    clock.advance(minutes=2)
    new = queue.lease(1, MINUTE)
    assert queue.release(old, ids) == 0
    assert queue.postpone(old, ids, clock.now) == 0
    assert queue.fail(old, ids, clock.now) == 0
    assert queue.set_aside(old, {ids[0]: "x: y"}) == 0
    assert queue.lease(1, MINUTE).events == ()  # the new lease still holds
    assert queue.release(new, ids) == 1
    assert ids_of(queue.lease(1, MINUTE)) == ids


def test_marking_needs_no_lease_and_counts_once(database: Database, queue: ExportQueue, clock: ManualClock) -> None:
    ids = fill(database, 2)
    queue.lease(2, MINUTE)
    clock.advance(minutes=5)
    other = queue.lease(2, MINUTE)
    assert queue.mark_exported(ids) == 2
    assert queue.mark_exported(ids) == 0
    assert queue.release(other, ids) == 0
    clock.advance(minutes=5)
    assert queue.lease(2, MINUTE).events == ()


def test_a_failure_counts_an_attempt_and_delays(database: Database, queue: ExportQueue, clock: ManualClock) -> None:
    ids = fill(database, 1)
    assert queue.fail(queue.lease(1, MINUTE), ids, clock.now + MINUTE) == 1
    assert queue.counts().delayed == 1
    assert queue.lease(1, MINUTE).events == ()
    clock.advance(minutes=1)
    assert [event.attempts for event in queue.lease(1, MINUTE).events] == [1]


def test_postponing_delays_without_counting_an_attempt(
    database: Database, queue: ExportQueue, clock: ManualClock
) -> None:
    ids = fill(database, 1)
    queue.postpone(queue.lease(1, MINUTE), ids, clock.now + MINUTE)
    clock.advance(minutes=1)
    assert [event.attempts for event in queue.lease(1, MINUTE).events] == [0]


def test_dead_letters_are_kept_listed_and_requeued(
    database: Database, queue: ExportQueue, reading: QueueReading, clock: ManualClock
) -> None:
    ids = fill(database, 2)
    lease = queue.lease(2, MINUTE)
    assert queue.set_aside(lease, {ids[0]: "rejected: why"}) == 1
    clock.advance(seconds=1)
    assert queue.set_aside(lease, {ids[1]: "too_large: why"}) == 1
    letters = reading.dead_letters(10)
    assert [(letter.id, letter.reason, letter.attempts) for letter in letters] == [
        (ids[1], "too_large: why", 1),
        (ids[0], "rejected: why", 1),
    ]
    assert letters[0].dead_at == clock.now
    clock.advance(days=365)
    assert queue.prune_exported(clock.now, 10) == 0
    assert queue.lease(2, MINUTE).events == ()
    assert queue.requeue([ids[0]]) == 1
    assert queue.requeue([ids[0]]) == 0
    assert [(event.id, event.attempts) for event in queue.lease(2, MINUTE).events] == [(ids[0], 0)]


def test_a_late_acknowledgement_marks_a_dead_letter_as_exported(database: Database, queue: ExportQueue) -> None:
    (event_id,) = fill(database, 1)
    queue.set_aside(queue.lease(1, MINUTE), {event_id: "not_acknowledged: x"})
    assert queue.mark_exported([event_id]) == 1
    counts = queue.counts()
    assert (counts.dead, counts.exported) == (0, 1)


def test_cleanup_deletes_only_old_exported_rows_and_counts_them(
    database: Database, queue: ExportQueue, clock: ManualClock
) -> None:
    ids = fill(database, 6)
    lease = queue.lease(6, MINUTE)
    queue.mark_exported(ids[:3])
    queue.set_aside(lease, {ids[3]: "x: y"})
    clock.advance(hours=1)
    queue.mark_exported([ids[4]])
    assert queue.prune_exported(clock.now, 2) == 2
    assert queue.prune_exported(clock.now, 2) == 1
    assert queue.prune_exported(clock.now, 2) == 0
    counts = queue.counts()
    assert (counts.pending, counts.exported, counts.dead, counts.cleaned, counts.recorded) == (1, 1, 1, 3, 6)


def test_counts_include_every_state(database: Database, queue: ExportQueue, clock: ManualClock) -> None:
    assert queue.counts().oldest_pending is None
    ids = fill(database, 6)
    lease = queue.lease(5, MINUTE)
    queue.mark_exported(ids[:1])
    queue.fail(lease, [ids[1]], clock.now + MINUTE)
    queue.set_aside(lease, {ids[2]: "x: y"})
    counts = queue.counts()
    assert (counts.pending, counts.leased, counts.delayed, counts.exported, counts.dead) == (4, 2, 1, 1, 1)
    assert counts.oldest_pending == datetime(2026, 3, 1, 11, 0, 1, tzinfo=UTC)
    clock.advance(minutes=2)  # the lease ended
    assert (queue.counts().leased, queue.counts().delayed) == (0, 0)


def test_payloads_and_lists_hold_what_was_queued(database: Database, queue: ExportQueue, reading: QueueReading) -> None:
    ids = fill(database, 3)
    payloads = queue.payloads([*ids, "0190a5c0-0000-7000-8000-00000000ffff"])
    assert set(payloads) == set(ids)
    assert reading.preview(2) == [(event_id, payloads[event_id]) for event_id in ids[:2]]
    queue.lease(3, MINUTE)
    queue.mark_exported(ids[1:2])
    (exported,) = reading.exported(10)
    assert (exported.id, exported.payload) == (ids[1], payloads[ids[1]])


def test_concurrent_exporters_lease_different_rows(database: Database) -> None:
    ids = fill(database, 300)
    queues = [ExportQueue(database) for _ in range(4)]
    leased: list[str] = []
    errors: list[Exception] = []

    def work(own: ExportQueue) -> None:
        try:
            while events := own.lease(7, MINUTE).events:
                leased.extend(event.id for event in events)
        except Exception as error:  # noqa: BLE001 - reported by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(own,)) for own in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(leased) == 300
    assert sorted(leased) == sorted(ids)


def test_old_rows_of_event_logs_are_deleted_in_bounded_steps(database: Database) -> None:
    fill(database, 5)
    cutoff = datetime(2026, 3, 1, 11, 0, 3, tzinfo=UTC)
    assert [prune_event_logs(database, cutoff, 2) for _ in range(3)] == [2, 1, 0]
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM event_logs").scalar() == 2


@pytest.mark.parametrize("statement", ["lease", "prune"])
def test_the_statements_use_the_partial_indexes(database: Database, queue: ExportQueue, statement: str) -> None:
    fill(database, 50)
    sql = queue._sql[statement]
    moment = database.dialect.to_driver(datetime(2027, 1, 1, tzinfo=UTC))
    values = {"now": moment, "until": moment, "lease": "token", "limit": 5, "before": moment}
    with database.engine.begin() as connection:
        if database.dialect.name == "sqlite":
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()
        else:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # or it would scan such a small table
            plan = connection.exec_driver_sql(f"EXPLAIN {sql}", values).all()
    expected = {"lease": "_unexported", "prune": "_exported"}[statement]
    assert f"telemetry_events_export_queue{expected}" in str(plan)
