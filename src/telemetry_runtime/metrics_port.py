"""Serves Prometheus metrics over plain HTTP, for `telemetry export run` and the gateway alike.

It opens a port: import it only where a process starts.
"""

from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server

from telemetry.errors import TelemetryError
from telemetry_runtime.listening import join_listen_address, split_listen_address


class MetricsPortError(TelemetryError):
    """Metrics could not be served at their address."""


@dataclass(frozen=True, slots=True)
class MetricsPort:
    """A port that answers scrapes.

    Attributes:
        address: `host:port`; the metrics are at `http://<address>/metrics`.
        stop: Closes the port, once what is being answered is answered.
    """

    address: str
    stop: Callable[[], None]


def serve_metrics(registry: CollectorRegistry, listen_addr: str) -> MetricsPort:
    """Serves a registry's metrics in a thread of its own.

    Args:
        registry: What is served.
        listen_addr: `host:port`; port 0 takes any free one.

    Raises:
        MetricsPortError: The address is taken or not this machine's.
    """
    host, port = split_listen_address(listen_addr)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise MetricsPortError(
            f"cannot serve metrics at {listen_addr}: {error.strerror}; name another port, or stop what has it"
        ) from None

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return MetricsPort(join_listen_address(host, server.server_address[1]), stop)
