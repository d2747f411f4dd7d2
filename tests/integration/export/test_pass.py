"""One pass against a scripted gateway: which events are marked, retried and set aside."""

import threading
import time
from datetime import timedelta
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from export import Exporter, GatewayClient, PassOutcome
from support.databases import ManualClock
from support.recorders import make_recorder
from telemetry import EventParameters, NewEvent
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_store.database import Database
from telemetry_store.errors import DatabaseBusyError
from telemetry_store.export_queue import ExportQueue, QueueCounts
from telemetry_store.queue_reading import QueueReading
from telemetry_testing import Batch, Refuse, ScriptedGateway, acknowledge

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
INTERNAL = grpc.StatusCode.INTERNAL


def fill(database: Database, count: int, feature: str = "search") -> list[str]:
    return make_recorder(database).batch_record(
        NewEvent.with_run_time_names(feature, "submit", EventParameters(metadata={"n": n})) for n in range(count)
    )


def states(queue: ExportQueue) -> tuple[int, int, int]:
    counts: QueueCounts = queue.counts()
    return counts.pending, counts.exported, counts.dead


def respond(*ids: str, rejected: dict[str, str] | None = None) -> pb.RecordEventsResponse:
    return pb.RecordEventsResponse(
        succeeded_events=ids,
        rejected_events=[pb.RejectedEvent(event_id=key, reason=why) for key, why in (rejected or {}).items()],
    )


def test_a_backlog_of_many_leases_is_drained_in_one_pass(
    database: Database, queue: ExportQueue, gateway: ScriptedGateway, make_exporter: Any
) -> None:
    ids = fill(database, 350)
    report = make_exporter(batch_size=100).run_pass()
    assert (report.outcome, report.leased, report.sent, report.acked, report.remaining) == (
        PassOutcome.DRAINED,
        350,
        350,
        350,
        0,
    )
    assert sorted(gateway.received) == sorted(ids)
    assert states(queue) == (0, 350, 0)
    assert report.streams == gateway.streams == 4


def test_a_lease_taken_ahead_is_given_back_when_the_pass_ends_early(
    database: Database, queue: ExportQueue, gateway: ScriptedGateway, make_exporter: Any
) -> None:
    fill(database, 500)

    def refuse(stream: int, headers: dict[str, str]) -> None:
        raise Refuse(grpc.StatusCode.UNIMPLEMENTED, "not here")

    gateway.at_start = refuse
    report = make_exporter(batch_size=100).run_pass()
    assert (report.outcome, report.leased) == (PassOutcome.REFUSED, 100)
    assert (queue.counts().leased, queue.counts().pending) == (0, 500)


def test_an_empty_queue_opens_no_stream(exporter: Exporter, gateway: ScriptedGateway) -> None:
    report = exporter.run_pass()
    assert (report.outcome, report.streams, gateway.streams) == (PassOutcome.DRAINED, 0, 0)


def test_a_stream_sends_the_identity_first_and_once(
    database: Database, exporter: Exporter, gateway: ScriptedGateway
) -> None:
    fill(database, 1)
    report = exporter.run_pass()
    (metadata,) = gateway.metadata
    assert metadata.identifier.unlicensed_instance.instance_id == "instance"
    assert metadata.request_id == f"{report.request_id}-1"


def test_exactly_what_was_sent_and_acknowledged_is_marked(
    database: Database, queue: ExportQueue, reading: QueueReading, exporter: Exporter, gateway: ScriptedGateway
) -> None:
    ids = fill(database, 10)
    gateway.script = lambda batch: respond(*batch.ids[::2], "unknown-id", *batch.ids[:1])
    with capture_logs() as logs:
        report = exporter.run_pass()
    assert report.acked == 5
    assert {event.id for event in reading.exported(100)} == set(ids[::2])
    assert queue.counts().delayed == 5
    (warning,) = [line for line in logs if line["log_level"] == "warning"]
    assert (warning["event"], warning["count"]) == ("gateway answered unknown or repeated ids", 2)


def test_an_unacknowledged_event_is_tried_later_then_alone_then_set_aside(
    database: Database,
    queue: ExportQueue,
    reading: QueueReading,
    clock: ManualClock,
    exporter: Exporter,
    gateway: ScriptedGateway,
) -> None:
    (poison,) = fill(database, 1, "poison")
    gateway.script = lambda batch: respond(*(event.id for event in batch.events if event.feature != "poison"))
    alone: list[bool] = []
    for attempt in range(1, 6):
        fill(database, 3)
        gateway.batches.clear()
        report = exporter.run_pass()
        assert report.acked == 3
        (with_poison,) = [batch for batch in gateway.batches if poison in batch.ids]
        alone.append(with_poison.ids == [poison])
        assert states(queue)[2] == (1 if attempt == 5 else 0)
        clock.advance(hours=1)
    assert alone == [False, False, False, True, True]
    (letter,) = reading.dead_letters(10)
    assert (letter.id, letter.attempts) == (poison, 5)
    assert letter.reason == "not_acknowledged: the gateway did not say why"


