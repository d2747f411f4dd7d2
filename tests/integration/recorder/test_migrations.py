"""The tables are created, or adopted with their rows; a database of another version is rejected."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, inspect

from recorder import Recorder, SchemaVersionError
from recorder.settings import RecorderSettings
from support.events import CANARY, sensitive_event
from support.original_system import make_original
from support.recorders import logged, make_recorder, queued
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_store.export_runs import export_runs
from telemetry_store.migrations import upgrade_database
from telemetry_store.schema_version import SCHEMA_VERSION, VERSION_TABLE
from telemetry_store.tables import metadata


@pytest.fixture
def engine(empty_url: str) -> Engine:
    return create_database_engine(empty_url)


DEMANDING_QUEUE = """CREATE TABLE telemetry_events_export_queue (
    id text PRIMARY KEY, timestamp TIMESTAMP, payload_pb text, exported_at TIMESTAMP, tenant text NOT NULL
)"""


def test_the_migrations_create_exactly_the_tables_of_the_code(engine: Engine) -> None:
    assert upgrade_database(engine) == SCHEMA_VERSION
    assert export_runs.metadata is metadata  # imported, because only imported tables are compared
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, _: not (kind == "table" and name == VERSION_TABLE)}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_upgrading_again_changes_nothing_and_keeps_the_rows(engine: Engine) -> None:
    upgrade_database(engine)
    database = Database(engine)
    make_recorder(database).record("search", "submit")
    upgrade_database(engine)
    assert len(queued(database)) == 1
    database.close()


def test_tables_of_the_original_system_are_adopted_with_their_rows(engine: Engine) -> None:
    event = sensitive_event()
    make_original(engine, event.SerializeToString(), event.id)
    upgrade_database(engine)
    database = Database(engine)
    rows = logged(database)
    assert [row["name"] for row in rows] == ["OldEvent", "OlderEvent"]
    assert [row["public_argument"] for row in rows] == [{}, {}]

    queue = ExportQueue(database)
    assert queue.counts().pending == 1
    (leased,) = queue.lease(10, timedelta(minutes=1)).events
    assert (leased.id, leased.attempts) == (event.id, 0)
    assert queue.mark_exported([leased.id]) == 1

    new_id = make_recorder(database).record("search", "submit")
    assert new_id in queued(database)
    assert logged(database)[-1]["name"] == "search.submit"
    indexed = {index["column_names"][0] for index in inspect(engine).get_indexes("event_logs")}
    assert {"name", "source", "user_id", "anonymous_user_id", "timestamp"} <= indexed
    database.close()


def test_a_cohort_of_any_text_can_be_recorded_after_adoption(engine: Engine) -> None:
    from telemetry import MarketingTracking, event_context  # noqa: PLC0415

    event = sensitive_event()
    make_original(engine, event.SerializeToString(), event.id)
    upgrade_database(engine)
    database = Database(engine)
    with event_context(marketing_tracking=MarketingTracking(cohort_id="not a date")):
        make_recorder(database).record("search", "submit")
    assert logged(database)[-1]["cohort_id"] == "not a date"
    database.close()


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (
            "CREATE TABLE event_logs (id INTEGER PRIMARY KEY, name text)",
            "event_logs exists, but lacks anonymous_user",
        ),
        (
            "CREATE TABLE telemetry_events_export_queue (id text)",
            "export_queue exists, but lacks exported_at",
        ),
        (
            DEMANDING_QUEUE,
            "requires values for tenant, which new events do not have",
        ),
    ],
)
def test_a_table_that_cannot_be_adopted_is_rejected_unchanged(engine: Engine, statement: str, text: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
    before = sorted(inspect(engine).get_table_names())
    with pytest.raises(SchemaVersionError, match=text):
        upgrade_database(engine)
    assert sorted(inspect(engine).get_table_names()) == before
    engine.dispose()


def test_concurrent_upgrades_wait_for_each_other(empty_url: str) -> None:
    program = [sys.executable, "-m", "telemetry_cli.main", "db", "upgrade", "--database-url", empty_url]
    running = [subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    ended = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], ended


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (None, "the database has no telemetry tables yet; run: telemetry db upgrade"),
        ("0000", f"the database is of version 0000, this code needs {SCHEMA_VERSION}; run: telemetry db upgrade"),
        (
            "9999",
            f"version 9999, which needs code of version 9998 or later, and this code is of version {SCHEMA_VERSION};",
        ),
    ],
)
def test_a_database_of_another_version_is_rejected_with_advice(engine: Engine, version: str | None, text: str) -> None:
    if version is None:
        engine.connect().close()  # creates an empty SQLite file
    else:
        upgrade_database(engine)
        with engine.begin() as connection:
            connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '{version}'")
            connection.exec_driver_sql("UPDATE telemetry_schema_compatibility SET oldest_code = '9998'")
    settings = RecorderSettings(export_mode="all")
    recorder = Recorder.from_engine(engine, service_version="1", settings=settings)
    with pytest.raises(SchemaVersionError) as caught:
        recorder.record("search", "submit")
    assert text in str(caught.value)
    with pytest.raises(SchemaVersionError):
        ExportQueue(Database(engine)).lease(1, timedelta(minutes=1))
    recorder.close()


def test_a_recorder_works_once_the_database_is_upgraded(engine: Engine) -> None:
    recorder = make_recorder(Database(engine))
    with pytest.raises(SchemaVersionError):
        recorder.record("search", "submit")
    upgrade_database(engine)
    assert recorder.record("search", "submit", timestamp=datetime(2026, 1, 1, tzinfo=UTC))
    recorder.close()


def test_adopted_payloads_are_unchanged(engine: Engine) -> None:
    # They were never redacted; the exporter redacts them before it sends.
    event = sensitive_event()
    make_original(engine, event.SerializeToString(), event.id)
    upgrade_database(engine)
    database = Database(engine)
    assert CANARY.encode() in ExportQueue(database).payloads([event.id])[event.id]
    database.close()
