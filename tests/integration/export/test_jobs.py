"""Cleanup, metrics, and the jobs on their scheduler."""

import subprocess
import sys
import threading
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from sqlalchemy import insert
from structlog.testing import capture_logs

from export import Cleanup, ExportError, ExporterSettings, ExportJobs, ExportMetrics
from support.databases import ManualClock
from support.recorders import logged, make_recorder
from telemetry import NewEvent
from telemetry_store.database import Database
from telemetry_store.errors import DatabaseBusyError
from telemetry_store.export_queue import ExportQueue
from telemetry_store.export_runs import KEPT_RUNS, ExportRuns, export_runs
from telemetry_store.pass_report import PassReport
from telemetry_testing import Batch, ScriptedGateway, acknowledge

MINUTE = timedelta(minutes=1)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def fill(database: Database, count: int, when: datetime | None = None) -> list[str]:
    return make_recorder(database).batch_record(NewEvent("search", "submit", timestamp=when) for _ in range(count))


def test_cleanup_deletes_rows_past_their_retention_in_steps(
    database: Database, queue: ExportQueue, clock: ManualClock, registry: CollectorRegistry
) -> None:
    ids = fill(database, 2_100, clock.now)
    queue.mark_exported(ids[:2_050])
    cleanup = Cleanup(
        database, queue, exported_retention=timedelta(hours=24), event_logs_retention=None,
        metrics=ExportMetrics(registry), clock=clock,
    )  # fmt: skip
    assert cleanup.run().exported == 0
    clock.advance(hours=24, seconds=1)
    report = cleanup.run()
    assert (report.exported, report.event_logs) == (2_050, 0)
    counts = queue.counts()
    assert (counts.pending, counts.cleaned, counts.recorded) == (50, 2_050, 2_100)
    assert len(logged(database)) == 2_100
    assert sample(registry, "telemetry_events_pruned_total") == 2_050


def test_cleanup_deletes_old_event_logs_only_if_a_retention_is_set(
    database: Database, queue: ExportQueue, clock: ManualClock, registry: CollectorRegistry
) -> None:
    fill(database, 3, clock.now - timedelta(days=31))
    fill(database, 2, clock.now)
    cleanup = Cleanup(
        database, queue, exported_retention=timedelta(), event_logs_retention=timedelta(days=30),
        metrics=ExportMetrics(registry), clock=clock,
    )  # fmt: skip
    assert cleanup.run().event_logs == 3
    assert sample(registry, "telemetry_event_logs_pruned_total") == 3
    assert queue.counts().pending == 5  # the queue is not affected
    cleanup.stop()
    clock.advance(days=31)
    assert cleanup.run().event_logs == 0


def test_cleanup_keeps_the_latest_passes(
    database: Database, queue: ExportQueue, clock: ManualClock, registry: CollectorRegistry
) -> None:
    with database.engine.begin() as connection:
        connection.execute(
            insert(export_runs),
            [
                asdict(PassReport(request_id=str(n), started_at=clock.now, last_at=clock.now, outcome="drained"))
                for n in range(KEPT_RUNS + 5)
            ],
        )
    Cleanup(
        database, queue, exported_retention=timedelta(), event_logs_retention=None,
        metrics=ExportMetrics(registry), clock=clock,
    ).run()  # fmt: skip
    assert len(ExportRuns(database).latest(2 * KEPT_RUNS)) == KEPT_RUNS


