"""Metrics of the ingest service. No label contains a value that a client chose."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from telemetry_runtime.instruments import instrument

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class GraphQLMetrics:
    """The metrics of the GraphQL endpoint.

    Args:
        registry: Where the metrics are registered.

    Attributes:
        requests: Requests by HTTP status of the response.
        refused: Requests whose response has a GraphQL error, by its code.
        events: Recorded events.
        duration: Duration of requests, in seconds.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = instrument(
            Counter,
            "telemetry_ingest_graphql_requests",
            "GraphQL requests, by HTTP status of the response.",
            ("status",),
            registry=registry,
        )
        self.refused = instrument(
            Counter,
            "telemetry_ingest_graphql_refused",
            "GraphQL requests whose response has an error, by its code.",
            ("code",),
            registry=registry,
        )
        self.events = instrument(
            Counter,
            "telemetry_ingest_graphql_events",
            "Events recorded by GraphQL requests.",
            registry=registry,
        )
        self.duration = instrument(
            Histogram,
            "telemetry_ingest_graphql_seconds",
            "Duration of GraphQL requests, in seconds.",
            buckets=_SECONDS,
            registry=registry,
        )