def test_the_waits_between_attempts_grow_to_an_hour(
    database: Database, queue: ExportQueue, clock: ManualClock, exporter: Exporter, gateway: ScriptedGateway
) -> None:
    fill(database, 1)
    gateway.script = lambda batch: respond()
    for low, high in ((15, 30), (30, 60), (60, 120), (120, 240)):
        exporter.run_pass()
        clock.advance(seconds=low - 1)
        assert exporter.run_pass().leased == 0
        clock.advance(seconds=high - low + 1)
    assert exporter.run_pass().dead == 1


def test_an_acknowledgement_of_nothing_loses_nothing(
    database: Database, queue: ExportQueue, exporter: Exporter, gateway: ScriptedGateway
) -> None:
    fill(database, 5)
    gateway.script = lambda batch: None
    report = exporter.run_pass()
    assert (report.outcome, report.acked) == (PassOutcome.DRAINED, 0)
    assert states(queue) == (5, 0, 0)


@pytest.mark.parametrize("also_succeeded", [True, False])
def test_a_rejection_sets_aside_at_once_and_wins(
    database: Database,
    queue: ExportQueue,
    reading: QueueReading,
    exporter: Exporter,
    gateway: ScriptedGateway,
    also_succeeded: bool,
) -> None:
    ids = fill(database, 3)
    bad = ids[1]
    gateway.script = lambda batch: respond(
        *(event_id for event_id in batch.ids if also_succeeded or event_id != bad), rejected={bad: "bad name", "x": "y"}
    )
    with capture_logs() as logs:
        report = exporter.run_pass()
    assert (report.acked, report.rejected, report.dead) == (2, 1, 1)
    # Only "x" is unknown: by the wire contract, a rejected id may be among the succeeded ones, too.
    assert [line["count"] for line in logs if line["log_level"] == "warning"] == [1]
    (letter,) = reading.dead_letters(10)
    assert (letter.id, letter.reason) == (bad, "rejected: bad name")
    assert states(queue) == (0, 2, 1)


def test_acknowledgements_before_a_break_stand_and_other_events_are_sent_again(
    database: Database, queue: ExportQueue, gateway: ScriptedGateway, make_exporter: Any
) -> None:
    ids = fill(database, 3_000)

    def script(batch: Batch) -> pb.RecordEventsResponse:
        if batch.stream == 1 and batch.number == 2:
            raise Refuse(UNAVAILABLE)
        return acknowledge(batch)

    gateway.script = script
    report = make_exporter(chunk_bytes=64 * 1024).run_pass()
    assert (report.outcome, report.acked, report.remaining) == (PassOutcome.DRAINED, 3_000, 0)
    first = gateway.batches[0].ids
    assert [event_id for batch in gateway.batches[2:] for event_id in batch.ids if event_id in first] == []
    assert {event_id for batch in gateway.batches for event_id in batch.ids} == set(ids)


@pytest.mark.parametrize(
    ("code", "outcome", "streams"),
    [
        (grpc.StatusCode.UNAVAILABLE, PassOutcome.OUTAGE, 5),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, PassOutcome.OUTAGE, 5),
        (grpc.StatusCode.ABORTED, PassOutcome.OUTAGE, 5),
        (grpc.StatusCode.PERMISSION_DENIED, PassOutcome.REFUSED, 2),
        (grpc.StatusCode.UNAUTHENTICATED, PassOutcome.REFUSED, 2),
        (grpc.StatusCode.UNIMPLEMENTED, PassOutcome.REFUSED, 1),
    ],
)
def test_outages_and_refusals_affect_every_event(
    database: Database, queue: ExportQueue, exporter: Exporter, gateway: ScriptedGateway, code: Any,
    outcome: PassOutcome, streams: int,
) -> None:  # fmt: skip
    fill(database, 3)

    def refuse(stream: int, headers: dict[str, str]) -> None:
        raise Refuse(code, "why not")

    gateway.at_start = refuse
    report = exporter.run_pass()
    assert (report.outcome, gateway.streams, report.problem) == (outcome, streams, f"{code.name}: why not")
    lease = queue.lease(10, timedelta(minutes=1))
    assert [event.attempts for event in lease.events] == [0, 0, 0]


