"""Waiting events, and pages of exported ones, while the queue is in use."""

from datetime import timedelta

from support.databases import ManualClock
from support.recorders import make_recorder
from telemetry import NewEvent
from telemetry.event import new_event_id
from telemetry_store.database import Database
from telemetry_store.export_queue import ExportQueue
from telemetry_store.queue_reading import ExportedPlace, QueueReading, QueueState

MINUTE = timedelta(minutes=1)


def page(reading: QueueReading, size: int, after: ExportedPlace | None) -> tuple[list[str], ExportedPlace | None]:
    rows = reading.exported(size, after)
    return [row.id for row in rows], ExportedPlace(rows[-1].exported_at, rows[-1].id) if rows else None


def test_pages_neither_repeat_nor_skip_events_during_export_and_cleanup(
    database: Database, queue: ExportQueue, reading: QueueReading, clock: ManualClock
) -> None:
    recorder = make_recorder(database)
    left: list[str] = []
    for _ in range(4):  # acknowledged three at a time, so that only their ids define an order
        clock.advance(seconds=1)
        three = recorder.batch_record([NewEvent("search", "submit")] * 3)
        queue.mark_exported(three)
        left = sorted(three, reverse=True) + left
    recorder.batch_record([NewEvent("search", "waits")])
    assert reading.exported_count() == 12

    first, place = page(reading, 5, None)
    assert first == left[:5]
    clock.advance(seconds=1)
    queue.mark_exported(recorder.batch_record([NewEvent("search", "later")]))
    second, place = page(reading, 3, place)
    assert second == left[5:8]
    # The page's last event and its neighbours are deleted before the next page is requested.
    queue.prune_exported(clock.now - timedelta(seconds=2, milliseconds=500), 5)
    assert reading.exported_count() == 8
    third, place = page(reading, 10, place)
    assert third == []
    assert page(reading, 10, None)[0][1:] == left[:7]


def test_waiting_events_are_listed_by_state_oldest_first(
    database: Database, queue: ExportQueue, clock: ManualClock
) -> None:
    reading = QueueReading(database, clock=clock)
    recorder = make_recorder(database)
    ids = [recorder.record("search", "submit", timestamp=clock.now - MINUTE * n) for n in range(5)]
    lease = queue.lease(4, MINUTE)  # the four oldest
    queue.fail(lease, [ids[4]], clock.now + MINUTE * 2)
    queue.set_aside(lease, {ids[3]: "x: y"})
    queue.mark_exported([ids[2]])
    assert [(row.id, row.state, row.attempts) for row in reading.waiting(9)] == [
        (ids[4], QueueState.DELAYED, 1), (ids[1], QueueState.LEASED, 0), (ids[0], QueueState.DUE, 0),
    ]  # fmt: skip
    assert [row.id for row in reading.waiting(1)] == ids[4:]
    for state, event_id in ((QueueState.DUE, ids[0]), (QueueState.LEASED, ids[1]), (QueueState.DELAYED, ids[4])):
        assert [row.id for row in reading.waiting(9, state)] == [event_id]
    clock.advance(seconds=61)  # the lease has ended, the delay has not
    assert [row.id for row in reading.waiting(9, QueueState.DUE)] == [ids[1], ids[0]]
    dead, exported = reading.event(ids[3]), reading.event(ids[2])
    assert dead is not None
    assert exported is not None
    assert (dead.state, dead.dead_reason, dead.exported_at) == (QueueState.DEAD, "x: y", None)
    assert (exported.state, exported.dead_at, exported.due_at) == (QueueState.EXPORTED, None, None)
    assert exported.timestamp == clock.now - timedelta(seconds=61) - MINUTE * 2
    assert reading.event(new_event_id()) is None


def test_only_delayed_events_are_made_due(database: Database, queue: ExportQueue, clock: ManualClock) -> None:
    ids = make_recorder(database).batch_record([NewEvent("search", "submit")] * 5)
    lease = queue.lease(5, MINUTE)
    queue.fail(lease, ids[:3], clock.now + MINUTE * 60)
    queue.set_aside(lease, {ids[3]: "x: y"})
    assert queue.retry([*ids[2:], new_event_id()]) == 1
    assert queue.retry_some(1) == 1
    assert queue.retry_some(10) == 1
    assert queue.retry_some(10) == 0
    again = queue.lease(5, MINUTE)
    assert sorted((event.id, event.attempts) for event in again.events) == [
        (event_id, 1) for event_id in sorted(ids[:3])
    ]


def test_only_dead_letters_are_dropped(database: Database, queue: ExportQueue) -> None:
    ids = make_recorder(database).batch_record([NewEvent("search", "submit")] * 3)
    queue.set_aside(queue.lease(2, MINUTE), dict.fromkeys(ids[:2], "x: y"))
    queue.mark_exported(ids[:1])  # a late acknowledgement: it is exported
    assert queue.drop(ids) == 1
    counts = queue.counts()
    assert (counts.pending, counts.exported, counts.dead, counts.dropped, counts.recorded) == (1, 1, 0, 1, 3)
