"""Failures of a gateway's sink, deduplication window, clients and process."""

import contextlib
import errno
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.gateway_client import TIMEOUT, Answer, batch, event, metadata, send, stream
from support.gateway_server import running_gateway
from support.gateway_sinks import MemorySink, out_of_order
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry.v1.telemetrygateway_pb2_grpc import TelemeteryGatewayServiceStub
from telemetry_gateway import DeduplicationError, GatewayServer, GatewaySettings, JsonlSink, ListenError, SinkError
from telemetry_gateway.statuses import DETAILS_KEY


class TestTheSinkFails:
    @pytest.mark.parametrize("failure", [out_of_order(), ValueError("private text")])
    def test_nothing_is_acknowledged_and_the_client_can_retry(self, tmp_path: Path, failure: Exception) -> None:
        sink, sent = MemorySink(), event()
        sink.failure = failure

        with running_gateway(tmp_path, sink=sink) as gateway, gateway.channel() as channel:
            broken = send(channel, [sent, event(feature="not good")])
            sink.failure = None
            again = send(channel, [sent])

        assert broken.code is grpc.StatusCode.UNAVAILABLE
        assert broken.details == "the batch was not accepted; send it again later"
        assert broken.responses == []
        assert again.succeeded == [sent.id]
        assert sink.ids() == [sent.id]

    def test_batches_before_the_failure_stay_acknowledged(self, tmp_path: Path) -> None:
        sink, first = MemorySink(), event()

        def requests() -> Iterator[pb.RecordEventsRequest]:
            yield metadata()
            yield batch(first)
            while not sink.published:
                time.sleep(0.01)
            sink.failure = out_of_order()
            yield batch(event())

        with running_gateway(tmp_path, sink=sink) as gateway, gateway.channel() as channel:
            answer = stream(channel, requests())

        assert (answer.code, answer.succeeded) == (grpc.StatusCode.UNAVAILABLE, [first.id])

    def test_a_disk_that_fails_makes_the_gateway_unhealthy(self, tmp_path: Path) -> None:
        failing = threading.Event()

        def sync(file: int) -> None:
            if failing.is_set():
                raise OSError(errno.EIO, "Input/output error")
            os.fsync(file)

        sink = JsonlSink(tmp_path / "published.jsonl", 1024 * 1024, sync=sync)
        with running_gateway(tmp_path, sink=sink) as gateway, gateway.channel() as channel:
            health = health_pb2_grpc.HealthStub(channel)
            before = health.Check(health_pb2.HealthCheckRequest(), timeout=10).status
            failing.set()
            answer = send(channel, [event()])
            after = health.Check(health_pb2.HealthCheckRequest(), timeout=10).status
            registry = gateway.server.metrics.registry

        assert registry.get_sample_value("telemetry_gateway_sink_broken") == 1
        assert answer.code is grpc.StatusCode.UNAVAILABLE
        assert before == health_pb2.HealthCheckResponse.SERVING
        assert after == health_pb2.HealthCheckResponse.NOT_SERVING