def test_an_unreachable_gateway_loses_nothing(database: Database, queue: ExportQueue, make_exporter: Any) -> None:
    fill(database, 2)
    report = make_exporter(address="http://127.0.0.1:1").run_pass()
    assert (report.outcome, report.remaining) == (PassOutcome.OUTAGE, 2)
    assert "UNAVAILABLE" in str(report.problem)
    assert [event.attempts for event in queue.lease(10, timedelta(minutes=1)).events] == [0, 0]


def test_a_gateway_that_never_responds_takes_until_the_deadline(
    database: Database, queue: ExportQueue, gateway: ScriptedGateway, make_exporter: Any
) -> None:
    fill(database, 1)
    over = threading.Event()

    def hang(batch: Batch) -> None:
        over.wait(5)

    gateway.script = hang
    report = make_exporter(deadline="200ms", outages_per_pass=2).run_pass()
    over.set()
    assert (report.outcome, report.streams) == (PassOutcome.OUTAGE, 2)
    assert str(report.problem).startswith("DEADLINE_EXCEEDED")
    assert states(queue) == (1, 0, 0)


def test_a_gateway_that_crashes_during_a_stream_loses_nothing(
    database: Database, queue: ExportQueue, gateway: ScriptedGateway, make_exporter: Any
) -> None:
    fill(database, 2_000)

    def die(batch: Batch) -> pb.RecordEventsResponse:
        if batch.number == 2:
            gateway.server.stop(0)
            time.sleep(0.2)  # until the stream has failed
        return acknowledge(batch)

    gateway.script = die
    report = make_exporter(chunk_bytes=64 * 1024, outages_per_pass=2).run_pass()
    assert report.outcome is PassOutcome.OUTAGE
    pending, exported, dead = states(queue)
    assert (pending + exported, dead) == (2_000, 0)
    assert exported == report.acked


def poisonous(batch: Batch) -> pb.RecordEventsResponse:
    if any(event.feature == "poison" for event in batch.events):
        raise Refuse(INTERNAL, "cannot digest it")
    return acknowledge(batch)


@pytest.mark.parametrize("position", ["first", "middle", "last"])
@pytest.mark.parametrize("poisons", [1, 2])
def test_events_that_break_streams_become_dead_letters_without_delaying_others(
    database: Database, queue: ExportQueue, reading: QueueReading, clock: ManualClock, exporter: Exporter,
    gateway: ScriptedGateway, position: str, poisons: int,
) -> None:  # fmt: skip
    before, after = {"first": (0, 20), "middle": (10, 10), "last": (20, 0)}[position]
    gateway.script = poisonous
    fill(database, before)
    bad = fill(database, poisons, "poison")
    fill(database, after)
    report = exporter.run_pass()
    assert (report.outcome, report.acked, report.remaining) == (PassOutcome.DRAINED, 20, poisons)
    for _ in range(4):
        clock.advance(hours=1)
        fill(database, 1)
        assert exporter.run_pass().acked == 1
    letters = reading.dead_letters(10)
    assert {letter.id for letter in letters} == set(bad)
    assert {letter.reason for letter in letters} == {"gateway_error: INTERNAL: cannot digest it"}
    assert states(queue) == (0, 24, poisons)


@pytest.mark.parametrize(("poisons", "good"), [(100, 500), (300, 3)])
def test_many_old_events_that_break_streams_do_not_block_the_queue(
    database: Database, queue: ExportQueue, clock: ManualClock, exporter: Exporter, gateway: ScriptedGateway,
    poisons: int, good: int,
) -> None:  # fmt: skip
    gateway.script = poisonous
    fill(database, poisons, "poison")
    fill(database, good)
    acked = 0
    for _ in range(4):  # the number of passes needed is random; that the good events are found is not
        acked += exporter.run_pass().acked
        clock.advance(hours=1)
    assert acked == good


def test_no_stream_is_opened_when_the_lease_has_ended(
    database: Database, queue: ExportQueue, clock: ManualClock, exporter: Exporter, gateway: ScriptedGateway
) -> None:
    fill(database, 8)

    def slow_and_choking(batch: Batch) -> pb.RecordEventsResponse:
        clock.advance(minutes=2)
        if len(batch.events) > 2:
            raise Refuse(INTERNAL, "too much at once")
        return acknowledge(batch)

    gateway.script = slow_and_choking
    report = exporter.run_pass()
    assert (report.outcome, report.acked, report.remaining) == (PassOutcome.DRAINED, 8, 0)
    assert report.leased > 8  # the lease of five minutes ended twice meanwhile


