"""Spans of recording, exporting and receiving, if the host has set OpenTelemetry up; they hold nothing private."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import opentelemetry.trace
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, StatusCode
from prometheus_client import CollectorRegistry

from export import Exporter, ExporterSettings, ExportMetrics, GatewayClient, PassSettings
from recorder import AsyncRecorder, SchemaVersionError
from support.events import CANARY
from support.gateway_client import batch, event, metadata, send, stream
from support.gateway_server import running_gateway
from support.recorders import EXPORT_ALL, make_recorder, queued
from telemetry import EventParameters, NewEvent, Redactor
from telemetry.tracing import span
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_testing.scripted_server import Batch, Refuse, ScriptedGateway, scripted_gateway

PARAMETERS = EventParameters(metadata={"n": 1}, private_metadata={"query": CANARY})


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> TracerProvider:
    made = TracerProvider(shutdown_on_exit=False)
    # The API accepts one provider for each process; each test needs its own.
    monkeypatch.setattr(opentelemetry.trace, "_TRACER_PROVIDER", made)
    return made


@pytest.fixture
def spans(provider: TracerProvider) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exported = "".join(each.to_json() for each in exporter.get_finished_spans())
    assert CANARY not in exported
    assert "Traceback" not in exported


@pytest.fixture
def gateway() -> Iterator[ScriptedGateway]:
    with scripted_gateway() as running:
        yield running


def run_pass(database: Database, gateway: ScriptedGateway) -> None:
    client = GatewayClient.from_settings(ExporterSettings.load(export_addr=gateway.address, instance_id="instance"))
    Exporter(
        ExportQueue(database),
        client,
        load_redactor=Redactor,
        load_policy=lambda: EXPORT_ALL,
        settings=PassSettings(outages_per_pass=1),
        metrics=ExportMetrics(CollectorRegistry()),
    ).run_pass()
    client.close()


def only(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = [each for each in spans.get_finished_spans() if each.name == name]
    return found


def facts(found: ReadableSpan) -> dict[str, Any]:
    return dict(found.attributes or {})


def test_recording_is_a_span_of_the_callers_trace(
    database: Database, provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    with provider.get_tracer("host").start_as_current_span("request") as request:
        event_id = make_recorder(database).record("search", "submit", PARAMETERS)
    recorded = only(spans, "telemetry record")
    assert recorded.parent is not None
    assert recorded.parent.span_id == request.get_span_context().span_id
    assert facts(recorded) == {"telemetry.events": 1, "telemetry.feature": "search", "telemetry.action": "submit"}
    assert recorded.status.status_code is StatusCode.UNSET
    assert queued(database)[event_id].interaction.trace_id == f"{request.get_span_context().trace_id:032x}"


def test_an_event_outside_a_trace_gets_no_trace_id_from_our_span(
    database: Database, spans: InMemorySpanExporter
) -> None:
    event_id = make_recorder(database).record("search", "submit")
    assert only(spans, "telemetry record").parent is None
    assert not queued(database)[event_id].HasField("interaction")


def test_many_events_are_one_span(database: Database, spans: InMemorySpanExporter) -> None:
    make_recorder(database).batch_record([NewEvent("search", "submit", PARAMETERS)] * 3)
    assert facts(only(spans, "telemetry record")) == {"telemetry.events": 3}


def test_the_span_of_a_failure_holds_only_the_errors_type(empty_url: str, spans: InMemorySpanExporter) -> None:
    database = Database(create_database_engine(empty_url))
    with pytest.raises(SchemaVersionError):
        make_recorder(database).record("search", "submit", PARAMETERS)
    failed = only(spans, "telemetry record")
    assert (failed.status.status_code, failed.status.description) == (StatusCode.ERROR, None)
    assert facts(failed)["error.type"] == "SchemaVersionError"
    assert failed.events == ()
    database.close()


def test_asyncio_keeps_the_callers_trace(
    database: Database, provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    async def main() -> int:
        recorder = AsyncRecorder(make_recorder(database))
        with provider.get_tracer("host").start_as_current_span("request") as request:
            await recorder.record("search", "submit")
        await recorder.close()
        context: SpanContext = request.get_span_context()
        return context.span_id

    parent = asyncio.run(main())
    recorded = only(spans, "telemetry record")
    assert recorded.parent is not None
    assert recorded.parent.span_id == parent


def test_a_pass_and_its_streams_are_spans(
    database: Database, gateway: ScriptedGateway, spans: InMemorySpanExporter
) -> None:
    make_recorder(database).batch_record([NewEvent("search", "submit", PARAMETERS)] * 3)
    run_pass(database, gateway)
    passed, sent = only(spans, "telemetry export pass"), only(spans, "telemetry export stream")
    assert sent.parent is not None
    context = passed.get_span_context()
    assert context is not None
    assert sent.parent.span_id == context.span_id
    expected = {"outcome": "drained", "leased": 3, "sent": 3, "acked": 3, "remaining": 0}
    assert {name: facts(passed)[f"telemetry.{name}"] for name in expected} == expected
    assert facts(sent)["telemetry.request_id"] == f"{facts(passed)['telemetry.request_id']}-1"
    assert facts(sent)["telemetry.acked"] == 3
    assert {each.status.status_code for each in (passed, sent)} == {StatusCode.UNSET}


def test_a_gateways_rejection_reason_stays_out_of_the_trace(
    database: Database, gateway: ScriptedGateway, spans: InMemorySpanExporter
) -> None:
    def reject(batch: Batch) -> pb.RecordEventsResponse:
        return pb.RecordEventsResponse(rejected_events=[pb.RejectedEvent(event_id=batch.ids[0], reason=CANARY)])

    gateway.script = reject
    make_recorder(database).record("search", "submit")
    run_pass(database, gateway)
    assert facts(only(spans, "telemetry export stream"))["telemetry.rejected"] == 1


def test_the_span_of_a_failed_pass_has_the_failures_kind(
    database: Database, gateway: ScriptedGateway, spans: InMemorySpanExporter
) -> None:
    def refuse(stream: int, headers: dict[str, str]) -> None:
        raise Refuse(grpc.StatusCode.UNAVAILABLE, CANARY)

    gateway.at_start = refuse
    make_recorder(database).record("search", "submit")
    run_pass(database, gateway)
    for name, kind in (("telemetry export pass", "outage"), ("telemetry export stream", "outage")):
        failed = only(spans, name)
        assert (failed.status.status_code, facts(failed)["error.type"]) == (StatusCode.ERROR, kind)


def test_the_gateways_streams_are_spans(tmp_path: Path, spans: InMemorySpanExporter) -> None:
    private = event()
    private.parameters.private_metadata["query"] = CANARY
    with running_gateway(tmp_path) as running, running.channel() as channel:
        send(channel, [private])
        stream(channel, [metadata(), metadata()])
        stream(channel, [batch(private)])
    well, *broken = [each for each in spans.get_finished_spans() if each.name == "telemetry gateway stream"]
    assert facts(well) == {
        "telemetry.rpc": "stream", "telemetry.publisher": "unlicensed_instance", "telemetry.events": 1,
        "telemetry.succeeded": 1, "telemetry.rejected": 0, "telemetry.failed": 0, "rpc.grpc.status": "OK",
    }  # fmt: skip
    assert [facts(each)["error.type"] for each in broken] == ["INVALID_ARGUMENT", "INVALID_ARGUMENT"]


class _Broken:
    """A provider whose spans fail."""

    def get_tracer(self, *_: object) -> Any:
        return self

    def start_as_current_span(self, *_: object, **__: object) -> Any:
        return self

    def __enter__(self) -> Any:
        raise RuntimeError("no")

    def __exit__(self, *_: object) -> None:
        raise AssertionError("was never entered")


def test_failing_tracing_loses_no_event(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opentelemetry.trace, "_TRACER_PROVIDER", _Broken())
    event_id = make_recorder(database).record("search", "submit")
    assert event_id in queued(database)


@pytest.mark.parametrize("provider_is", [None, object()], ids=["not set up", "nonsense"])
def test_without_a_configured_api_there_are_no_spans(monkeypatch: pytest.MonkeyPatch, provider_is: object) -> None:
    monkeypatch.setattr(opentelemetry.trace, "_TRACER_PROVIDER", provider_is)
    with span("telemetry record") as current:
        assert not current.recording
        current.set_attributes({"telemetry.events": 1})
        current.fail("nothing")
    assert opentelemetry.trace.get_current_span() is opentelemetry.trace.INVALID_SPAN


def test_a_service_that_only_records_never_imports_opentelemetry(migrated_url: str) -> None:
    program = (
        "import sys; from recorder import Recorder; "
        "recorder = Recorder.from_url(sys.argv[1], service_version='1'); recorder.record('search', 'submit'); "
        "recorder.close(); print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, migrated_url], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
