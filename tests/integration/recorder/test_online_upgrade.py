"""Tables are changed while others write to them; an interrupted upgrade and invalid indexes are completed."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, inspect
from sqlalchemy.exc import IntegrityError

from recorder import DatabaseBusyError, SchemaVersionError
from support.events import sensitive_event
from support.original_system import make_original
from support.programs import PROGRAM
from support.recorders import logged, make_recorder, queued
from telemetry_store.database import Database
from telemetry_store.dialects.build_progress import _in_words
from telemetry_store.dialects.postgresql import _UPGRADE_LOCK
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_store.migrations import SchemaFault, find_schema_faults, upgrade_database
from telemetry_store.schema_version import SCHEMA_VERSION, VERSION_TABLE, schema_version

on_postgresql = pytest.mark.parametrize("database_kind", ["postgresql"])
CHANGES = ("ALTER", "CREATE", "DROP", "INSERT", "UPDATE", "WITH", "LOCK")


class Interrupted(BaseException):
    """The process ended here."""


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    made = create_database_engine(empty_url)
    yield made
    made.dispose()


@pytest.fixture
def original(engine: Engine) -> Engine:
    made = sensitive_event()
    make_original(engine, made.SerializeToString(), made.id)
    if engine.dialect.name == "postgresql":
        execute(engine, "UPDATE event_logs SET cohort_id = '2020-02-03' WHERE name = 'OldEvent'")
    return engine


def execute(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_the_next_upgrade_completes_one_interrupted_at_any_point(original: Engine) -> None:
    allowed = 0
    made = 0

    def interrupt(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        nonlocal made
        if statement.lstrip().startswith(CHANGES):
            made += 1
            if made > allowed:
                raise Interrupted

    event.listen(original, "before_cursor_execute", interrupt)
    while True:
        made = 0
        try:
            upgrade_database(original)
        except Interrupted:
            original.dispose()
            allowed += 1
        else:
            break
    event.remove(original, "before_cursor_execute", interrupt)
    assert allowed > 10
    database = Database(original)
    assert find_schema_faults(database) == []
    assert [row["name"] for row in logged(database)] == ["OldEvent", "OlderEvent"]
    if database.dialect.name != "sqlite":
        assert [row["cohort_id"] for row in logged(database)] == ["2020-02-03", None]
    assert len(queued(database)) == ExportQueue(database).counts().pending == 1
    assert make_recorder(database).record("search", "submit") in queued(database)
    database.close()


@on_postgresql
def test_retyping_leaves_no_helper_objects(original: Engine) -> None:
    upgrade_database(original)
    inspector = inspect(original)
    for table in ("event_logs", "telemetry_events_export_queue"):
        assert not [column["name"] for column in inspector.get_columns(table) if "telemetry_new" in column["name"]]
    assert inspector.get_pk_constraint("telemetry_events_export_queue") == {
        "constrained_columns": ["id"],
        "name": "telemetry_events_export_queue_pkey",
        "comment": None,
        "dialect_options": {"postgresql_include": []},
    }
    with original.connect() as connection:
        left = connection.exec_driver_sql("SELECT proname FROM pg_proc WHERE proname LIKE '%%telemetry_new%%'").all()
        triggers = connection.exec_driver_sql("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal").all()
    assert (left, triggers) == ([], [])


@on_postgresql
def test_an_invalid_uuid_is_reported_before_anything_is_changed(original: Engine) -> None:
    execute(
        original,
        "INSERT INTO telemetry_events_export_queue (id, timestamp, payload_pb) VALUES ('my own', now(), '')",
    )
    before = sorted(inspect(original).get_table_names())
    with pytest.raises(SchemaVersionError, match="1 rows of telemetry_events_export_queue have an id that is not"):
        upgrade_database(original)
    assert sorted(inspect(original).get_table_names()) == before


def assert_is_mended(engine: Engine, problem: str) -> None:
    database = Database(engine)
    assert find_schema_faults(database) == [SchemaFault("event_logs_activity", f"{problem}; run: telemetry db upgrade")]
    messages: list[str] = []
    upgrade_database(engine, notify=messages.append)
    assert messages == ["index event_logs_activity"]
    assert find_schema_faults(database) == []
    database.close()


def test_a_missing_index_is_reported_and_built(engine: Engine) -> None:
    upgrade_database(engine)
    execute(engine, "DROP INDEX event_logs_activity")
    assert_is_mended(engine, "does not exist, so queries read the whole table event_logs")


@on_postgresql
def test_an_index_with_an_interrupted_build_is_reported_and_rebuilt(engine: Engine) -> None:
    upgrade_database(engine)
    execute(
        engine,
        "DROP INDEX event_logs_activity",
        "INSERT INTO event_logs (name, url, user_id, anonymous_user_id, source, version, timestamp) "
        "SELECT 'a.b', '', 1, '', 'x', '1', '2020-01-01' FROM generate_series(1, 2)",
    )
    with (
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        pytest.raises(IntegrityError, match="could not create unique index"),
    ):
        connection.exec_driver_sql("CREATE UNIQUE INDEX CONCURRENTLY event_logs_activity ON event_logs (timestamp)")
    assert_is_mended(engine, "was not built completely, so it is maintained but never used")


@on_postgresql
def test_an_index_build_reports_the_transaction_it_waits_for(engine: Engine) -> None:
    upgrade_database(engine)
    execute(engine, "DROP INDEX event_logs_activity")
    waits = threading.Event()
    messages: list[str] = []

    def notify(text: str) -> None:
        messages.append(text)
        if "for the transaction of process" in text:
            waits.set()

    with engine.connect() as host:
        pid = host.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        host.exec_driver_sql("LOCK TABLE event_logs IN ROW EXCLUSIVE MODE")
        thread, ended = in_thread(lambda: upgrade_database(engine, notify=notify))
        assert waits.wait(60)
        host.commit()
    thread.join(60)
    assert ended == [SCHEMA_VERSION]
    assert any(
        text == f"index event_logs_activity: waiting for writers before build, for the transaction of process {pid}"
        for text in messages
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("building index: scanning table", 25, 200, 0), "building index: scanning table, 12 %"),
        (("building index: scanning table", None, 200, None), "building index: scanning table, 0 %"),
        (("initializing", None, None, None), "initializing"),
    ],
)
def test_the_progress_of_a_build_is_reported_in_percent(row: Any, words: str) -> None:
    assert _in_words(*row) == words


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    ended: list[object] = []

    def run() -> None:
        try:
            ended.append(work())
        except Exception as error:  # noqa: BLE001 - the test looks at it
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, ended


@on_postgresql
def test_an_upgrade_that_waits_for_a_long_transaction_blocks_no_writer(original: Engine) -> None:
    asked = threading.Event()

    def notify(text: str) -> None:
        if "another transaction holds the table" in text:
            asked.set()

    insert = (
        "INSERT INTO event_logs (name, url, user_id, anonymous_user_id, source, argument, version, timestamp) "
        "VALUES ('LongEvent', '', 1, '', 'WEB', '{}', '1', now())"
    )
    with original.connect() as host:
        host.exec_driver_sql(insert)  # without a commit
        thread, ended = in_thread(lambda: upgrade_database(original, notify=notify))
        assert asked.wait(60)
        for _ in range(5):
            execute(original, insert.replace("LongEvent", "OtherEvent"))  # would wait forever behind a waiting ALTER
        assert thread.is_alive()
        host.commit()
    thread.join(60)
    assert ended == [SCHEMA_VERSION]
    database = Database(original)
    assert len(logged(database)) == 8
    database.close()


@on_postgresql
def test_an_upgrade_that_times_out_says_what_to_do(original: Engine) -> None:
    with original.connect() as host:
        host.exec_driver_sql("LOCK TABLE event_logs IN ROW EXCLUSIVE MODE")
        with pytest.raises(DatabaseBusyError) as caught:
            upgrade_database(original, patience=timedelta(seconds=1))
    assert str(caught.value).startswith("columns of event_logs: another transaction has held the table for ")
    assert "see pg_stat_activity" in str(caught.value)
    assert upgrade_database(original) == SCHEMA_VERSION


def test_concurrent_upgrades_build_an_index_once_without_a_deadlock(engine: Engine) -> None:
    upgrade_database(engine)
    execute(engine, "DROP INDEX event_logs_activity", f"UPDATE {VERSION_TABLE} SET version_num = '0001'")
    both = [in_thread(lambda: upgrade_database(engine)) for _ in range(3)]
    for thread, _ in both:
        thread.join(100)
    assert [ended for _, ended in both] == [[SCHEMA_VERSION]] * 3
    database = Database(engine)
    assert find_schema_faults(database) == []
    database.close()


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_the_second_process_to_write_a_version_restarts_from_it(engine: Engine) -> None:
    begun: list[str] = []

    def overtake(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement == "BEGIN IMMEDIATE":
            begun.append(statement)
            if len(begun) == 2:  # the first one reads the version
                url = engine.url.render_as_string(hide_password=False)
                subprocess.run([*PROGRAM, "db", "upgrade", "--database-url", url], check=True, timeout=60)

    event.listen(engine, "before_cursor_execute", overtake)
    assert upgrade_database(engine) == SCHEMA_VERSION
    event.remove(engine, "before_cursor_execute", overtake)
    database = Database(engine)
    assert schema_version(database) == SCHEMA_VERSION
    assert find_schema_faults(database) == []
    database.close()


@on_postgresql
def test_an_upgrade_waits_for_the_session_of_another_upgrade(engine: Engine) -> None:
    asked: list[str] = []
    twice = threading.Event()

    def watch(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "pg_try_advisory_lock" in statement:
            asked.append(statement)
            if len(asked) == 2:
                twice.set()

    event.listen(engine, "before_cursor_execute", watch)
    with engine.connect() as other:
        other.exec_driver_sql(f"SELECT pg_advisory_lock({_UPGRADE_LOCK})")
        thread, ended = in_thread(lambda: upgrade_database(engine))
        assert twice.wait(60)
        assert inspect(other).get_table_names() == []
        other.exec_driver_sql(f"SELECT pg_advisory_unlock({_UPGRADE_LOCK})")
    thread.join(60)
    assert ended == [SCHEMA_VERSION]


def newer(engine: Engine, oldest_code: str) -> None:
    upgrade_database(engine)
    execute(
        engine,
        f"UPDATE {VERSION_TABLE} SET version_num = '9000'",
        f"UPDATE telemetry_schema_compatibility SET oldest_code = '{oldest_code}'",
    )


def test_a_newer_compatible_database_is_used_unchanged(engine: Engine) -> None:
    newer(engine, SCHEMA_VERSION)
    database = Database(engine)
    assert make_recorder(database).record("search", "submit") in queued(database)
    assert upgrade_database(engine) == "9000"
    assert schema_version(database) == "9000"
    assert find_schema_faults(database) == []
    database.close()


def test_a_newer_incompatible_database_is_not_upgraded(engine: Engine) -> None:
    newer(engine, "9000")
    with pytest.raises(SchemaVersionError, match="needs code of version 9000 or later"):
        upgrade_database(engine)


def test_changes_by_others_to_the_tables_are_reported(engine: Engine) -> None:
    database = Database(engine)
    assert [fault.place for fault in find_schema_faults(database)] == ["the database"]
    upgrade_database(engine)
    execute(
        engine,
        "DROP TABLE telemetry_export_runs",
        "ALTER TABLE event_logs DROP COLUMN insert_id",
        f"UPDATE {VERSION_TABLE} SET version_num = '0001'",
    )
    expected = ["event_logs.insert_id", "telemetry_export_runs", "the database"]
    if database.dialect.name != "sqlite":
        execute(engine, "ALTER TABLE event_logs ALTER COLUMN referrer TYPE integer USING NULL")
        expected.append("event_logs.referrer")
    found = find_schema_faults(database)
    assert sorted(fault.place for fault in found) == sorted(expected)
    assert all("telemetry db upgrade" in fault.problem for fault in found)
    database.close()


def test_additions_by_others_are_not_faults(original: Engine) -> None:
    upgrade_database(original)
    execute(
        original,
        "CREATE TABLE theirs (id integer)",
        "ALTER TABLE event_logs ADD COLUMN theirs integer",
        "CREATE INDEX theirs_url ON event_logs (url)",
        "DROP INDEX event_logs_source",
        "CREATE INDEX theirs_source ON event_logs (source, url)",
    )
    database = Database(original)
    assert find_schema_faults(database) == []
    database.close()