class TestTheWindow:
    def test_duplicates_are_recognized_after_a_restart(self, tmp_path: Path) -> None:
        sent = event()
        for _ in range(2):
            with running_gateway(tmp_path) as gateway, gateway.channel() as channel:
                assert send(channel, [sent]).succeeded == [sent.id]
                assert gateway.published_ids() == [sent.id]

    def test_a_lost_window_is_rebuilt_from_the_file(self, tmp_path: Path) -> None:
        sent = [event() for _ in range(3)]
        with running_gateway(tmp_path) as gateway, gateway.channel() as channel:
            send(channel, sent)
        for file in tmp_path.glob("deduplication.db*"):
            file.unlink()

        with running_gateway(tmp_path) as gateway, gateway.channel() as channel:
            assert send(channel, sent).succeeded == [one.id for one in sent]
            assert len(gateway.published()) == 3

    def test_a_crash_between_sink_and_window_repeats_nothing(self, tmp_path: Path) -> None:
        first, second = event(), event()
        with running_gateway(tmp_path) as gateway, gateway.channel() as channel:
            send(channel, [first])
            (tmp_path / "before").write_bytes((tmp_path / "deduplication.db").read_bytes())
            send(channel, [second])
        with sqlite3.connect(tmp_path / "deduplication.db") as database:
            position = database.execute("SELECT position FROM sink_position").fetchone()[0]
            inode, _, size = position.partition(":")
            database.execute("DELETE FROM published WHERE event_id = ?", (second.id,))
            first_line = (tmp_path / "published.jsonl").read_bytes().index(b"\n") + 1
            assert int(size) > first_line
            database.execute("UPDATE sink_position SET position = ?", (f"{inode}:{first_line}",))
        database.close()

        with running_gateway(tmp_path) as gateway, gateway.channel() as channel:
            assert send(channel, [second, first]).succeeded == [second.id, first.id]
            assert gateway.published_ids() == [first.id, second.id]

    def test_an_id_past_the_window_is_a_new_event(self, tmp_path: Path) -> None:
        sent = event()
        with running_gateway(tmp_path, deduplication_window="1ms") as gateway, gateway.channel() as channel:
            send(channel, [sent])
            time.sleep(0.01)
            send(channel, [sent])
            assert gateway.published_ids() == [sent.id, sent.id]

    def test_ids_that_failed_to_be_stored_are_stored_before_the_next_batch(self, tmp_path: Path) -> None:
        sink, sent, other = MemorySink(), event(), event()
        with running_gateway(tmp_path, sink=sink) as gateway, gateway.channel() as channel:
            database = sqlite3.connect(tmp_path / "deduplication.db", check_same_thread=False)
            database.execute("CREATE TRIGGER full BEFORE INSERT ON published BEGIN SELECT RAISE(ABORT, 'full'); END")
            database.commit()
            first = send(channel, [sent])
            refused = send(channel, [other])
            database.execute("DROP TRIGGER full")
            database.commit()
            database.close()
            again = send(channel, [sent, other])

        assert first.succeeded == [sent.id]  # correct, because the sink stores it durably
        assert refused.code is grpc.StatusCode.UNAVAILABLE
        assert again.succeeded == [sent.id, other.id]
        assert sink.ids() == [sent.id, other.id]

    def test_a_file_that_is_not_a_database(self, tmp_path: Path) -> None:
        (tmp_path / "deduplication.db").write_bytes(b"no database" * 1000)
        sink = MemorySink()

        with pytest.raises(DeduplicationError, match="cannot be used"), running_gateway(tmp_path, sink=sink):
            pass

        assert sink.closed


class TestConcurrency:
    def test_streams_that_wait_share_one_write(self, tmp_path: Path) -> None:
        sink = MemorySink()
        sink.may_publish.clear()
        events = [event() for _ in range(9)]
        answers: list[Answer] = []

        with running_gateway(tmp_path, sink=sink) as gateway, gateway.channel() as channel:
            threads = [threading.Thread(target=lambda one=one: answers.append(send(channel, [one]))) for one in events]
            threads[0].start()
            assert sink.is_publishing.wait(10)
            for thread in threads[1:]:
                thread.start()
            time.sleep(0.5)
            sink.may_publish.set()
            for thread in threads:
                thread.join(20)

        assert sorted(one for answer in answers for one in answer.succeeded) == sorted(one.id for one in events)
        assert sink.groups == [1, 8]

    def test_a_stream_over_the_limit_gets_a_retry_delay(self, tmp_path: Path) -> None:
        sink = MemorySink()
        sink.may_publish.clear()
        with running_gateway(tmp_path, sink=sink, max_streams=1) as gateway, gateway.channel() as channel:
            first = threading.Thread(target=lambda: send(channel, [event()]))
            first.start()
            assert sink.is_publishing.wait(10)
            answer = send(channel, [event()])
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
            sink.may_publish.set()
            first.join(20)
            after = send(channel, [event()])

        assert answer.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        details = answer.trailers[DETAILS_KEY]
        assert isinstance(details, bytes)
        info = error_details_pb2.RetryInfo()
        assert status_pb2.Status.FromString(details).details[0].Unpack(info)
        assert info.retry_delay.seconds == 1
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        assert after.code is grpc.StatusCode.OK

    def test_a_client_disconnects_while_its_batch_is_written(self, tmp_path: Path) -> None:
        sink, sent = MemorySink(), event()
        sink.may_publish.clear()
        with running_gateway(tmp_path, sink=sink) as gateway, gateway.channel() as channel:
            call = TelemeteryGatewayServiceStub(channel).RecordEvents(iter([metadata(), batch(sent)]), timeout=TIMEOUT)
            assert sink.is_publishing.wait(10)
            call.cancel()
            time.sleep(0.2)
            sink.may_publish.set()
            again = send(channel, [sent])

        assert again.succeeded == [sent.id]
        assert sink.ids() == [sent.id]


def _silent(send_first: threading.Event | None = None) -> Iterator[pb.RecordEventsRequest]:
    yield metadata()
    (send_first or threading.Event()).wait(10)


