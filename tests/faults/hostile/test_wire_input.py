"""Hostile messages: each event is published once or rejected with a reason, and other clients are served."""

import contextlib
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from prometheus_client import CollectorRegistry
from sqlalchemy import insert

from export import Exporter, ExporterSettings, ExportMetrics, GatewayClient, PassOutcome, PassSettings
from support.databases import ManualClock
from support.gateway_client import TIMEOUT, event, metadata
from support.gateway_server import RunningGateway, surviving_gateway
from support.raw_messages import RawMessages, field
from support.recorders import EXPORT_ALL
from telemetry import Redactor
from telemetry.event import new_event_id
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_gateway import read_rejects
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue, export_queue
from telemetry_store.migrations import upgrade_database
from telemetry_store.queue_reading import QueueReading

EVENTS = int(os.environ.get("TELEMETRY_TEST_HOSTILE", "300"))
"""The number of generated messages; `make faults` raises it."""
STREAM = 25
RECORD_EVENTS = "/telemetrygateway.v1.TelemeteryGatewayService/RecordEvents"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with surviving_gateway(tmp_path, rejects_max_bytes=2**40) as running:
        yield running


def _stream(channel: grpc.Channel, messages: list[bytes]) -> tuple[list[pb.RecordEventsResponse], grpc.StatusCode]:
    method: Any = channel.stream_stream(RECORD_EVENTS, response_deserializer=pb.RecordEventsResponse.FromString)
    call = method(iter([metadata().SerializeToString(), *messages]), timeout=TIMEOUT)
    answers: list[pb.RecordEventsResponse] = []
    with contextlib.suppress(grpc.RpcError):
        answers.extend(call)
    code: grpc.StatusCode = call.code()
    return answers, code


def _parsed(message: bytes) -> pb.RecordEventsRequest | None:
    try:
        return pb.RecordEventsRequest.FromString(message)
    except DecodeError:
        return None


@pytest.mark.timeout(120 + EVENTS // 20)
def test_generated_messages(gateway: RunningGateway, tmp_path: Path) -> None:
    make = RawMessages(seed=EVENTS)
    verdicts: Counter[str] = Counter()
    published: set[str] = set()
    rejected: set[str] = set()
    with gateway.channel() as channel:
        made = 0
        waiting: list[bytes] = []
        while waiting or made < EVENTS:
            fresh = [make.message() for _ in range(min(STREAM - len(waiting), EVENTS - made))]
            made += len(fresh)
            messages = waiting = [*waiting, *fresh]
            answers, code = _stream(channel, messages)
            readable = 0
            expected: list[pb.RecordEventsRequest] = []
            for message in messages:
                request = _parsed(message)
                if request is None or request.HasField("metadata"):
                    break  # not a message, or metadata a second time
                readable += 1
                if request.events.events:
                    expected.append(request)
            assert code is (grpc.StatusCode.OK if readable == len(messages) else grpc.StatusCode.INVALID_ARGUMENT)
            assert len(answers) == len(expected)
            for request, answer in zip(expected, answers, strict=True):
                ids = {one.id for one in request.events.events}
                reasons = {one.event_id: one.reason for one in answer.rejected_events}
                assert all(reasons.values())
                assert set(answer.succeeded_events) | set(reasons) == ids
                published |= ids - set(reasons)
                rejected |= set(reasons)
                verdicts.update(reasons.values())
                verdicts["published"] += len(ids) - len(reasons)
            verdicts["streams refused"] += readable < len(messages)
            waiting = messages[readable + (readable < len(messages)) :]
    kinds = {" ".join(reason.split()[:4]) for reason in verdicts}
    print(f"{EVENTS} messages: {sum(verdicts.values())} verdicts, {len(kinds)} kinds")
    lines = gateway.published_ids()
    assert len(lines) == len(set(lines))
    assert set(lines) == published
    assert rejected <= {reject.event.id for reject in read_rejects(tmp_path / "rejects.jsonl")}
    assert verdicts["published"] > EVENTS / 10
    assert len(kinds) > 4


def test_memory_for_empty_events_is_bounded_by_the_message_size(gateway: RunningGateway) -> None:
    with gateway.channel() as channel:
        answers, code = _stream(channel, [field(2, b"\x0a\x00" * 100_001)])
        assert (len(answers), code) == (0, grpc.StatusCode.INVALID_ARGUMENT)
        answers, code = _stream(channel, [field(2, b"\x0a\x00" * 5_000)])
        assert (len(answers[0].rejected_events), code) == (5_000, grpc.StatusCode.OK)


@pytest.mark.timeout(120 + EVENTS // 20)
def test_arbitrary_payloads_in_an_adopted_queue(gateway: RunningGateway, postgres: Any, tmp_path: Path) -> None:
    make = RawMessages(seed=EVENTS + 1)
    rows = {}
    for _ in range(max(200, EVENTS // 10)):  # some are a megabyte
        event_id = new_event_id()
        rows[event_id] = make.event(event_id)
    large = _larger_than_a_message()
    rows[large.id] = large.SerializeToString()
    sqlite = f"sqlite:///{tmp_path / 'telemetry.db'}"
    engine = create_database_engine(sqlite)
    upgrade_database(engine)
    engine.dispose()
    with postgres.fresh_database(migrated=True) as postgresql:
        verdicts = [_export(url, name, rows, gateway) for name, url in (("one", sqlite), ("two", postgresql))]
    assert verdicts[0] == verdicts[1]
    kinds = Counter(reason.partition(":")[0] if reason else "exported" for reason in verdicts[0].values())
    print(f"{len(rows)} rows: {dict(kinds)}")
    assert {"exported", "unreadable", "rejected", "too_large"} <= set(kinds)


def _larger_than_a_message() -> pb.Event:
    large = event()
    large.feature_flags.flags["x"] = "x" * 5_000_000
    return large


def _export(url: str, name: str, rows: dict[str, bytes], gateway: RunningGateway) -> dict[str, str]:
    """Export rows; return the reason of each dead letter, and an empty string for each exported row."""
    database = Database(create_database_engine(url))
    clock = ManualClock()
    queue = ExportQueue(database, clock=clock)
    with database.engine.begin() as connection:
        values = [{"id": each, "timestamp": clock.now, "payload_pb": payload} for each, payload in rows.items()]
        connection.execute(insert(export_queue), values)
    client = GatewayClient.from_settings(
        ExporterSettings.load(export_addr=f"http://{gateway.address}", instance_id=name)
    )
    exporter = Exporter(
        queue, client, load_redactor=lambda: Redactor(first_party=True), load_policy=lambda: EXPORT_ALL,
        settings=PassSettings(),
        metrics=ExportMetrics(CollectorRegistry()), random=random.Random(1),
    )  # fmt: skip
    for _ in range(8):
        report = exporter.run_pass()
        assert report.outcome is PassOutcome.DRAINED, report
        clock.advance(hours=1)
    assert queue.counts().pending == 0
    dead = {letter.id: letter.reason for letter in QueueReading(database).dead_letters(len(rows))}
    assert queue.counts().exported == len(rows) - len(dead)
    client.close()
    database.close()
    return {each: dead.get(each, "") for each in rows}
