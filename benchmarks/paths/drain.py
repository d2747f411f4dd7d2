"""Draining a backlog, compared with the raw driver, redacted bytes and gRPC."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measure import Comparison, interleave
from stores import Rows, Stores, postgres_connection, sqlite_connection

from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine

GOAL = 0.8
HERE = Path(__file__).resolve().parent.parent


def measure(stores: Stores, *, full: bool) -> Iterator[Comparison]:
    sizes = (10_000, 1_000_000) if full else (10_000, 50_000)
    with ack_server() as address:
        for kind in ("sqlite", "postgresql"):
            rates: dict[int, float] = {}
            for size in sizes:
                url = stores.fresh(kind)
                fill(kind, url, size)
                memory: list[float] = []

                def drain(how: str, url: str = url, size: int = size, kind: str = kind, memory: Any = memory) -> float:
                    undo(kind, url)
                    facts = worker(how, url, address)
                    assert facts["acked"] == size, facts
                    if how == "ours":
                        memory.append(facts["peak_mb"] - facts["idle_mb"])
                    return size / float(facts["seconds"])

                rounds = 1 if full and size == max(sizes) else 3
                figures = interleave({"ours": lambda: drain("ours"), "floor": lambda: drain("floor")}, rounds)
                rates[size] = figures["ours"]
                notes = [f"peak memory {max(memory):.0f} MB above idle"]
                yield Comparison(
                    f"draining {size:,} events, {kind}", "events/s", figures, GOAL, higher_is_better=True, notes=notes
                )
            small, large = (rates[size] for size in sizes)
            yield Comparison(
                f"draining {sizes[1]:,} against {sizes[0]:,}, {kind}",
                "events/s",
                {"ours": large, "floor": small},
                0.9,
                higher_is_better=True,
            )


class ack_server:  # noqa: N801 - used as a context manager
    """A gateway in a separate process that parses and acknowledges."""

    def __enter__(self) -> str:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "ack_server.py")], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def worker(how: str, url: str, address: str) -> dict[str, Any]:
    """Drain in a separate process, so that its memory can be measured."""
    done = subprocess.run(
        [sys.executable, str(HERE / "drain_worker.py"), how, url, address], stdout=subprocess.PIPE, check=True
    )
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])  # the log goes there, too
    return facts


def fill(kind: str, url: str, size: int, *, keep_exported: bool = False) -> None:
    """Queue redacted events in the fastest way."""
    rows = Rows(url)
    step = 10_000
    for _ in range(0, size, step):
        batch = [row.export_queue for row in rows.make(step)]
        if kind == "sqlite":
            connection: Any = sqlite_connection(url)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO telemetry_events_export_queue (id, timestamp, payload_pb) VALUES (?, ?, ?)", batch
            )
            connection.execute("COMMIT")
        else:
            connection = postgres_connection(url)
            copying: Any = "COPY telemetry_events_export_queue (id, timestamp, payload_pb) FROM STDIN"
            with connection.cursor() as cursor, cursor.copy(copying) as copy:
                for row in batch:
                    copy.write_row(row)
        connection.close()
    if not keep_exported:
        undo(kind, url)


def undo(kind: str, url: str) -> None:
    """Mark every event as not exported, and leave the tables as after long use."""
    database = Database(create_database_engine(url))
    database.write(
        lambda connection: connection.exec_driver_sql(
            "UPDATE telemetry_events_export_queue SET exported_at = NULL WHERE exported_at IS NOT NULL"
        )
    )
    database.close()
    if kind == "sqlite":
        raw = sqlite_connection(url)
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        raw.close()
    else:
        postgres_connection(url).execute("VACUUM ANALYZE telemetry_events_export_queue")
