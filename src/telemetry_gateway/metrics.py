"""The gateway's metrics. No label has a value that a client can choose."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from telemetry_gateway.publishing.publisher import PUBLISHER_KINDS
from telemetry_runtime.instruments import instrument

RPCS: Final = ("stream", "call")
LIMITS: Final = ("events", "bytes", "streams")
OUTCOMES: Final = ("succeeded", "rejected", "failed")
_STREAM_SECONDS: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300)
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class GatewayMetrics:
    """The metrics of a gateway.

    Args:
        registry: The registry of the metrics.

    Attributes:
        streams: Number of finished streams and calls, by kind and status.
        active: Number of streams and calls in progress.
        duration: Duration of streams and calls in seconds, by kind.
        events: Number of events by outcome: `succeeded`, `rejected` or `failed` (the client sends them again).
        published: Number of messages that the sink stored.
        duplicates: Number of messages that were already published.
        failures: Number of groups that could not be written to the sink or the deduplication window.
        publishing: Duration of publishing a group in seconds, from the duplicate check until the sink has stored it.
        sink_broken: 1 when the sink accepts no messages until the gateway is restarted.
        bytes: Size of the requests that contain events.
        over_limit: Number of streams and calls that exceeded a limit: `events` or `bytes` of a publisher, or `streams`.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self.streams = instrument(
            Counter,
            "telemetry_gateway_streams",
            "Number of finished streams and calls.",
            ("rpc", "status"),
            registry=self.registry,
        )
        self.active = instrument(
            Gauge,
            "telemetry_gateway_streams_active",
            "Number of streams and calls in progress.",
            registry=self.registry,
        )
        self.duration = instrument(
            Histogram,
            "telemetry_gateway_stream_seconds",
            "Duration of streams and calls in seconds.",
            ("rpc",),
            buckets=_STREAM_SECONDS,
            registry=self.registry,
        )
        self.events = instrument(
            Counter,
            "telemetry_gateway_events",
            "Number of received events by outcome.",
            ("publisher", "outcome"),
            registry=self.registry,
        )
        self.published = instrument(
            Counter, "telemetry_gateway_published", "Number of messages that the sink stored.", registry=self.registry
        )
        self.duplicates = instrument(
            Counter,
            "telemetry_gateway_duplicates",
            "Number of messages that were already published.",
            registry=self.registry,
        )
        self.failures = instrument(
            Counter,
            "telemetry_gateway_publish_failures",
            "Number of message groups that could not be written to the sink or the deduplication window.",
            registry=self.registry,
        )
        self.publishing = instrument(
            Histogram,
            "telemetry_gateway_publish_seconds",
            "Seconds until a group of messages is durable.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.sink_broken = instrument(
            Gauge,
            "telemetry_gateway_sink_broken",
            "1 when the sink accepts no messages until the gateway is restarted.",
            registry=self.registry,
        )
        self.bytes = instrument(
            Counter,
            "telemetry_gateway_request_bytes",
            "Size of the requests that contain events.",
            registry=self.registry,
        )
        self.over_limit = instrument(
            Counter,
            "telemetry_gateway_over_limit",
            "Number of streams and calls that exceeded a limit.",
            ("limit",),
            registry=self.registry,
        )
        # Create all series with value 0: alerts cannot compute the rate of a series that appears with its first event.
        for rpc in RPCS:
            self.duration.labels(rpc)
            self.streams.labels(rpc, "OK")
        for limit in LIMITS:
            self.over_limit.labels(limit)
        for publisher in PUBLISHER_KINDS:
            for outcome in OUTCOMES:
                self.events.labels(publisher, outcome)
