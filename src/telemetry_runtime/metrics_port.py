"""Serve Prometheus metrics over plain HTTP, for `telemetry export run` and the gateway.

This module opens a port: import it only where a process starts.
"""

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server

from telemetry.errors import TelemetryError
from telemetry_runtime.listening import join_listen_address, split_listen_address


class MetricsPortError(TelemetryError):
    """The metrics port cannot be opened."""


@dataclass(frozen=True, slots=True)
class MetricsPort:
    """An open metrics port.

    Attributes:
        address: `host:port`; the metrics are at `http://<address>/metrics`.
        stop: Closes the port after the current requests are answered.
    """

    address: str
    stop: Callable[[], None]


def serve_metrics(registry: CollectorRegistry, listen_addr: str) -> MetricsPort:
    """Serve a registry's metrics in a separate thread.

    Args:
        registry: The registry to serve.
        listen_addr: `host:port`; port 0 selects any free port.

    Raises:
        MetricsPortError: The address is in use, or does not belong to this machine.
    """
    host, port = split_listen_address(listen_addr)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise MetricsPortError(
            f"cannot serve metrics at {listen_addr}: {error.strerror}; "
            "set another port, or stop the process that uses it"
        ) from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return MetricsPort(join_listen_address(host, server.server_address[1]), stop)
