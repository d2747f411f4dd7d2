"""Code as callers write it. It must pass type checking, and is never run."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, scoped_session

from export import ExporterSettings, ExportJobs
from recorder import AsyncRecorder, BestEffortRecorder, DatabaseBusyError, Recorder, divert_events
from recorder.settings import RecorderSettings
from telemetry import BillingMetadata, Client, EventParameters, NewEvent
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry.web import asgi, wsgi
from telemetry.web.request_context import RequestHeaders
from telemetry_testing import (
    Batch,
    RecordedEvent,
    ScriptedGateway,
    TelemetryEvents,
    acknowledge,
    delay,
    in_turn,
    refuse,
    reject,
    scripted_gateway,
)

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


def identify(request: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"user_id": request["user_id"], "feature_flags": {"new": True}}


def serve(asgi_app: asgi.App, wsgi_app: wsgi.App) -> tuple[asgi.App, wsgi.App]:
    headers = RequestHeaders(client="X-Client", country=None)
    return (
        asgi.TelemetryContextMiddleware(asgi_app, headers=headers, identify=identify),
        wsgi.TelemetryContextMiddleware(wsgi_app, identify=lambda environ: {"user_id": environ["REMOTE_USER"]}),
    )


def test_events(telemetry_events: TelemetryEvents, telemetry_recorder: Recorder) -> None:
    event: RecordedEvent = telemetry_events.assert_recorded(
        "search", "submit", metadata={"n": 1}, private_metadata={"query": "q"}, user_id=7, client=Client("web")
    )
    exported: RecordedEvent = event.exported_form
    wire: pb.Event = telemetry_events.one("search", leaves=True, private_metadata=None).event
    telemetry_events.none(action="submit")
    with telemetry_events.failing(DatabaseBusyError("busy")), divert_events(None):
        telemetry_recorder.record("search", "submit", id=exported.id)
    assert [each.name for each in telemetry_events] == [wire.feature]


def test_gateway(telemetry_gateway: ScriptedGateway) -> None:
    def script(batch: Batch) -> pb.RecordEventsResponse | None:
        return acknowledge(batch) if batch.number == 1 else None

    telemetry_gateway.script = in_turn(script, delay(1, refuse("UNAVAILABLE")), reject("odd", "chat"), acknowledge)
    with scripted_gateway(script) as other:
        assert other.received == telemetry_gateway.received