@pytest.mark.parametrize("count", [3, 300])  # few enough to try each alone; too many to try all
def test_a_gateway_that_breaks_every_stream_is_an_outage(
    database: Database, queue: ExportQueue, exporter: Exporter, gateway: ScriptedGateway, count: int
) -> None:
    fill(database, count)

    def broken(batch: Batch) -> None:
        raise Refuse(INTERNAL, "out of order")

    gateway.script = broken
    report = exporter.run_pass()
    assert (report.outcome, report.remaining, report.dead) == (PassOutcome.OUTAGE, count, 0)
    leased = queue.lease(count, timedelta(minutes=1)).events
    assert [event.attempts for event in leased] == [0] * count
    assert gateway.streams <= 5 * 64


def test_a_message_that_is_too_large_is_split_and_sent_again(
    database: Database, queue: ExportQueue, exporter: Exporter, gateway: ScriptedGateway
) -> None:
    def small_only(batch: Batch) -> pb.RecordEventsResponse:
        if len(batch.events) > 4:
            raise Refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "grpc: received message larger than max (900 vs. 400)")
        return acknowledge(batch)

    gateway.script = small_only
    fill(database, 30)
    report = exporter.run_pass()
    assert (report.outcome, report.acked, report.remaining) == (PassOutcome.DRAINED, 30, 0)


def test_a_single_event_that_is_too_large_becomes_a_dead_letter(
    database: Database,
    queue: ExportQueue,
    reading: QueueReading,
    clock: ManualClock,
    exporter: Exporter,
    gateway: ScriptedGateway,
) -> None:
    def none(batch: Batch) -> None:
        raise Refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "message larger than max")

    gateway.script = none
    fill(database, 1)
    for _ in range(5):
        exporter.run_pass()
        clock.advance(hours=1)
    assert [letter.reason.partition(":")[0] for letter in reading.dead_letters(10)] == ["too_large"]


