"""What Prometheus is told of the export. No label ever holds anything that an event said."""

from datetime import datetime

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from telemetry_runtime.instruments import instrument
from telemetry_store.export_queue import QueueCounts
from telemetry_store.pass_report import PassOutcome


class ExportMetrics:
    """The exporter's instruments.

    Args:
        registry: Where they are registered. Exporters that are given the same registry share the instruments: counts
            add up, and gauges show the reading of the last one. Give each of several queues its own registry.

    Attributes:
        registry: The same.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self.exported = instrument(
            Counter,
            "telemetry_events_exported",
            "Events that the gateway acknowledged and that were marked.",
            registry=registry,
        )
        self.rejected = instrument(
            Counter, "telemetry_events_rejected", "Events that the gateway said can never succeed.", registry=registry
        )
        self.dead = instrument(Counter, "telemetry_events_dead", "Events that became dead letters.", registry=registry)
        self.pruned = instrument(
            Counter,
            "telemetry_events_pruned",
            "Exported events that cleanup deleted from the queue.",
            registry=registry,
        )
        self.event_logs_pruned = instrument(
            Counter,
            "telemetry_event_logs_pruned",
            "Rows of event_logs that cleanup deleted past their retention.",
            registry=registry,
        )
        self.bytes = instrument(
            Counter, "telemetry_export_bytes", "Serialized size of the events that were sent.", registry=registry
        )
        self.passes = instrument(
            Counter, "telemetry_export_passes", "Export passes, by how they ended.", ["outcome"], registry=registry
        )
        self.last_success = instrument(
            Gauge,
            "telemetry_export_last_success_timestamp_seconds",
            "When a pass last left nothing behind that was due.",
            registry=registry,
        )
        self.batch_size = instrument(
            Histogram,
            "telemetry_export_batch_events",
            "Events leased at a time.",
            buckets=(1, 10, 100, 1_000, 5_000, 10_000, 50_000),
            registry=registry,
        )
        self.duration = instrument(
            Histogram,
            "telemetry_export_pass_seconds",
            "Time that a pass took.",
            buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 1_800),
            registry=registry,
        )
        self.queue_size = instrument(
            Gauge, "telemetry_queue_events", "Unexported events in the queue.", registry=registry
        )
        self.queued = instrument(
            Gauge,
            "telemetry_events_queued",
            "Events that were ever put into the queue, by its ledger.",
            registry=registry,
        )
        self.oldest_age = instrument(
            Gauge, "telemetry_queue_oldest_age_seconds", "Age of the oldest unexported event.", registry=registry
        )
        self.dead_letters = instrument(Gauge, "telemetry_dead_letters", "Dead letters in the queue.", registry=registry)
        # Shown as 0 from the start: what appears only with its first pass has no rate for an alert.
        for outcome in PassOutcome:
            self.passes.labels(outcome.value)

    def observe_queue(self, counts: QueueCounts, now: datetime) -> None:
        """Takes over a reading of the queue."""
        self.queue_size.set(counts.pending)
        self.queued.set(counts.recorded)
        self.dead_letters.set(counts.dead)
        oldest = counts.oldest_pending
        self.oldest_age.set(0 if oldest is None else max(0.0, (now - oldest).total_seconds()))
