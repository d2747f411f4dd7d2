"""An outage of the NATS server that a gateway publishes to."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs

from support.gateway_certificates import CertificateAuthority
from support.gateway_client import event, send
from support.gateway_server import running_gateway
from telemetry_gateway import SinkError
from telemetry_gateway.sinks.jetstream import JetStreamSink, JetStreamTarget

SERVER = shutil.which("nats-server")

pytestmark = pytest.mark.skipif(SERVER is None, reason="no nats-server program to start and stop")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def nats_server(port: int, directory: Path, *options: str) -> Iterator[None]:
    command = [SERVER or "", "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(directory), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        try:
            yield
        finally:
            process.kill()


def test_nothing_is_acknowledged_during_an_outage(tmp_path: Path) -> None:
    port = _free_port()
    first, second = event(), event()
    server = ExitStack()
    server.enter_context(nats_server(port, tmp_path / "nats"))
    with (
        server,
        running_gateway(tmp_path, sink="nats", nats_url=f"nats://127.0.0.1:{port}", nats_timeout="2s") as gateway,
        gateway.channel() as channel,
    ):
        assert send(channel, [first]).succeeded == [first.id]
        server.close()

        away = send(channel, [second])
        assert (away.code, away.succeeded) == (grpc.StatusCode.UNAVAILABLE, [])

        with nats_server(port, tmp_path / "nats"):
            deadline = time.monotonic() + 30
            while send(channel, [second]).code is not grpc.StatusCode.OK:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            again = send(channel, [first, second])
            assert again.succeeded == [first.id, second.id]
            published = gateway.server.metrics.registry.get_sample_value("telemetry_gateway_published_total")

    assert published == 2


@pytest.mark.interpreter
def test_a_rejected_server_certificate_is_reported(tmp_path: Path) -> None:
    port = _free_port()
    certificate, key = CertificateAuthority(tmp_path).issue("nats")
    target = JetStreamTarget([f"tls://127.0.0.1:{port}"], "stream", "subject", timeout=timedelta(seconds=2))
    tls = ("--tls", "--tlscert", str(certificate), "--tlskey", str(key))
    with (
        nats_server(port, tmp_path / "nats", *tls),
        capture_logs() as logs,
        pytest.raises(SinkError, match="the server's certificate is rejected: its authority is not trusted") as caught,
    ):
        JetStreamSink(target)
    assert "SSL_CERT_FILE" in str(caught.value)
    assert any("its authority is not trusted" in log["problem"] for log in logs)