def test_marking_is_retried_until_the_database_works_again(
    database: Database, queue: ExportQueue, make_exporter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(database, 3)
    mark = queue.mark_exported
    failures = iter([DatabaseBusyError("locked"), DatabaseBusyError("locked"), None])

    def sometimes(ids: Any) -> int:
        if error := next(failures):
            raise error
        return mark(ids)

    monkeypatch.setattr(queue, "mark_exported", sometimes)
    report = make_exporter(queue=queue).run_pass()
    assert (report.outcome, report.acked, states(queue)) == (PassOutcome.DRAINED, 3, (0, 3, 0))


def test_acknowledged_but_unmarked_events_are_sent_again_after_the_lease(
    database: Database, queue: ExportQueue, clock: ManualClock, gateway: ScriptedGateway, make_exporter: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (event_id,) = fill(database, 1)

    def never(ids: Any) -> int:
        clock.advance(minutes=10)  # the lease ends meanwhile
        raise DatabaseBusyError("locked")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(queue, "mark_exported", never)
        gateway.at_start = lambda stream, headers: None
        stopping = make_exporter(queue=queue, lease=timedelta(minutes=5))
        gateway.script = lambda batch: (stopping.stop() if batch.stream == 1 else None, acknowledge(batch))[1]
        stopping.run_pass()
    assert "acknowledged events not marked, they will be sent again" in [line["event"] for line in logs]
    assert states(queue) == (1, 0, 0)
    gateway.script = acknowledge
    assert make_exporter().run_pass().acked == 1
    assert gateway.received == [event_id, event_id]


@pytest.mark.parametrize("method", ["lease", "payloads", "counts", "fail"])
def test_a_database_that_fails_ends_the_pass_and_loses_nothing(
    database: Database, queue: ExportQueue, gateway: ScriptedGateway, make_exporter: Any, method: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    fill(database, 2)
    gateway.script = lambda batch: respond(*batch.ids[:1])

    def fails(*_: Any) -> Any:
        raise DatabaseBusyError("locked")

    with monkeypatch.context() as patch:
        patch.setattr(queue, method, fails)
        report = make_exporter(queue=queue).run_pass()
    assert (report.outcome, report.problem) == (PassOutcome.DATABASE, "locked")
    counts = queue.counts()
    assert counts.pending + counts.exported == 2
    assert counts.leased == 0


def test_stopping_takes_no_new_lease_and_gives_back_what_was_not_sent(
    database: Database, queue: ExportQueue, gateway: ScriptedGateway, make_exporter: Any
) -> None:
    fill(database, 3_000)
    exporter = make_exporter(batch_size=1_000, chunk_bytes=64 * 1024)

    def stop_then_answer(batch: Batch) -> pb.RecordEventsResponse:
        exporter.stop()
        return acknowledge(batch)

    gateway.script = stop_then_answer
    report = exporter.run_pass()
    assert report.outcome is PassOutcome.STOPPED
    assert report.leased == 1_000
    counts = queue.counts()
    assert (counts.leased, counts.pending + counts.exported) == (0, 3_000)
    assert counts.exported == report.acked > 0
    assert exporter.run_pass().leased == 0


def test_stopping_retries_marking_until_the_shutdown_timeout(
    database: Database, queue: ExportQueue, gateway: ScriptedGateway, make_exporter: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    fill(database, 1)
    mark = queue.mark_exported
    failures = iter([DatabaseBusyError("locked"), DatabaseBusyError("locked"), None])

    def sometimes(ids: Any) -> int:
        if error := next(failures):
            raise error
        return mark(ids)

    monkeypatch.setattr(queue, "mark_exported", sometimes)
    exporter = make_exporter(queue=queue)
    gateway.script = lambda batch: (exporter.stop(), acknowledge(batch))[1]
    report = exporter.run_pass()
    assert (report.outcome, report.acked) == (PassOutcome.STOPPED, 1)


def test_stopping_is_bounded_while_no_stream_is_open_yet(
    database: Database, queue: ExportQueue, gateway: ScriptedGateway, make_exporter: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    fill(database, 1)
    exporter = make_exporter(shutdown_timeout=timedelta())
    over = threading.Event()

    def hang(batch: Batch) -> None:
        over.wait(9)

    gateway.script = hang
    open_stream = GatewayClient.open_stream

    def stop_first(client: GatewayClient, *arguments: Any, **options: Any) -> Any:
        exporter.stop()  # as during the fetch of a token
        time.sleep(0.05)
        return open_stream(client, *arguments, **options)

    monkeypatch.setattr(GatewayClient, "open_stream", stop_first)
    started = time.monotonic()
    report = exporter.run_pass()
    over.set()
    assert time.monotonic() - started < 5
    assert (report.outcome, states(queue)) == (PassOutcome.STOPPED, (1, 0, 0))


def test_stopping_waits_for_a_slow_response_until_the_shutdown_timeout(
    database: Database, queue: ExportQueue, gateway: ScriptedGateway, make_exporter: Any
) -> None:
    fill(database, 1)
    exporter = make_exporter(shutdown_timeout=timedelta(milliseconds=100))
    over = threading.Event()

    def hang(batch: Batch) -> None:
        exporter.stop()
        over.wait(9)

    gateway.script = hang
    report = exporter.run_pass()
    over.set()
    assert (report.outcome, report.problem) == (PassOutcome.STOPPED, "CANCELLED: Locally cancelled by application!")
    assert (queue.counts().leased, queue.counts().pending) == (0, 1)
    assert report.duration < 5


def test_several_exporters_share_one_queue(
    database: Database, queue: ExportQueue, gateway: ScriptedGateway, make_exporter: Any
) -> None:
    ids = fill(database, 600)
    exporters = [make_exporter(batch_size=100) for _ in range(3)]
    threads = [threading.Thread(target=exporter.run_pass) for exporter in exporters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states(queue) == (0, 600, 0)
    assert sorted(gateway.received) == sorted(ids)


def test_the_events_of_a_crashed_exporter_are_due_again(
    database: Database, queue: ExportQueue, clock: ManualClock, exporter: Exporter, gateway: ScriptedGateway
) -> None:
    fill(database, 2)
    queue.lease(2, timedelta(minutes=5))  # then it crashes
    assert exporter.run_pass().leased == 0
    clock.advance(minutes=5)
    assert exporter.run_pass().acked == 2


def test_each_pass_logs_one_line_with_its_numbers(database: Database, exporter: Exporter) -> None:
    fill(database, 2)
    with capture_logs() as logs:
        report = exporter.run_pass()
    (line,) = logs
    assert (line["event"], line["log_level"], line["request_id"]) == ("export pass", "info", report.request_id)
    facts = ("leased", "sent", "acked", "rejected", "dead", "held", "remaining", "outcome", "problem", "streams")
    assert [line[fact] for fact in facts] == [2, 2, 2, 0, 0, 0, 0, "drained", None, 1]
    assert line["bytes"] > 0
    assert line["duration"] >= 0
