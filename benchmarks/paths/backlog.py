"""Leasing and marking with a long queue, compared with a short one."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from measure import Comparison, interleave, seconds
from stores import Stores, postgres_connection, sqlite_connection

from paths.drain import fill
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue

GOAL = 1.3
LEASED = 1_000


def measure(stores: Stores, *, full: bool) -> Iterator[Comparison]:
    unexported, exported = (1_000_000, 5_000_000) if full else (100_000, 200_000)
    for kind in ("sqlite", "postgresql"):
        queues = {"ours": stores.fresh(kind), "floor": stores.fresh(kind)}
        fill(kind, queues["ours"], exported)
        mark_all(kind, queues["ours"])
        fill(kind, queues["ours"], unexported, keep_exported=True)
        fill(kind, queues["floor"], 10_000)
        opened = {name: ExportQueue(Database(create_database_engine(url))) for name, url in queues.items()}

        def lease_and_mark(queue: ExportQueue) -> float:
            def work() -> None:
                lease = queue.lease(LEASED, timedelta(minutes=5))
                queue.mark_exported([event.id for event in lease.events])

            return seconds(work)

        cases: dict[str, Any] = {name: (lambda queue=queue: lease_and_mark(queue)) for name, queue in opened.items()}
        figures = interleave(cases, 7)
        yield Comparison(
            f"leasing and marking 1,000 of {unexported:,} beside {exported:,} exported, {kind}", "s", figures, GOAL
        )


def mark_all(kind: str, url: str) -> None:
    statement = "UPDATE telemetry_events_export_queue SET exported_at = {} WHERE exported_at IS NULL"
    now = datetime.now(UTC)
    if kind == "sqlite":
        sqlite = sqlite_connection(url)
        sqlite.execute(statement.format("?"), (now.replace(tzinfo=None).isoformat(" ", "microseconds"),))
        sqlite.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sqlite.close()
        return
    postgres: Any = postgres_connection(url)
    postgres.execute(statement.format("%s"), (now,))
    postgres.execute("VACUUM ANALYZE telemetry_events_export_queue")
    postgres.close()
