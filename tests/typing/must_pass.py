"""Code as callers write it; it must type-check, and is never run."""

from datetime import UTC, datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, scoped_session

from export import ExporterSettings, ExportJobs
from recorder import AsyncRecorder, BestEffortRecorder, Recorder
from recorder.settings import RecorderSettings
from telemetry import BillingMetadata, EventParameters, NewEvent

recorder = Recorder.from_url("sqlite:///telemetry.db", service_version="1.0")
FEATURE = "search.results"


def record(engine: Engine, connection: Connection, session: Session, registry: scoped_session[Session]) -> None:
    event_id: str = recorder.record(FEATURE, "submit")
    recorder.record("search" + ".results", "submit", EventParameters(metadata={"n": 1, "f": 1.5, "b": True}))
    recorder.record("search", "submit", EventParameters(private_metadata={"a": [1, None, {"b": "c"}]}), id=event_id)
    recorder.record("search", "submit", timestamp=datetime.now(UTC), connection=connection)
    recorder.record("search", "submit", connection=session, without_event_logs=True)
    recorder.record("search", "submit", connection=registry)
    ids: list[str] = recorder.batch_record([NewEvent("search", "submit")])
    same_id: str = recorder.record_event(NewEvent("search", "submit", id=event_id), connection=session)
    maybe: str | None = BestEffortRecorder(recorder).record("search", "submit")
    parameters = EventParameters(version=2, billing_metadata=BillingMetadata("product", "category"))
    recorder.batch_record(NewEvent("search", "submit", parameters, each) for each in [*ids, maybe, same_id])
    Recorder.from_engine(engine, service_version="1", settings=RecorderSettings(export_mode="all"))


async def record_async(session: AsyncSession, name_from_a_request: str) -> None:
    asynchronous = AsyncRecorder(recorder)
    event_id: str = await asynchronous.record("search", "submit", connection=session)
    await asynchronous.batch_record([NewEvent.with_run_time_names(name_from_a_request, "submit", id=event_id)])


def export() -> ExportJobs:
    return ExportJobs(ExporterSettings(export_addr="https://telemetry.example.com", instance_id="i")).start()
