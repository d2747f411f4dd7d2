"""What has left, page by page, while the queue goes on."""

from datetime import timedelta

from recorder.database import Database
from recorder.export_queue import ExportQueue
from recorder.queue_reading import ExportedPlace, QueueReading
from support.databases import ManualClock
from support.recorders import make_recorder
from telemetry import NewEvent


def page(reading: QueueReading, size: int, after: ExportedPlace | None) -> tuple[list[str], ExportedPlace | None]:
    rows = reading.exported(size, after)
    return [row.id for row in rows], ExportedPlace(rows[-1].exported_at, rows[-1].id) if rows else None


def test_pages_repeat_and_miss_nothing_while_events_leave_and_are_cleaned_up(
    database: Database, queue: ExportQueue, reading: QueueReading, clock: ManualClock
) -> None:
    recorder = make_recorder(database)
    left: list[str] = []
    for _ in range(4):  # acknowledged three at a time: their ids alone say which of them comes first
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
    # The page's last event, and its neighbours, are gone when the next page is asked for.
    queue.prune_exported(clock.now - timedelta(seconds=2, milliseconds=500), 5)
    assert reading.exported_count() == 8
    third, place = page(reading, 10, place)
    assert third == []
    assert page(reading, 10, None)[0][1:] == left[:7]