class TestSilenceAndDraining:
    def test_a_silent_stream_is_ended_and_others_continue(self, tmp_path: Path) -> None:
        done = threading.Event()
        with running_gateway(tmp_path, stream_silence="300ms") as gateway, gateway.channel() as channel:
            answer = stream(channel, _silent(done))
            done.set()
            other = send(channel, [event()])

        assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert answer.details == "no message arrived for 0.3 s"
        assert other.code is grpc.StatusCode.OK

    def test_a_stream_that_never_reads_its_responses_is_ended(self, tmp_path: Path) -> None:
        taken = 0

        def requests() -> Iterator[pb.RecordEventsRequest]:
            nonlocal taken
            yield metadata()
            for _ in range(2000):
                yield batch(*(event(f"{taken}-{number}-{'x' * 200}", feature="Not good") for number in range(100)))
                taken += 1

        with running_gateway(tmp_path, stream_silence="500ms") as gateway, gateway.channel() as channel:
            call = TelemeteryGatewayServiceStub(channel).RecordEvents(requests(), timeout=TIMEOUT)
            other = send(channel, [event()])
            deadline = time.monotonic() + 15
            registry = gateway.server.metrics.registry
            labels = {"rpc": "stream", "status": "DEADLINE_EXCEEDED"}
            while registry.get_sample_value("telemetry_gateway_streams_total", labels) is None:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            call.cancel()

        assert other.code is grpc.StatusCode.OK
        assert taken < 2000

    def test_draining_answers_what_was_sent_and_ends_silent_streams(self, tmp_path: Path) -> None:
        sink, done, sent = MemorySink(), threading.Event(), event()
        sink.may_publish.clear()
        answers: list[Answer] = []

        def requests() -> Iterator[pb.RecordEventsRequest]:
            yield metadata()
            yield batch(sent)
            done.wait(15)

        with running_gateway(tmp_path, sink=sink) as gateway, gateway.channel() as channel:
            sender = threading.Thread(target=lambda: answers.append(stream(channel, requests())))
            sender.start()
            assert sink.is_publishing.wait(10)
            threading.Timer(0.3, sink.may_publish.set).start()
            started = time.monotonic()
            gateway.run(gateway.server.stop())
            took = time.monotonic() - started
            done.set()
            sender.join(20)

        assert [answer.succeeded for answer in answers] == [[sent.id]]
        assert answers[0].code is grpc.StatusCode.UNAVAILABLE
        assert took < 4
        assert sink.closed

    def test_the_time_of_draining_is_limited(self, tmp_path: Path) -> None:
        sink = MemorySink()
        with running_gateway(tmp_path, sink=sink, drain_timeout="200ms") as gateway, gateway.channel() as channel:
            stopped = threading.Event()

            def requests() -> Iterator[pb.RecordEventsRequest]:
                yield metadata()
                while not stopped.wait(0.05):
                    yield batch(event())

            answers: list[Answer] = []
            sender = threading.Thread(target=lambda: answers.append(stream(channel, requests())))
            sender.start()
            assert sink.is_publishing.wait(10)
            gateway.run(gateway.server.stop())
            stopped.set()
            sender.join(20)

        assert answers[0].code in (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAVAILABLE)
        assert set(answers[0].succeeded) <= set(sink.ids())


class TestTheStart:
    def test_a_window_that_cannot_be_written_closes_the_sink(self, tmp_path: Path) -> None:
        with running_gateway(tmp_path) as gateway, gateway.channel() as channel:
            send(channel, [event()])
        with contextlib.closing(sqlite3.connect(tmp_path / "deduplication.db")) as database:
            database.execute("DELETE FROM sink_position")
            database.execute(
                "CREATE TRIGGER full BEFORE INSERT ON sink_position BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
            database.commit()

        with pytest.raises(DeduplicationError), running_gateway(tmp_path):
            pass

        JsonlSink(tmp_path / "published.jsonl", 1024).close()  # its lock has been released

    def test_an_address_in_use(self, tmp_path: Path) -> None:
        with running_gateway(tmp_path) as gateway:
            (tmp_path / "second").mkdir()
            with (
                pytest.raises(ListenError, match="in use"),
                running_gateway(tmp_path / "second", listen_addr=gateway.address),
            ):
                pass

    def test_a_sink_that_another_gateway_writes(self, tmp_path: Path) -> None:
        with (
            running_gateway(tmp_path),
            pytest.raises(SinkError, match="another gateway writes to it"),
            running_gateway(tmp_path),
        ):
            pass

    def test_a_missing_directory(self, tmp_path: Path) -> None:
        settings = GatewaySettings.load(sink_file=tmp_path / "none" / "x.jsonl")
        with pytest.raises(SinkError, match="cannot be opened for writing: No such file"):
            GatewayServer(settings)
