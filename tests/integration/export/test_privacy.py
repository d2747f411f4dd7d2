"""The bytes that are sent, and what logs, metrics and reports say about them."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import insert
from structlog.testing import capture_logs

from export import Exporter, ExporterSettings, ExportMetrics, GatewayClient, PassOutcome, PassSettings
from export.chunks import ChunkMaker, Outgoing
from support.events import CANARY, sensitive_event, valid_parameters
from support.recorders import EXPORT_ALL, make_recorder
from telemetry import (
    Allowlist,
    AllowlistEntry,
    ExportMode,
    ExportPolicy,
    NewEvent,
    RedactionError,
    Redactor,
    TelemetryMode,
)
from telemetry.event import new_event_id
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_runtime.privacy_settings import PrivacySettings
from telemetry_runtime.settings import InvalidSettingsError
from telemetry_store.database import Database
from telemetry_store.export_queue import ExportQueue, export_queue
from telemetry_store.queue_reading import QueueReading
from telemetry_testing import Batch, Refuse, ScriptedGateway, acknowledge


def queue_raw(database: Database, event: pb.Event, payload: bytes | None = None) -> str:
    """Queue an unredacted payload, as another version or the original system may have done."""
    row = {
        "id": event.id,
        "timestamp": event.timestamp.ToDatetime().astimezone(),
        "payload_pb": event.SerializeToString() if payload is None else payload,
    }
    with database.engine.begin() as connection:
        connection.execute(insert(export_queue).values(row))
    return event.id


def allow(*keys: str) -> Redactor:
    return Redactor(
        Allowlist([AllowlistEntry("search.results", None, dict.fromkeys(keys, "r"), "x", date(2026, 1, 1))])
    )


def test_a_payload_that_was_never_redacted_is_redacted_before_it_is_sent(
    database: Database, make_exporter: Any, gateway: ScriptedGateway
) -> None:
    queue_raw(database, sensitive_event())
    with capture_logs() as logs:
        assert make_exporter().run_pass().acked == 1
    assert CANARY.encode() not in gateway.raw
    assert CANARY not in str(logs)


def test_the_allowlist_at_the_time_of_sending_decides(
    database: Database, make_exporter: Any, gateway: ScriptedGateway
) -> None:
    for redactor, left in (
        (allow("language"), {"language": "python"}),
        (allow("query"), {"query": "q"}),
        (Redactor(), {}),
    ):
        queue_raw(database, sensitive_event(language="python", query="q", other=CANARY))
        make_exporter(redactor=redactor).run_pass()
        (event,) = gateway.batches[-1].events
        assert dict(event.parameters.private_metadata) == left
    assert CANARY.encode() not in gateway.raw


def test_unknown_fields_of_a_newer_version_are_not_sent(
    database: Database, make_exporter: Any, gateway: ScriptedGateway
) -> None:
    event = sensitive_event()
    queue_raw(database, event, event.SerializeToString() + bytes([0xF2, 0x3E, 4]) + b"leak")
    assert make_exporter().run_pass().acked == 1
    assert b"leak" not in gateway.raw


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\xff\xff\xff" + CANARY.encode(), "unreadable: the stored event is not a valid protobuf Event"),
        (
            pb.Event(id="another", feature="search").SerializeToString(),
            "unreadable: the stored event has a different id",
        ),
    ],
)
def test_a_payload_that_cannot_be_read_is_set_aside_without_delaying_others(
    database: Database,
    queue: ExportQueue,
    reading: QueueReading,
    make_exporter: Any,
    gateway: ScriptedGateway,
    payload: bytes,
    reason: str,
) -> None:
    bad = queue_raw(database, sensitive_event(), payload)
    good = queue_raw(database, sensitive_event())
    report = make_exporter().run_pass()
    assert (report.outcome, report.acked, report.dead) == (PassOutcome.DRAINED, 1, 1)
    assert gateway.received == [good]  # the request contains nothing of the other event
    (letter,) = reading.dead_letters(10)
    assert letter.id == bad
    assert letter.reason.startswith(reason)
    assert CANARY.encode() not in gateway.raw


def test_an_event_whose_redaction_fails_is_not_sent(
    database: Database, queue: ExportQueue, reading: QueueReading, make_exporter: Any, gateway: ScriptedGateway
) -> None:
    class Broken(Redactor):
        def redact(self, event: pb.Event) -> None:
            if event.action == "failed":
                raise RedactionError("marketing_tracking is still set after redaction")
            super().redact(event)

    good = [queue_raw(database, sensitive_event())]
    queue_raw(database, sensitive_event(action="failed"))
    good.append(queue_raw(database, sensitive_event()))
    report = make_exporter(redactor=Broken()).run_pass()
    assert (report.sent, report.dead, sorted(gateway.received)) == (2, 1, sorted(good))
    assert reading.dead_letters(1)[0].reason == "redaction: marketing_tracking is still set after redaction"
    assert CANARY.encode() not in gateway.raw


@pytest.mark.parametrize(
    "policy",
    [
        ExportPolicy(),
        ExportPolicy(export_mode=ExportMode(everything=True), telemetry_mode=TelemetryMode.LOCAL),
        ExportPolicy(export_mode=ExportMode(everything=True), telemetry_mode=TelemetryMode.OFF),
        ExportPolicy(export_mode=ExportMode(everything=True), opted_out_by="DO_NOT_TRACK"),
    ],
)
def test_without_consent_nothing_is_sent(
    database: Database, queue: ExportQueue, make_exporter: Any, gateway: ScriptedGateway, policy: ExportPolicy
) -> None:
    queue_raw(database, sensitive_event())
    report = make_exporter(policy=policy).run_pass()
    assert (report.outcome, report.problem, gateway.streams) == (PassOutcome.OFF, policy.obstacle, 0)
    assert queue.counts().leased == 0


def test_consent_withdrawn_during_a_backlog_holds_from_the_next_lease(
    database: Database, queue: ExportQueue, make_exporter: Any, gateway: ScriptedGateway
) -> None:
    make_recorder(database).batch_record([NewEvent("search", "ok")] * 6)
    kept_local = replace(EXPORT_ALL, telemetry_mode=TelemetryMode.LOCAL)
    policies = [EXPORT_ALL, EXPORT_ALL, kept_local, EXPORT_ALL]
    exporter = make_exporter(load_policy=lambda: policies.pop(0) if len(policies) > 1 else policies[0], batch_size=2)
    report = exporter.run_pass()
    assert (report.outcome, report.problem) == (PassOutcome.OFF, "TELEMETRY_MODE is local")
    assert (report.acked, report.remaining, gateway.streams) == (2, 4, 1)
    assert queue.counts().leased == 0
    assert exporter.run_pass().acked == 4


def test_an_export_mode_narrowed_during_a_backlog_holds_back_the_rest(
    database: Database, make_exporter: Any, gateway: ScriptedGateway
) -> None:
    make_recorder(database).batch_record([NewEvent("search", "ok")] * 4)
    policies = [EXPORT_ALL, EXPORT_ALL]
    narrowed = ExportPolicy(export_mode=ExportMode.parse("editor"))
    report = make_exporter(load_policy=lambda: policies.pop(0) if policies else narrowed, batch_size=2).run_pass()
    assert (report.outcome, report.acked, report.held) == (PassOutcome.DRAINED, 2, 2)
    assert gateway.raw.count(b"search") == 2


def test_nothing_is_exported_if_consent_cannot_be_read(
    database: Database, queue: ExportQueue, make_exporter: Any, gateway: ScriptedGateway
) -> None:
    make_recorder(database).record("search", "ok")

    def load_policy() -> ExportPolicy:
        raise InvalidSettingsError([("TELEMETRY_SETTINGS_FILE", "cannot be read")])

    report = make_exporter(load_policy=load_policy).run_pass()
    assert (report.outcome, gateway.streams, queue.counts().leased) == (PassOutcome.SETTINGS, 0, 0)
    assert "TELEMETRY_SETTINGS_FILE: cannot be read" in str(report.problem)
    assert not report.is_well


def test_a_narrowed_export_mode_holds_back_queued_events(
    database: Database, queue: ExportQueue, clock: Any, make_exporter: Any, gateway: ScriptedGateway
) -> None:
    recorder = make_recorder(database)
    recorder.batch_record([NewEvent("search", "ok"), NewEvent("editor", "ok"), NewEvent("search.results", "ok")])
    narrowed = make_exporter(policy=ExportPolicy(export_mode=ExportMode.parse("search")))
    report = narrowed.run_pass()
    assert (report.outcome, report.acked, report.held, report.dead) == (PassOutcome.DRAINED, 2, 1, 0)
    assert b"editor" not in gateway.raw
    clock.advance(hours=1)
    assert make_exporter().run_pass().acked == 1
    assert queue.counts().dead == 0


def test_first_party_instances_send_both(database: Database, make_exporter: Any, gateway: ScriptedGateway) -> None:
    queue_raw(database, sensitive_event())
    make_exporter(redactor=Redactor(first_party=True)).run_pass()
    (event,) = gateway.batches[0].events
    assert event.marketing_tracking.url == CANARY
    assert event.parameters.private_metadata["query"] == CANARY


def test_logs_metrics_and_reports_of_a_pass_contain_no_event_data(
    database: Database, queue: ExportQueue, make_exporter: Any, gateway: ScriptedGateway
) -> None:
    for _ in range(3):
        queue_raw(database, sensitive_event())
    calls = iter([Refuse(grpc.StatusCode.UNAVAILABLE), Refuse(grpc.StatusCode.INTERNAL), None])

    def script(batch: Batch) -> pb.RecordEventsResponse:
        if refusal := next(calls, None):
            raise refusal
        return acknowledge(batch)

    gateway.script = script
    exporter = make_exporter()
    with capture_logs() as logs:
        report = exporter.run_pass()
    assert CANARY not in str(logs) + str(report)
    assert report.acked == 3


def test_a_license_key_that_a_gateway_echoes_is_not_in_logs_or_reports(
    database: Database, queue: ExportQueue, gateway: ScriptedGateway
) -> None:
    key = "LICENSE-KEY-SECRET"
    queue_raw(database, sensitive_event())

    def echo(stream: int, headers: dict[str, str]) -> None:
        raise Refuse(grpc.StatusCode.PERMISSION_DENIED, f"license {key} has\nexpired {'x' * 500}")

    gateway.at_start = echo
    settings_ = ExporterSettings.load(export_addr=gateway.address, instance_id="i", license_key=key)
    client = GatewayClient.from_settings(settings_)
    registry = CollectorRegistry()
    exporter = Exporter(
        queue,
        client,
        load_redactor=Redactor,
        load_policy=lambda: EXPORT_ALL,
        settings=PassSettings(),
        metrics=ExportMetrics(registry),
    )
    with capture_logs() as logs:
        report = exporter.run_pass()
    client.close()
    assert gateway.metadata[0].identifier.licensed_instance.license_key == key
    assert str(report.problem).startswith("PERMISSION_DENIED: license *** has expired xxx")
    assert len(str(report.problem)) < 350
    told = str(logs) + str(report) + generate_latest(registry).decode() + repr(settings_)
    assert key not in told


@settings(max_examples=40)
@given(st.lists(valid_parameters(), min_size=1, max_size=30), st.integers(100, 2_000))
def test_requests_are_split_at_the_exact_size(parameters: list[Any], chunk_bytes: int) -> None:
    from telemetry import EventBuilder  # noqa: PLC0415

    events = [EventBuilder("1").build(NewEvent("search", "submit", each, new_event_id())) for each in parameters]
    payloads = {event.id: event.SerializeToString() for event in events}
    outgoing = Outgoing()
    chunks = ChunkMaker(
        lambda ids: {event_id: payloads[event_id] for event_id in ids},
        redactor=Redactor(),
        policy=EXPORT_ALL,
        chunk_bytes=chunk_bytes,
    )
    sent: list[str] = []
    sizes = 0
    last = pb.RecordEventsRequest()
    for request in chunks.requests(list(payloads), outgoing):
        ids = [event.id for event in request.events.events]
        assert request.ByteSize() <= chunk_bytes or len(ids) == 1
        assert ids
        if sent:  # the first event of this request did not fit in the previous one
            last.events.events.append(request.events.events[0])
            assert last.ByteSize() > chunk_bytes
        last = request
        sent += ids
        sizes += request.events.ByteSize()
        assert all(not event.parameters.HasField("private_metadata") for event in request.events.events)
    assert sent == list(payloads)
    assert (outgoing.sent, outgoing.bytes) == (set(payloads), sizes)


@pytest.mark.parametrize(("spare", "first"), [(1, 3), (0, 3), (-1, 2)])
def test_a_request_is_filled_to_the_byte(spare: int, first: int) -> None:
    events = {event.id: event.SerializeToString() for event in (sensitive_event() for _ in range(6))}
    three = pb.RecordEventsRequest()
    for payload in list(events.values())[:3]:
        event = three.events.events.add()
        event.ParseFromString(payload)
        Redactor().redact(event)
    chunks = ChunkMaker(
        lambda ids: {event_id: events[event_id] for event_id in ids},
        redactor=Redactor(),
        policy=EXPORT_ALL,
        chunk_bytes=three.ByteSize() + spare,
    )
    request = next(chunks.requests(list(events), Outgoing()))
    assert len(request.events.events) == first


def test_rows_deleted_meanwhile_are_skipped() -> None:
    chunks = ChunkMaker(lambda ids: {}, redactor=Redactor(), policy=EXPORT_ALL, chunk_bytes=1_000)
    outgoing = Outgoing()
    assert list(chunks.requests(["a", "b"], outgoing)) == []
    assert (outgoing.sent, outgoing.unfit, outgoing.held) == (set(), {}, [])


def test_memory_holds_one_page_of_rows() -> None:
    pages: list[int] = []

    def read(ids: Any) -> dict[str, bytes]:
        pages.append(len(ids))
        return {}

    list(
        ChunkMaker(read, redactor=Redactor(), policy=EXPORT_ALL, chunk_bytes=1_000).requests(["x"] * 1_234, Outgoing())
    )
    assert pages == [500, 500, 234]


def test_a_lease_is_longer_than_a_stream_by_default() -> None:
    defaults = ExporterSettings.load()
    assert defaults.rpc_deadline + defaults.shutdown_timeout < defaults.lease == timedelta(minutes=5)


def test_an_allowlist_that_changes_between_passes_is_read_again(
    database: Database, queue: ExportQueue, gateway: ScriptedGateway, make_exporter: Any, tmp_path: Path
) -> None:
    file = tmp_path / "allowlist.toml"
    entry = '[[event]]\nfeature = "assistant.chat"\naction = "submit"\nkeys = {{ {key} = "why" }}\n'
    entry += 'approved_by = "privacy"\napproved_on = 2026-01-31\n'
    settings_ = PrivacySettings.load(allowlist_file=_write(file, entry.format(key="language")))
    exporter = make_exporter(load_redactor=settings_.redactor)

    def exported() -> dict[str, Any]:
        (event,) = gateway.batches[-1].events
        return dict(event.parameters.private_metadata)

    def event() -> pb.Event:
        new = pb.Event(id=new_event_id(), feature="assistant.chat", action="submit")
        new.parameters.private_metadata.update({"language": "python", "model": "large"})
        return new

    queue_raw(database, event())
    assert exporter.run_pass().acked == 1
    assert exported() == {"language": "python"}
    _write(file, entry.format(key="model"))
    queue_raw(database, event())
    assert exporter.run_pass().acked == 1
    assert exported() == {"model": "large"}

    _write(file, "not an allowlist")
    queue_raw(database, event())
    streams = gateway.streams
    report = exporter.run_pass()
    assert (report.outcome, report.leased, gateway.streams) == (PassOutcome.ALLOWLIST, 0, streams)
    assert f"{file}: is not valid TOML" in str(report.problem)
    _write(file, "")
    assert exporter.run_pass().acked == 1
    assert exported() == {}


def _write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def test_the_reason_of_a_gateway_is_cleaned_before_it_is_stored(
    database: Database, queue: ExportQueue, reading: QueueReading, gateway: ScriptedGateway
) -> None:
    key = "LICENSE-KEY-SECRET"
    queue_raw(database, sensitive_event())
    gateway.script = lambda batch: pb.RecordEventsResponse(
        rejected_events=[
            pb.RejectedEvent(event_id=event_id, reason=f"of {key}:\0\n\x1b[31mred {'x' * 400}")
            for event_id in batch.ids
        ]
    )
    client = GatewayClient.from_settings(
        ExporterSettings.load(export_addr=gateway.address, instance_id="i", license_key=key)
    )
    exporter = Exporter(
        queue, client, load_redactor=Redactor, load_policy=lambda: EXPORT_ALL, settings=PassSettings(),
        metrics=ExportMetrics(CollectorRegistry()),
    )  # fmt: skip
    assert exporter.run_pass().dead == 1
    client.close()
    (letter,) = reading.dead_letters(10)
    assert letter.reason.startswith("rejected: of ***: [31mred xxx")
    assert len(letter.reason) < 320
