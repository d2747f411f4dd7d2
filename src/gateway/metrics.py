"""What a gateway counts. No label holds anything that a peer chose."""

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class GatewayMetrics:
    """The instruments of one gateway.

    Args:
        registry: Where they are registered.

    Attributes:
        streams: Streams and calls that ended, by their kind and status.
        active: Streams and calls that are served now.
        events: Events by what became of them: `succeeded`, `rejected` or `failed` (to be sent again).
        published: Messages that the sink took.
        duplicates: Messages that had been published before.
        failures: Groups that the sink or the window did not take.
        publishing: Seconds that a group took, from the window's look-up to the sink's word.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self.streams = Counter(
            "telemetry_gateway_streams",
            "Streams and calls that ended.",
            ("rpc", "status"),
            registry=self.registry,
        )
        self.active = Gauge(
            "telemetry_gateway_streams_active", "Streams and calls that are served now.", registry=self.registry
        )
        self.events = Counter(
            "telemetry_gateway_events",
            "Events by what became of them.",
            ("publisher", "outcome"),
            registry=self.registry,
        )
        self.published = Counter("telemetry_gateway_published", "Messages that the sink took.", registry=self.registry)
        self.duplicates = Counter(
            "telemetry_gateway_duplicates", "Messages that had been published before.", registry=self.registry
        )
        self.failures = Counter(
            "telemetry_gateway_publish_failures",
            "Groups of messages that the sink or the deduplication window did not take.",
            registry=self.registry,
        )
        self.publishing = Histogram(
            "telemetry_gateway_publish_seconds",
            "Seconds that a group of messages took until it was durable.",
            buckets=_SECONDS,
            registry=self.registry,
        )

    def serve(self, host: str, port: int) -> tuple[int, Callable[[], None]]:
        """Serves them over HTTP; returns the port and what stops it.

        Raises:
            OSError: The address is taken or not this machine's.
        """
        server, thread = start_http_server(port, host, self.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return server.server_address[1], stop
