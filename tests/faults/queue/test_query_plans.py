"""The statements that run beside a long queue use the index that they were designed for."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from recorder import event_logs
from recorder import export_queue as working
from recorder import queue_reading as reading
from recorder.database import Database
from recorder.export_queue import ExportQueue, export_queue
from support.recorders import make_recorder
from telemetry import NewEvent

UNEXPORTED = f"{export_queue.name}_unexported"
EXPORTED = f"{export_queue.name}_exported"
KEYS = ("sqlite_autoindex", f"{export_queue.name}_pkey")


@pytest.fixture
def long_queue(database: Database) -> Database:
    """30,000 exported events, 1,000 that are not: few enough for a test, enough for a planner to choose."""
    recorder = make_recorder(database)
    queue = ExportQueue(database)
    for _ in range(3):
        queue.mark_exported(recorder.batch_record([NewEvent("search", "submit")] * 10_000))
    recorder.batch_record([NewEvent("search", "submit")] * 1_000)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    return database


def plan(database: Database, statement: str, values: Any) -> str:
    explain = "EXPLAIN QUERY PLAN" if database.is_sqlite else "EXPLAIN"
    rows = database.read(lambda c: c.exec_driver_sql(f"{explain} {statement}", values).all())
    return "\n".join(str(row[-1]) for row in rows)


def test_they_do(long_queue: Database) -> None:
    database = long_queue
    kind = "_SQLITE" if database.is_sqlite else "_POSTGRESQL"
    statements: dict[str, str] = {**getattr(working, kind), **getattr(reading, kind)}
    now = datetime.now(UTC)
    ids = ExportQueue(database).lease(100, timedelta()).events
    given = json.dumps([event.id for event in ids])
    given = given if database.is_sqlite else f"{{{','.join(event.id for event in ids)}}}"
    values = {
        "now": database.to_driver(now), "until": database.to_driver(now), "lease": "x", "limit": 100, "due": None,
        "ids": given, "before": database.to_driver(now - timedelta(days=1)),
    }  # fmt: skip

    assert UNEXPORTED in plan(database, statements["lease"], values)
    for name in ("preview", "waiting", "waiting_due"):
        assert UNEXPORTED in plan(database, statements[name], values), name
    for name in ("payloads", "mark", "release", "fail", "retry", "drop"):
        found = plan(database, statements[name], values)
        assert any(key in found for key in KEYS), (name, found)
    assert EXPORTED in plan(database, statements["prune"], values)
    assert EXPORTED in plan(database, statements["exported"], values)
    place = {"at": database.to_driver(now), "id": ids[0].id, "limit": 100}
    assert EXPORTED in plan(database, statements["exported_after"], place)
    old = {"before": database.to_driver(now - timedelta(days=1)), "limit": 100}
    prune = getattr(event_logs, kind)["prune"]
    assert "event_logs_timestamp" in plan(database, prune, old)
