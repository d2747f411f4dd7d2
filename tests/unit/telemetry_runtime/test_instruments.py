import threading

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from export import ExportMetrics
from telemetry_gateway.metrics import GatewayMetrics
from telemetry_ingest.collection.metrics import CollectionMetrics
from telemetry_ingest.metrics import GraphQLMetrics
from telemetry_runtime.instruments import instrument


def test_a_registry_has_each_metric_once() -> None:
    registry = CollectorRegistry()
    first, second = (instrument(Counter, "events", "Events.", ("kind",), registry=registry) for _ in range(2))
    assert first is second
    first.labels("a").inc()
    second.labels("a").inc()
    assert registry.get_sample_value("events_total", {"kind": "a"}) == 2


def test_registries_share_nothing() -> None:
    first, second = CollectorRegistry(), CollectorRegistry()
    instrument(Gauge, "size", "Size.", registry=first).set(3)
    instrument(Gauge, "size", "Size.", registry=second)
    assert (first.get_sample_value("size"), second.get_sample_value("size")) == (3, 0)


def test_registers_a_metric_again_after_it_was_unregistered() -> None:
    registry = CollectorRegistry()
    made = instrument(Histogram, "seconds", "Seconds.", registry=registry, buckets=(1, 2))
    registry.unregister(made)
    assert b"seconds" not in generate_latest(registry)
    assert instrument(Histogram, "seconds", "Seconds.", registry=registry, buckets=(1, 2)) is made
    assert b"seconds_count 0.0" in generate_latest(registry)


def test_concurrent_threads_get_the_same_metric() -> None:
    registry, together, made = CollectorRegistry(), threading.Barrier(4), list[Counter]()

    def request() -> None:
        together.wait(30)
        made.append(instrument(Counter, "events", "Events.", registry=registry))

    threads = [threading.Thread(target=request) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(set(map(id, made)))) == (4, 1)


@pytest.mark.parametrize("metrics", [ExportMetrics, GatewayMetrics, GraphQLMetrics, CollectionMetrics])
def test_metrics_of_a_service_can_be_created_twice_in_a_registry(
    metrics: type[ExportMetrics | GatewayMetrics | GraphQLMetrics | CollectionMetrics],
) -> None:
    registry = CollectorRegistry()
    metrics(registry)
    before = {family.name for family in registry.collect()}
    metrics(registry)
    assert {family.name for family in registry.collect()} == before
