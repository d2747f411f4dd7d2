"""What event collection counts. No label holds anything that a client chose."""

from prometheus_client import CollectorRegistry, Counter

from telemetry_runtime.instruments import instrument


class CollectionMetrics:
    """The instruments of one endpoint.

    Args:
        registry: Where they are registered.

    Attributes:
        requests: Requests by their package (empty where none is known) and by what became of them: `recorded`,
            `unmatched`, `too_large`, `too_slow`, `limited` or `failed` (it could not be stored).
        variables: Variables that were not kept: `undeclared` by the package, or `unstorable` in a database.
        partial_bodies: Bodies that are no JSON object, or one that is cut.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self.requests = instrument(
            Counter,
            "telemetry_collection_requests",
            "Requests to event collection packages, by what became of them.",
            ("package", "outcome"),
            registry=self.registry,
        )
        self.variables = instrument(
            Counter,
            "telemetry_collection_variables_dropped",
            "Variables that were not kept.",
            ("package", "why"),
            registry=self.registry,
        )
        self.partial_bodies = instrument(
            Counter,
            "telemetry_collection_partial_bodies",
            "Bodies that are no JSON object, or one that is cut; what could be read was kept.",
            ("package",),
            registry=self.registry,
        )
