"""`check` of the recorders: whether events can be recorded now, without recording one."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from structlog.testing import capture_logs

from recorder import (
    AsyncRecorder,
    BestEffortRecorder,
    BufferedRecorder,
    DatabaseBusyError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    Recorder,
    RecorderError,
    SchemaVersionError,
    divert_events,
)
from support.recorders import EXPORT_ALL, make_recorder, stored_names
from telemetry import ExportPolicy, TelemetryMode
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.event_logs import event_logs
from telemetry_store.export_queue import export_queue
from telemetry_store.ports import BuiltEvent, CallersConnection


def test_a_database_that_is_ready_passes_and_no_event_is_written(database: Database) -> None:
    recorder = make_recorder(database)
    recorder.check()
    recorder.record("search", "submit")
    recorder.check()
    assert stored_names(database) == (["search.submit"], ["search.submit"])


def test_a_database_without_tables_names_the_command(empty_url: str) -> None:
    recorder = make_recorder(Database(create_database_engine(empty_url)))
    with pytest.raises(SchemaVersionError, match="run: telemetry db upgrade"):
        recorder.check()
    recorder.close()


def test_a_check_does_not_create_a_missing_file(tmp_path: Path) -> None:
    recorder = make_recorder(Database(create_database_engine(f"sqlite:///{tmp_path / 'no.db'}")))
    with pytest.raises(SchemaVersionError, match="there is no such database file"):
        recorder.check()
    recorder.close()
    assert list(tmp_path.iterdir()) == []


def test_a_change_after_the_first_event_is_detected(database: Database) -> None:
    recorder = make_recorder(database)
    recorder.record("search", "submit")
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE telemetry_alembic_version SET version_num = '0001'"))
    with pytest.raises(SchemaVersionError, match="the database is of version 0001"):
        recorder.check()


@pytest.mark.parametrize("table", [event_logs, export_queue])
def test_a_dropped_table_is_detected(database: Database, table: Any) -> None:
    recorder = make_recorder(database)
    recorder.check()
    table.drop(database.engine)
    with pytest.raises(RecorderError, match="a table or a column is missing"):
        recorder.check()


def test_a_read_only_database_is_detected(migrated_url: str, database: Database) -> None:
    if database.dialect.name == "sqlite":
        engine = create_database_engine(f"sqlite:///file:{database.engine.url.database}?mode=ro&uri=true")
    else:
        engine = create_engine(database.engine.url, connect_args={"options": "-c default_transaction_read_only=on"})
    recorder = make_recorder(Database(engine))
    with pytest.raises(DatabaseReadOnlyError, match="read-only"):
        recorder.check()
    recorder.close()


def test_a_user_without_the_insert_privilege_is_detected(postgres: Any) -> None:
    with postgres.fresh_database(migrated=True) as url:
        admin = create_engine(url)
        with admin.begin() as connection:
            connection.execute(text("CREATE ROLE reader LOGIN"))
            connection.execute(text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"))
        try:
            engine = create_engine(url, connect_args={"options": "-c role=reader"})
            recorder = make_recorder(Database(engine))
            with pytest.raises(DatabaseReadOnlyError, match="may not write the telemetry tables"):
                recorder.check()
            with admin.begin() as connection:
                connection.execute(text("GRANT INSERT ON event_logs, telemetry_events_export_queue TO reader"))
            recorder.check()
            recorder.close()
        finally:
            with admin.begin() as connection:
                connection.execute(text("DROP OWNED BY reader"))
                connection.execute(text("DROP ROLE reader"))
            admin.dispose()


def test_a_file_that_stays_locked_ends_the_check_with_the_busy_timeout(tmp_path: Path, database: Database) -> None:
    if database.dialect.name != "sqlite":
        database.close()
        return
    file = database.engine.url.database
    recorder = make_recorder(Database(create_engine(f"sqlite:///{file}", connect_args={"timeout": 0.05})))
    other = sqlite3.connect(str(file), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseBusyError, match="stayed locked by another writer"):
        recorder.check()
    other.execute("ROLLBACK")
    other.close()
    recorder.check()
    recorder.close()


def test_coroutines_check_without_blocking_the_loop(database: Database) -> None:
    async def checks() -> None:
        recorder = AsyncRecorder(make_recorder(database))
        await asyncio.gather(recorder.check(), recorder.check())
        await recorder.close()

    asyncio.run(checks())


@pytest.mark.parametrize("variant", [BestEffortRecorder, BufferedRecorder])
def test_recorders_that_never_raise_return_false_and_log_why(
    variant: type[BestEffortRecorder | BufferedRecorder], database: Database, tmp_path: Path
) -> None:
    recorder = variant(make_recorder(database))
    with capture_logs() as logs:
        assert recorder.check() is True
    assert logs == []
    recorder.close()
    broken = variant(make_recorder(Database(create_database_engine(f"sqlite:///{tmp_path / 'no.db'}"))))
    with capture_logs() as logs:
        assert broken.check() is False
    ((line),) = logs
    assert (line["event"], line["error"]) == ("recorder not ready", "SchemaVersionError")
    assert line["problem"].startswith("there is no such database file")
    broken.close()


class Away:
    """A store that cannot be used."""

    policy = EXPORT_ALL

    def store_events(self, events: Sequence[BuiltEvent], *, connection: CallersConnection | None = None) -> None:
        raise AssertionError

    def check(self) -> None:
        raise DatabaseUnavailableError("away")

    def close(self) -> None:
        """Holds nothing."""


def test_a_check_calls_the_check_of_the_store() -> None:
    with pytest.raises(DatabaseUnavailableError, match="away"):
        Recorder(Away(), service_version="1").check()


def test_a_check_passes_while_telemetry_is_off() -> None:
    Recorder(Away(), service_version="1", telemetry_mode=TelemetryMode.OFF).check()
    assert ExportPolicy(telemetry_mode=TelemetryMode.OFF).obstacle


class Taker:
    """A diversion of a test."""

    def take_events(self, events: Sequence[BuiltEvent], **_: Any) -> None:
        raise AssertionError


def test_a_check_passes_while_events_are_diverted() -> None:
    with divert_events(Taker()):
        Recorder(Away(), service_version="1").check()
