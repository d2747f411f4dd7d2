"""Metrics of event collection. No label contains a value that a client chose."""

from prometheus_client import CollectorRegistry, Counter

from telemetry_runtime.instruments import instrument


class CollectionMetrics:
    """The metrics of one endpoint.

    Args:
        registry: Where the metrics are registered.

    Attributes:
        requests: Requests by package (empty if unknown) and outcome: `recorded`, `unmatched`, `too_large`,
            `too_slow`, `limited` or `failed` (not stored).
        variables: Variables that were dropped: `undeclared` by the package, or `unstorable` in a database.
        partial_bodies: Bodies that are not a JSON object, or are truncated.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self.requests = instrument(
            Counter,
            "telemetry_collection_requests",
            "Requests to event collection packages, by outcome.",
            ("package", "outcome"),
            registry=self.registry,
        )
        self.variables = instrument(
            Counter,
            "telemetry_collection_variables_dropped",
            "Variables of pings that were dropped.",
            ("package", "why"),
            registry=self.registry,
        )
        self.partial_bodies = instrument(
            Counter,
            "telemetry_collection_partial_bodies",
            "Bodies that are not a JSON object, or are truncated; the readable part was kept.",
            ("package",),
            registry=self.registry,
        )
