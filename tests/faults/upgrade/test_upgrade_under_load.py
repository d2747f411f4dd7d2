"""Upgrade a database of the original system, with rows, while a process keeps writing to it.

`TELEMETRY_TEST_ROWS` is the number of rows; the long form, `make upgrade-load`, has a million.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import Engine

from support.ledger import until
from support.original_system import ORIGINAL
from support.recorders import make_recorder
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_store.migrations import find_schema_faults, upgrade_database

ROWS = int(os.environ.get("TELEMETRY_TEST_ROWS", "20000"))

WRITING = """
import json, sys, time, uuid
from telemetry_store.engine import create_database_engine
url, report = sys.argv[1:]
engine = create_database_engine(url)
sqlite = engine.dialect.name == "sqlite"
connection = engine.connect().execution_options(isolation_level="SERIALIZABLE" if sqlite else "AUTOCOMMIT")
place = "?" if sqlite else "%s"
if not sqlite:
    # A statement that was prepared for another column type fails once; see docs/how-to/upgrade.md.
    connection.connection.driver_connection.prepare_threshold = None
statements = (
    "INSERT INTO event_logs (name, url, user_id, anonymous_user_id, source, argument, version, timestamp)"
    f" VALUES ('OldEvent', '', 1, '', 'WEB', '{{}}', '1', {place})",
    f"INSERT INTO telemetry_events_export_queue (id, timestamp, payload_pb) VALUES ({place}, {place}, {place})",
)
with open(report, "a", buffering=1) as out:
    while True:
        now = "2026-01-01 00:00:00.000000"
        for statement, values in zip(statements, ((now,), (str(uuid.uuid4()), now, b"x"))):
            started = time.monotonic()
            try:
                connection.exec_driver_sql(statement, values)
                connection.commit()
            except Exception as error:
                connection.rollback()
                out.write(json.dumps([started, time.monotonic(), repr(error)]) + "\\n")
            else:
                out.write(json.dumps([started, time.monotonic(), None]) + "\\n")
        time.sleep(0.005)
"""


class Write(NamedTuple):
    """One insert: its start, its end, and its error."""

    began: float
    ended: float
    error: str | None


class Writer:
    """The reports of the writing process so far."""

    def __init__(self, report: Path) -> None:
        self._report = report

    @property
    def writes(self) -> list[Write]:
        lines = self._report.read_text().splitlines(keepends=True) if self._report.exists() else []
        return [Write(*json.loads(line)) for line in lines if line.endswith("\n")]


@contextmanager
def writing(url: str, folder: Path) -> Iterator[Writer]:
    report = folder / "writes"
    process = subprocess.Popen([sys.executable, "-c", WRITING, url, str(report)])
    writer = Writer(report)
    try:
        until(lambda: len(writer.writes) > 20, 60, lambda: "the writer does not write")
        yield writer
    finally:
        process.kill()
        process.wait()


def fill(engine: Engine, rows: int) -> None:
    """Create the original system's tables: `rows` logged, half of them with a cohort, and half as many queued."""
    with engine.begin() as connection:
        for statement in ORIGINAL[engine.dialect.name]:
            connection.exec_driver_sql(statement)
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"""
                INSERT INTO event_logs (name, url, user_id, anonymous_user_id, source, argument, version, timestamp,
                    cohort_id, public_argument)
                SELECT 'Event' || n %% 50, 'https://example.com/' || n, n %% 1000, md5(n::text), 'WEB',
                    jsonb_build_object('query', md5(n::text)), '1', timestamptz '2026-01-01' - n * interval '10 s',
                    CASE WHEN n %% 2 = 0 THEN date '2025-06-01' END, '{{"telemetry.event.exportable": true}}'
                FROM generate_series(1, {rows}) AS n
            """)
            connection.exec_driver_sql(f"""
                INSERT INTO telemetry_events_export_queue (id, timestamp, payload_pb, exported_at)
                SELECT gen_random_uuid()::text, timestamptz '2026-01-01' - n * interval '10 s',
                    decode(md5(n::text), 'hex'),
                    CASE WHEN n %% 10 > 0 THEN timestamptz '2026-01-01' END
                FROM generate_series(1, {rows // 2}) AS n
            """)
            return
        numbers = f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})"
        connection.exec_driver_sql(f"""
            INSERT INTO event_logs (name, url, user_id, anonymous_user_id, source, argument, version, timestamp)
            {numbers} SELECT 'Event' || n % 50, 'https://example.com/' || n, n % 1000, hex(randomblob(16)), 'WEB',
                '{{"query": "' || hex(randomblob(16)) || '"}}', '1',
                strftime('%Y-%m-%d %H:%M:%f000', '2026-01-01', '-' || (n * 10) || ' seconds') FROM numbers
        """)
        connection.exec_driver_sql(f"""
            INSERT INTO telemetry_events_export_queue (id, timestamp, payload_pb, exported_at)
            {numbers} SELECT lower(substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-4' || substr(h, 14, 3) || '-8'
                || substr(h, 18, 3) || '-' || substr(h, 21, 12)), '2026-01-01 00:00:00.000000', randomblob(16),
                CASE WHEN n % 10 > 0 THEN '2026-01-01 00:00:00.000000' END
            FROM (SELECT n, hex(randomblob(16)) AS h FROM numbers WHERE n <= {rows // 2})
        """)


def count(database: Database, query: str) -> int:
    with database.engine.connect() as connection:
        return int(connection.exec_driver_sql(query).scalar_one())


@pytest.mark.timeout(120 + ROWS // 1000)
def test_an_upgrade_blocks_no_writer_and_loses_nothing(empty_url: str, tmp_path: Path) -> None:
    engine = create_database_engine(empty_url)
    fill(engine, ROWS)
    with writing(empty_url, tmp_path) as writer:
        began = time.monotonic()
        upgrade_database(engine)
        took = time.monotonic() - began
        before = len(writer.writes)
        until(lambda: len(writer.writes) > before + 20, 60, lambda: "nothing is written after the upgrade")
    writes = writer.writes
    # The inserts that overlap the upgrade; a small table may be upgraded between two inserts.
    meanwhile = [write.ended - write.began for write in writes if write.began <= began + took and write.ended >= began]
    longest = max(meanwhile, default=0.0)
    print(
        f"\n{engine.dialect.name}: {ROWS:,} rows upgraded in {took:.1f} s; {len(meanwhile):,} inserts meanwhile, "
        f"the longest {longest * 1000:.0f} ms"
    )
    # On SQLite a writer waits while an index is built. Its timeout, which would be an error, is longer.
    assert [write.error for write in writes if write.error] == []
    database = Database(engine)
    # A change that blocks PostgreSQL's writers would block them for most of the upgrade.
    assert database.dialect.name == "sqlite" or longest < max(5.0, took / 4)
    assert find_schema_faults(database) == []
    logged = count(database, "SELECT count(*) FROM event_logs")
    counts = ExportQueue(database).counts()
    # A kill can happen between an insert and the line that reports it.
    assert 0 <= logged + counts.recorded - ROWS - ROWS // 2 - len(writes) <= 1
    if database.dialect.name != "sqlite":
        assert count(database, "SELECT count(*) FROM event_logs WHERE cohort_id = '2025-06-01'") == ROWS // 2
        adopted = count(database, "SELECT events FROM telemetry_export_ledger WHERE entry = 'adopted_event_logs'")
        assert adopted == ROWS
    assert make_recorder(database).record("search", "submit")
    database.close()
