"""Events that were built before, in every kind of recorder; and a catalogue that does not have every event."""

import asyncio

import pytest
from structlog.testing import capture_logs

from recorder import AsyncRecorder, BestEffortRecorder, BufferedRecorder
from recorder.recorder import Recorder
from telemetry import Catalog, CatalogEntry, ExportMode, ExportPolicy, NewEvent, Redactor, UnknownEventError
from telemetry_store.database import Database

CATALOG = Catalog([CatalogEntry(feature="search", action="submit", owner="o", description="d")])
KNOWN = NewEvent("search", "submit")
UNKNOWN = NewEvent("search", "opened")


@pytest.fixture
def recorder(database: Database) -> Recorder:
    policy = ExportPolicy(export_mode=ExportMode(everything=True))
    return Recorder.on_database(database, service_version="1", policy=policy, redactor=Redactor(), catalog=CATALOG)


def stored(database: Database) -> list[str]:
    sql = "SELECT CAST(id AS text) FROM telemetry_events_export_queue ORDER BY 1"
    return [str(value) for value in database.read(lambda c: c.exec_driver_sql(sql).scalars().all())]


def test_the_strict_recorder_stores_it_or_raises(database: Database, recorder: Recorder) -> None:
    event_id = recorder.record_event(KNOWN)
    with pytest.raises(UnknownEventError, match="search, opened is not in the catalogue"):
        recorder.record_event(UNKNOWN)
    with database.engine.connect() as connection:
        recorder.record_event(KNOWN, connection=connection)
        connection.rollback()
    assert stored(database) == [event_id]


def test_the_best_effort_recorder_stores_it_or_logs(database: Database, recorder: Recorder) -> None:
    best_effort = BestEffortRecorder(recorder)
    event_id = best_effort.record_event(KNOWN)
    with capture_logs() as logs:
        assert best_effort.record_event(UNKNOWN) is None
    assert [(line["event"], line["error"]) for line in logs] == [("event not recorded", "UnknownEventError")]
    assert stored(database) == [event_id]


def test_the_buffered_recorder_stores_it_or_logs(database: Database, recorder: Recorder) -> None:
    buffered = BufferedRecorder(recorder)
    event_id = buffered.record_event(KNOWN)
    with capture_logs() as logs:
        assert buffered.record_event(UNKNOWN) is None
    assert [line["error"] for line in logs] == ["UnknownEventError"]
    assert buffered.flush()
    assert stored(database) == [event_id]
    buffered.close()


def test_the_asyncio_recorder_stores_it_or_raises(database: Database, recorder: Recorder) -> None:
    async def recording() -> str:
        asynchronous = AsyncRecorder(recorder)
        event_id = await asynchronous.record_event(KNOWN)
        with pytest.raises(UnknownEventError):
            await asynchronous.record_event(UNKNOWN)
        return event_id

    event_id = asyncio.run(recording())
    assert stored(database) == [event_id]
