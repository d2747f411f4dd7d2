"""Statements on a long queue use the index that they were designed for."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.recorders import make_recorder
from telemetry import NewEvent
from telemetry_store import event_logs as logs
from telemetry_store import export_queue as working
from telemetry_store import queue_reading as reading
from telemetry_store.database import Database
from telemetry_store.export_queue import ExportQueue, export_queue

ROWS = int(os.environ.get("TELEMETRY_TEST_ROWS", "30000"))
"""The number of exported events: enough for a planner to choose an index. `make faults` raises it."""

UNEXPORTED = f"{export_queue.name}_unexported"
EXPORTED = f"{export_queue.name}_exported"
DEAD = f"{export_queue.name}_dead"
TIMESTAMP = "event_logs_timestamp"
KEYS = ("sqlite_autoindex", f"{export_queue.name}_pkey")
WHOLE: tuple[str, ...] = ()
"""Statements that count all rows of a kind; any plan is accepted."""

INDEXES: dict[str, tuple[str, ...]] = {
    "lease": (UNEXPORTED,),
    "payloads": KEYS,
    "mark": KEYS,
    "release": KEYS,
    "fail": KEYS,
    "set_aside": KEYS,
    "requeue": (*KEYS, DEAD),
    "retry": (*KEYS, UNEXPORTED),
    "retry_some": (UNEXPORTED,),
    "prune": (EXPORTED,),
    "drop": (*KEYS, DEAD),
    "counts": WHOLE,
    "preview": (UNEXPORTED,),
    "waiting": (UNEXPORTED,),
    "waiting_due": (UNEXPORTED,),
    "waiting_delayed": (UNEXPORTED,),
    "waiting_leased": (UNEXPORTED,),
    "event": KEYS,
    "dead_letters": (DEAD,),
    "exported": (EXPORTED,),
    "exported_after": (EXPORTED,),
    "exported_count": WHOLE,
}
"""The index, or one of several, that each statement on the queue must use."""

_FILL_SQLITE = """
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})
    INSERT INTO {into} SELECT {values} FROM numbers
"""
_FILL_POSTGRESQL = "INSERT INTO {into} SELECT {values} FROM generate_series(1, {rows}) AS numbers(n)"
_EXPORTED_ROWS = f"{export_queue.name} (id, timestamp, payload_pb, exported_at)"
_LOGGED_ROWS = "event_logs (name, url, user_id, anonymous_user_id, source, version, timestamp)"


def fill(database: Database, rows: int) -> None:
    """Create rows by SQL: a recorder would take minutes for a million."""
    if database.dialect.name == "sqlite":
        statement, event_id, payload = _FILL_SQLITE, "printf('%036d', n)", "zeroblob(150)"
        moment = "datetime('now', '-' || n || ' seconds')"
    else:
        statement, event_id, payload = _FILL_POSTGRESQL, "gen_random_uuid()", "decode(repeat('00', 150), 'hex')"
        moment = "now() - n * interval '1 second'"
    exported = f"{event_id}, {moment}, {payload}, {moment}"
    logged = f"'search.submit', '', 1, '', 'BACKEND', '1', {moment}"
    with database.engine.begin() as connection:
        connection.exec_driver_sql(statement.format(into=_EXPORTED_ROWS, values=exported, rows=rows))
        connection.exec_driver_sql(statement.format(into=_LOGGED_ROWS, values=logged, rows=rows))


@pytest.fixture
def long_queue(database: Database) -> Database:
    """Return a database with many exported events, 1,000 unexported ones and 100 dead letters."""
    fill(database, ROWS)
    make_recorder(database).batch_record([NewEvent("search", "submit")] * 1_100)
    queue = ExportQueue(database)
    lease = queue.lease(100, timedelta(minutes=1))
    queue.set_aside(lease, {event.id: "rejected: why" for event in lease.events})
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")
    return database


def plan(database: Database, statement: str, values: Any) -> str:
    explain = "EXPLAIN QUERY PLAN" if database.dialect.name == "sqlite" else "EXPLAIN"
    rows = database.read(lambda c: c.exec_driver_sql(f"{explain} {statement}", values).all())
    return "\n".join(str(row[-1]) for row in rows)


@pytest.mark.timeout(120 + ROWS // 2_000)
def test_each_statement_uses_its_index(long_queue: Database) -> None:
    database = long_queue
    now = datetime.now(UTC)
    moment = database.dialect.to_driver(now)
    ids = [event.id for event in ExportQueue(database).lease(100, timedelta()).events]
    values = {
        "now": moment, "until": moment, "lease": "x", "limit": 100, "due": None, "at": moment, "id": ids[0],
        "ids": database.dialect.list_parameter(ids), "reason": "why",
        "before": database.dialect.to_driver(now - timedelta(days=1)), "cleaned": "cleaned", "dropped": "dropped",
    }  # fmt: skip

    statements = {**working.STATEMENTS.on(database.dialect), **reading.STATEMENTS.on(database.dialect)}
    assert statements.keys() == INDEXES.keys(), "add the index of each statement to INDEXES"
    for name, statement in statements.items():
        if INDEXES[name] is WHOLE:
            continue
        found = plan(database, statement, values)
        assert any(index in found for index in INDEXES[name]), (name, found)
        assert f"Seq Scan on {export_queue.name}" not in found, (name, found)
        assert f"SCAN {export_queue.name}\n" not in f"{found}\n", (name, found)
    assert TIMESTAMP in plan(database, logs.STATEMENTS.on(database.dialect)["prune"], values)
