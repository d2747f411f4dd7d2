"""Operation of a gateway: rejected events, limits, metrics, reflection, connections, the process."""

import asyncio
import os
import re
import signal
import stat
import threading
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc  # type: ignore[import-untyped]

from support.gateway_client import INSTANCE, LICENSED, batch, event, metadata, send, stream
from support.gateway_server import running_gateway
from support.gateway_sinks import MemorySink
from telemetry_gateway import GatewaySettings, ListenError, RejectsError, read_rejects, serve
from telemetry_gateway.statuses import DETAILS_KEY
from telemetry_runtime.metrics_port import MetricsPortError


class TestRejects:
    def test_they_are_stored_unchanged_with_the_reason(self, tmp_path: Path) -> None:
        bad = event(feature="Not good")
        bad.parameters.metadata["nan"] = float("nan")
        bad.parameters.legacy_metadata["old"] = 1

        with running_gateway(tmp_path) as gateway, gateway.channel() as channel:
            send(channel, [event(), bad])

        (kept,) = read_rejects(tmp_path / "rejects.jsonl")
        assert kept.reason == "feature is not a valid name"
        assert kept.publisher == "unlicensed:instance-1"
        assert kept.metadata == metadata(INSTANCE).metadata
        assert kept.event.SerializeToString(deterministic=True) == bad.SerializeToString(deterministic=True)
        assert stat.S_IMODE((tmp_path / "rejects.jsonl").stat().st_mode) == 0o600

    def test_the_size_of_the_files_is_limited(self, tmp_path: Path) -> None:
        with running_gateway(tmp_path, rejects_max_bytes=1024) as gateway, gateway.channel() as channel:
            for number in range(20):
                send(channel, [event(f"id-{number}", feature="Not good")])

        kept = [reject.event.id for reject in read_rejects(tmp_path / "rejects.jsonl")]
        assert kept[-1] == "id-19"
        assert 2 <= len(kept) < 20
        assert sum(file.stat().st_size for file in tmp_path.glob("rejects.jsonl*")) < 4096

    def test_a_batch_is_not_acknowledged_if_rejects_cannot_be_stored(self, tmp_path: Path) -> None:
        file = tmp_path / "none" / "rejects.jsonl"
        with running_gateway(tmp_path, rejects_file=file) as gateway, gateway.channel() as channel:
            answer = send(channel, [event(), event(feature="Not good")])
            assert gateway.published() == []

        assert (answer.code, answer.succeeded) == (grpc.StatusCode.UNAVAILABLE, [])

    def test_an_incomplete_line_and_a_missing_file_yield_nothing(self, tmp_path: Path) -> None:
        assert list(read_rejects(tmp_path / "rejects.jsonl")) == []
        (tmp_path / "rejects.jsonl").write_text('{"at": "2026-01-01"}\n{"at": "20')
        assert list(read_rejects(tmp_path / "rejects.jsonl")) == []

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(RejectsError, match="cannot be read: Is a directory"):
            list(read_rejects(tmp_path.rename(tmp_path.with_name("rejects.jsonl"))))


@pytest.mark.parametrize(
    ("settings", "details"),
    [
        ({"events_per_second": 2, "burst": "1s"}, "this publisher exceeds its limit of 2 events per second"),
        ({"bytes_per_second": 100, "burst": "1s"}, "this publisher exceeds its limit of 100 bytes per second"),
    ],
)
def test_a_publisher_over_its_limit_gets_a_retry_delay(tmp_path: Path, settings: dict[str, Any], details: str) -> None:
    events = [event() for _ in range(3)]

    with running_gateway(tmp_path, **settings) as gateway, gateway.channel() as channel:
        answer = stream(channel, [metadata(), batch(*events), batch(event())])
        other = send(channel, [event()], LICENSED)
        turned_away = {
            limit: gateway.server.metrics.registry.get_sample_value(
                "telemetry_gateway_over_limit_total", {"limit": limit}
            )
            for limit in ("events", "bytes", "streams")
        }

    (limit,) = (name for name in turned_away if f"{name}_per_second" in settings)
    assert turned_away == {"events": 0, "bytes": 0, "streams": 0} | {limit: 1}
    # The first batch is accepted although it is larger than the bucket, so it is not blocked forever.
    assert answer.succeeded == [one.id for one in events]
    assert (answer.code, answer.details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, details)
    status = answer.trailers[DETAILS_KEY]
    assert isinstance(status, bytes)
    info = error_details_pb2.RetryInfo()
    assert status_pb2.Status.FromString(status).details[0].Unpack(info)
    assert 0 < info.retry_delay.seconds + info.retry_delay.nanos / 1e9 < 10
    assert other.code is grpc.StatusCode.OK


