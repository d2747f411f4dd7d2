"""Metrics are served at the configured address; an address in use is reported."""

import socket
import urllib.request

import pytest
from prometheus_client import CollectorRegistry, Counter

from telemetry_runtime.metrics_port import MetricsPortError, serve_metrics


def test_a_registry_is_served_until_the_port_is_stopped() -> None:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    port = serve_metrics(registry, "127.0.0.1:0")
    host, number = port.address.rsplit(":", 1)
    with urllib.request.urlopen(f"http://{port.address}/metrics", timeout=10) as answer:
        assert "things_total 3.0" in answer.read().decode()
    port.stop()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(number)), timeout=10)


def test_an_address_in_use_is_reported_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(MetricsPortError) as caught:
            serve_metrics(CollectorRegistry(), address)
    assert str(caught.value) == (
        f"cannot serve metrics at {address}: Address already in use; set another port, or stop the process that uses it"
    )


def test_an_address_of_another_machine_is_rejected() -> None:
    with pytest.raises(MetricsPortError, match="cannot serve metrics at 192.0.2.1:9464: "):
        serve_metrics(CollectorRegistry(), "192.0.2.1:9464")
