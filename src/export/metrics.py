"""The Prometheus metrics of the export. Labels never contain data of events."""

from datetime import datetime

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from telemetry_runtime.instruments import instrument
from telemetry_store.export_queue import QueueCounts
from telemetry_store.pass_report import PassOutcome


class ExportMetrics:
    """The metrics of an exporter.

    Args:
        registry: The registry of the metrics. Exporters with the same registry share the metrics: counts add up, and
            gauges show the last reading. With several queues, use a separate registry for each.

    Attributes:
        registry: The registry.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self.exported = instrument(
            Counter,
            "telemetry_events_exported",
            "Events that the gateway acknowledged and that were marked as exported.",
            registry=registry,
        )
        self.rejected = instrument(
            Counter, "telemetry_events_rejected", "Events that the gateway rejected permanently.", registry=registry
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
            Counter, "telemetry_export_passes", "Export passes, by outcome.", ["outcome"], registry=registry
        )
        self.last_success = instrument(
            Gauge,
            "telemetry_export_last_success_timestamp_seconds",
            "Time of the last pass that exported everything that was due.",
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
            "Duration of a pass.",
            buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 1_800),
            registry=registry,
        )
        self.queue_size = instrument(
            Gauge, "telemetry_queue_events", "Unexported events in the queue.", registry=registry
        )
        self.queued = instrument(
            Gauge,
            "telemetry_events_queued",
            "All events ever added to the queue, by its ledger.",
            registry=registry,
        )
        self.oldest_age = instrument(
            Gauge, "telemetry_queue_oldest_age_seconds", "Age of the oldest unexported event.", registry=registry
        )
        self.dead_letters = instrument(Gauge, "telemetry_dead_letters", "Dead letters in the queue.", registry=registry)
        # Shown as 0 from the start: an alert on a rate misses the first pass of an outcome otherwise.
        for outcome in PassOutcome:
            self.passes.labels(outcome.value)

    def observe_queue(self, counts: QueueCounts, now: datetime) -> None:
        """Set the gauges from a reading of the queue."""
        self.queue_size.set(counts.pending)
        self.queued.set(counts.recorded)
        self.dead_letters.set(counts.dead)
        oldest = counts.oldest_pending
        self.oldest_age.set(0 if oldest is None else max(0.0, (now - oldest).total_seconds()))
