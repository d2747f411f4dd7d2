"""A read transaction of several hours: writers continue, the queue drains, and disk space is released at its end."""

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import create_engine

from export import Exporter, ExporterSettings, ExportMetrics, GatewayClient, PassOutcome, PassSettings
from support.recorders import EXPORT_ALL, make_recorder
from telemetry import EventParameters, NewEvent, Redactor
from telemetry_store.database import Database
from telemetry_store.dialects.sqlite import WAL_BYTES
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_testing import scripted_gateway

LARGE = EventParameters(private_metadata={"text": "x" * 60_000})
ROUNDS = 4
EVENTS = 500


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_a_reader_that_prevents_sqlites_checkpoints(database: Database) -> None:
    file = Path(str(database.engine.url.database))
    log = file.with_name(file.name + "-wal")
    recorder = make_recorder(database)
    recorder.record("search", "submit")
    reader = sqlite3.connect(file, isolation_level=None)
    reader.execute("BEGIN")
    (before,) = reader.execute("SELECT count(*) FROM event_logs").fetchone()
    written = 0
    while log.stat().st_size < 1.2 * WAL_BYTES:
        written += len(recorder.batch_record([NewEvent("search", "submit", LARGE)] * 20))
    assert reader.execute("SELECT count(*) FROM event_logs").fetchone() == (before,)
    reader.execute("COMMIT")
    reader.close()
    # The next commit copies the log into the file (checkpoint), and the one after it restarts the log.
    recorder.record("search", "submit")
    recorder.record("search", "submit")
    assert log.stat().st_size <= WAL_BYTES
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM event_logs").scalar() == before + written + 2
    recorder.close()


@pytest.mark.parametrize("database_kind", ["postgresql"])
def test_a_transaction_that_pins_postgresqls_oldest_snapshot(database: Database) -> None:
    """No dead row version can be removed in the meantime; leases stay heap-only updates if pages have space."""
    idle = create_engine(database.engine.url, isolation_level="REPEATABLE READ")
    recorder = make_recorder(database)
    queue = ExportQueue(database)
    updates: list[tuple[int, int]] = []
    with scripted_gateway() as gateway, idle.connect() as pinning:
        pinning.exec_driver_sql("SELECT count(*) FROM event_logs")  # and stays idle from now on
        client = GatewayClient.from_settings(ExporterSettings.load(export_addr=gateway.address, instance_id="i"))
        exporter = Exporter(
            queue, client, load_redactor=Redactor, load_policy=lambda: EXPORT_ALL, settings=PassSettings(),
            metrics=ExportMetrics(CollectorRegistry()),
        )  # fmt: skip
        for number in range(1, ROUNDS + 1):
            recorder.batch_record([NewEvent("search", "submit")] * EVENTS)
            report = exporter.run_pass()
            assert (report.outcome, report.acked, report.remaining) == (PassOutcome.DRAINED, EVENTS, 0)
            updates.append(_updates(database, 2 * EVENTS * number))
        client.close()
        assert pinning.in_transaction()
    idle.dispose()
    recorder.close()
    total, heap_only = updates[-1]
    print(f"of {total} updates {heap_only} were heap-only beside a pinned snapshot")
    # A lease and a mark for each event. A mark moves the row to another index, so it is never heap-only. A lease is, if
    # the new version still fits on the page.
    assert heap_only >= total / 2 * 0.1


def _updates(database: Database, expected: int) -> tuple[int, int]:
    """Return how many updates the queue's table had, and how many of them were heap-only."""
    end = time.monotonic() + 60
    while True:
        row: Any = database.read(
            lambda connection: connection.exec_driver_sql(
                "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables "
                "WHERE relname = 'telemetry_events_export_queue'"
            ).one()
        )
        if row[0] >= expected:
            return int(row[0]), int(row[1])
        assert time.monotonic() < end, f"{row[0]} of {expected} updates are counted"
        time.sleep(0.2)


def test_the_log_would_stay_as_large_as_it_was_without_a_limit(tmp_path: Path) -> None:
    engine = create_database_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_size_limit").scalar() == WAL_BYTES
    engine.dispose()
