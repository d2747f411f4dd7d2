"""What the ingest service counts. No label holds anything that a client chose."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from telemetry_runtime.instruments import instrument

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class GraphQLMetrics:
    """The instruments of the GraphQL endpoint.

    Args:
        registry: Where they are registered.

    Attributes:
        requests: Requests by the HTTP status of their answer.
        refused: Requests that were answered with a GraphQL error, by its code.
        events: Events that were recorded.
        duration: Seconds that a request took.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = instrument(
            Counter,
            "telemetry_ingest_graphql_requests",
            "GraphQL requests by the status of their answer.",
            ("status",),
            registry=registry,
        )
        self.refused = instrument(
            Counter,
            "telemetry_ingest_graphql_refused",
            "GraphQL requests that were answered with an error, by its code.",
            ("code",),
            registry=registry,
        )
        self.events = instrument(
            Counter,
            "telemetry_ingest_graphql_events",
            "Events that were recorded by GraphQL requests.",
            registry=registry,
        )
        self.duration = instrument(
            Histogram,
            "telemetry_ingest_graphql_seconds",
            "Seconds that a GraphQL request took.",
            buckets=_SECONDS,
            registry=registry,
        )
