"""What a gateway counts. No label holds anything that a peer chose."""

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
    """The instruments of one gateway.

    Args:
        registry: Where they are registered.

    Attributes:
        streams: Streams and calls that ended, by their kind and status.
        active: Streams and calls that are served now.
        duration: Seconds that streams and calls took, by their kind.
        events: Events by what became of them: `succeeded`, `rejected` or `failed` (to be sent again).
        published: Messages that the sink took.
        duplicates: Messages that had been published before.
        failures: Groups that the sink or the window did not take.
        publishing: Seconds that a group took, from the window's look-up to the sink's word.
        sink_broken: 1 when the sink takes nothing more until the gateway is started again.
        bytes: Size of the requests that held events.
        over_limit: Streams and calls that ended at a limit: `events` or `bytes` of a publisher, or `streams`.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self.streams = instrument(
            Counter,
            "telemetry_gateway_streams",
            "Streams and calls that ended.",
            ("rpc", "status"),
            registry=self.registry,
        )
        self.active = instrument(
            Gauge, "telemetry_gateway_streams_active", "Streams and calls that are served now.", registry=self.registry
        )
        self.duration = instrument(
            Histogram,
            "telemetry_gateway_stream_seconds",
            "Seconds that streams and calls took.",
            ("rpc",),
            buckets=_STREAM_SECONDS,
            registry=self.registry,
        )
        self.events = instrument(
            Counter,
            "telemetry_gateway_events",
            "Events by what became of them.",
            ("publisher", "outcome"),
            registry=self.registry,
        )
        self.published = instrument(
            Counter, "telemetry_gateway_published", "Messages that the sink took.", registry=self.registry
        )
        self.duplicates = instrument(
            Counter, "telemetry_gateway_duplicates", "Messages that had been published before.", registry=self.registry
        )
        self.failures = instrument(
            Counter,
            "telemetry_gateway_publish_failures",
            "Groups of messages that the sink or the deduplication window did not take.",
            registry=self.registry,
        )
        self.publishing = instrument(
            Histogram,
            "telemetry_gateway_publish_seconds",
            "Seconds that a group of messages took until it was durable.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.sink_broken = instrument(
            Gauge,
            "telemetry_gateway_sink_broken",
            "1 when the sink takes nothing more until the gateway is started again.",
            registry=self.registry,
        )
        self.bytes = instrument(
            Counter, "telemetry_gateway_request_bytes", "Size of the requests that held events.", registry=self.registry
        )
        self.over_limit = instrument(
            Counter,
            "telemetry_gateway_over_limit",
            "Streams and calls that ended at a limit.",
            ("limit",),
            registry=self.registry,
        )
        # Shown as 0 from the start: what appears only with its first event has no rate for an alert.
        for rpc in RPCS:
            self.duration.labels(rpc)
            self.streams.labels(rpc, "OK")
        for limit in LIMITS:
            self.over_limit.labels(limit)
        for publisher in PUBLISHER_KINDS:
            for outcome in OUTCOMES:
                self.events.labels(publisher, outcome)