class TestMetrics:
    def test_they_are_served_over_http(self, tmp_path: Path) -> None:
        sent = event()
        with running_gateway(tmp_path, metrics_addr="127.0.0.1:0") as gateway, gateway.channel() as channel:
            send(channel, [sent, event(feature="Not good")])
            send(channel, [sent])
            stream(channel, [batch(sent)])
            with urllib.request.urlopen(f"http://{gateway.server.metrics_address}/metrics", timeout=10) as answer:
                text = answer.read().decode()

        lines = set(text.splitlines())
        assert 'telemetry_gateway_events_total{outcome="succeeded",publisher="unlicensed_instance"} 2.0' in lines
        assert 'telemetry_gateway_events_total{outcome="rejected",publisher="unlicensed_instance"} 1.0' in lines
        assert 'telemetry_gateway_streams_total{rpc="stream",status="INVALID_ARGUMENT"} 1.0' in lines
        assert 'telemetry_gateway_streams_total{rpc="stream",status="OK"} 2.0' in lines
        assert "telemetry_gateway_published_total 1.0" in lines
        assert "telemetry_gateway_duplicates_total 1.0" in lines
        assert "telemetry_gateway_streams_active 0.0" in lines
        assert "telemetry_gateway_publish_seconds_count 2.0" in lines
        assert 'telemetry_gateway_stream_seconds_count{rpc="stream"} 3.0' in lines
        assert 'telemetry_gateway_stream_seconds_count{rpc="call"} 0.0' in lines
        assert 'telemetry_gateway_over_limit_total{limit="streams"} 0.0' in lines
        assert "telemetry_gateway_sink_broken 0.0" in lines
        assert any(re.fullmatch(r"telemetry_gateway_request_bytes_total [1-9]\d+\.0", line) for line in lines)
        assert "instance-1" not in text

    def test_an_address_in_use(self, tmp_path: Path) -> None:
        (tmp_path / "second").mkdir()
        with running_gateway(tmp_path, metrics_addr="127.0.0.1:0") as gateway:
            taken = gateway.server.metrics_address
            with (
                pytest.raises(
                    MetricsPortError, match="cannot serve metrics at 127.0.0.1:.*: Address already in use; set another"
                ),
                running_gateway(tmp_path / "second", metrics_addr=taken),
            ):
                pass

    def test_an_event_sent_twice_does_not_count_as_failed(self, tmp_path: Path) -> None:
        sent = event()
        with running_gateway(tmp_path) as gateway, gateway.channel() as channel:
            send(channel, [sent, sent])
            labels = {"publisher": "unlicensed_instance", "outcome": "failed"}
            value = gateway.server.metrics.registry.get_sample_value("telemetry_gateway_events_total", labels)

        assert value == 0

    def test_failures_are_counted(self, tmp_path: Path) -> None:
        sink = MemorySink()
        sink.failure = ValueError()
        with running_gateway(tmp_path, sink=sink) as gateway, gateway.channel() as channel:
            send(channel, [event()])
            registry = gateway.server.metrics.registry
            labels = {"publisher": "unlicensed_instance", "outcome": "failed"}
            values = [
                registry.get_sample_value("telemetry_gateway_publish_failures_total"),
                registry.get_sample_value("telemetry_gateway_events_total", labels),
            ]

        assert values == [1, 1]


def test_standard_output_as_a_sink(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    sent = event()
    with running_gateway(tmp_path, sink="stdout") as gateway, gateway.channel() as channel:
        assert send(channel, [sent, sent]).succeeded == [sent.id]

    assert capfdbinary.readouterr().out.count(sent.id.encode()) == 1


def test_reflection_lists_the_services(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway, gateway.channel() as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=10)

    assert {service.name for service in answer.list_services_response.service} == {
        "telemetrygateway.v1.TelemeteryGatewayService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


@pytest.mark.parametrize("setting", ["connection_idle", "connection_age"])
def test_old_and_idle_connections_are_closed_and_clients_reconnect(tmp_path: Path, setting: str) -> None:
    limits: dict[str, Any] = {setting: "300ms"}
    with running_gateway(tmp_path, **limits) as gateway, gateway.channel() as channel:
        idle = threading.Event()

        def watch(state: grpc.ChannelConnectivity) -> None:
            if state is grpc.ChannelConnectivity.IDLE and connected.is_set():
                idle.set()

        connected = threading.Event()
        send(channel, [event()])
        connected.set()
        channel.subscribe(watch)
        assert idle.wait(20)
        assert send(channel, [event()]).code is grpc.StatusCode.OK
        channel.unsubscribe(watch)


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_serve_runs_until_a_signal(tmp_path: Path, signal_number: signal.Signals) -> None:
    settings = GatewaySettings.load(
        listen_addr="127.0.0.1:0",
        sink_file=tmp_path / "published.jsonl",
        deduplication_file=tmp_path / "deduplication.db",
        rejects_file=tmp_path / "rejects.jsonl",
    )
    addresses: list[str] = []
    sent = event()

    def ready(address: str) -> None:
        addresses.append(address)

        def use() -> None:
            with grpc.insecure_channel(address) as channel:
                send(channel, [sent])
            os.kill(os.getpid(), signal_number)

        threading.Thread(target=use).start()

    asyncio.run(serve(settings, on_ready=ready))

    assert addresses[0].startswith("127.0.0.1:")
    assert sent.id in (tmp_path / "published.jsonl").read_text()


def test_serve_reports_why_it_cannot_start(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        settings = GatewaySettings.load(
            listen_addr=gateway.address,
            sink_file=tmp_path / "other.jsonl",
            deduplication_file=tmp_path / "other.db",
        )
        with pytest.raises(ListenError):
            asyncio.run(serve(settings, on_ready=lambda _: None))