def test_deleted_rows_are_counted_even_if_the_rest_fails(
    database: Database, queue: ExportQueue, clock: ManualClock, registry: CollectorRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    queue.mark_exported(fill(database, 3))
    clock.advance(days=2)

    def fails(*_: Any) -> int:
        raise DatabaseBusyError("locked")

    monkeypatch.setattr("export.cleanup.prune_event_logs", fails)
    cleanup = Cleanup(
        database, queue, exported_retention=timedelta(), event_logs_retention=timedelta(days=1),
        metrics=ExportMetrics(registry), clock=clock,
    )  # fmt: skip
    with pytest.raises(DatabaseBusyError):
        cleanup.run()
    assert sample(registry, "telemetry_events_pruned_total") == queue.counts().cleaned == 3


def jobs_for(url: str, gateway: ScriptedGateway, registry: CollectorRegistry, **settings: Any) -> ExportJobs:
    loaded = ExporterSettings.load(
        database_url=url, export_addr=gateway.address, instance_id="i", export_mode="all", **settings
    )
    return ExportJobs(loaded, metrics=ExportMetrics(registry))


def until(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_started_jobs_export_at_once_and_again_and_stop_cleanly(
    migrated_url: str, database: Database, gateway: ScriptedGateway, registry: CollectorRegistry
) -> None:
    fill(database, 2)
    jobs = jobs_for(migrated_url, gateway, registry, export_interval="100ms", metrics_interval="50ms").start()
    with pytest.raises(ExportError, match="already running"):
        jobs.start()
    until(lambda: len(gateway.received) == 2)
    fill(database, 1)
    until(lambda: len(gateway.received) == 3)
    until(lambda: sample(registry, "telemetry_events_queued") == 3)
    until(lambda: sample(registry, "telemetry_queue_events") == 0)
    until(lambda: (sample(registry, "telemetry_export_passes_total", outcome="drained") or 0) >= 2)
    jobs.stop()
    assert sample(registry, "telemetry_events_exported_total") == 3
    assert (sample(registry, "telemetry_export_last_success_timestamp_seconds") or 0) > time.time() - 60
    assert not [thread for thread in threading.enumerate() if "APScheduler" in thread.name]


def test_jobs_can_be_made_again_in_one_process(migrated_url: str, database: Database, gateway: ScriptedGateway) -> None:
    """As the lifespan of a web application does, with several test clients in sequence."""
    loaded = ExporterSettings.load(
        database_url=migrated_url, export_addr=gateway.address, instance_id="i", export_mode="all"
    )
    before = sample(REGISTRY, "telemetry_events_exported_total") or 0
    for turn in (1, 2, 3):
        fill(database, 1)
        jobs = ExportJobs(loaded).start()
        until(lambda expected=turn: len(gateway.received) == expected)
        jobs.stop()
    assert sample(REGISTRY, "telemetry_events_exported_total") == before + 3


def test_stopping_during_a_pass_releases_leases(
    migrated_url: str, database: Database, gateway: ScriptedGateway, registry: CollectorRegistry
) -> None:
    fill(database, 1_000)
    reached = threading.Event()

    def slow(batch: Batch) -> Any:
        reached.set()
        time.sleep(0.05)
        return acknowledge(batch)

    gateway.script = slow
    jobs = jobs_for(migrated_url, gateway, registry, export_batch_size=100).start()
    reached.wait(10)
    jobs.stop()
    counts = ExportQueue(database).counts()
    assert counts.leased == 0
    assert counts.exported + counts.pending == 1_000
    assert counts.pending > 0


def test_the_queue_is_measured_for_prometheus(
    database: Database, queue: ExportQueue, registry: CollectorRegistry
) -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    ids = fill(database, 3, now - MINUTE)
    lease = queue.lease(3, MINUTE)
    queue.set_aside(lease, {ids[0]: "x: y"})
    metrics = ExportMetrics(registry)
    metrics.observe_queue(queue.counts(), now)
    assert sample(registry, "telemetry_queue_oldest_age_seconds") == 60
    assert (sample(registry, "telemetry_queue_events"), sample(registry, "telemetry_dead_letters")) == (2, 1)
    queue.mark_exported(ids)
    metrics.observe_queue(queue.counts(), now)
    assert sample(registry, "telemetry_queue_oldest_age_seconds") == 0


def test_jobs_log_a_failing_database_and_go_on(
    migrated_url: str, gateway: ScriptedGateway, registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = jobs_for(migrated_url, gateway, registry)

    def fails(*_: Any) -> Any:
        raise DatabaseBusyError("locked")

    monkeypatch.setattr(jobs.queue, "counts", fails)
    monkeypatch.setattr(jobs.queue, "prune_exported", fails)
    with capture_logs() as logs:
        jobs.observe_queue()
        jobs._run_cleanup()
    assert [(line["event"], line["error"]) for line in logs] == [
        ("queue not measured", "locked"),
        ("cleanup failed", "locked"),
    ]
    jobs.stop()


def test_importing_starts_nothing() -> None:
    program = "import threading, export, recorder; assert threading.active_count() == 1, threading.enumerate()"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


@pytest.mark.parametrize("package", ["export", "telemetry_admin"])
def test_readers_of_the_store_do_not_load_the_recorder(package: str) -> None:
    program = f"import sys, {package}; assert 'recorder' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_a_service_that_only_records_does_not_load_the_export_side() -> None:
    program = (
        "import sys, recorder; "
        "heavy = {'grpc', 'pydantic', 'alembic', 'apscheduler', 'httpx2', 'authlib', 'sqlalchemy.orm', 'typer'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
