"""Database failures: the error names the cause, no event is stored partly, and no private data is shown."""

import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, make_url

from recorder import (
    DatabaseBusyError,
    DatabaseFailedError,
    DatabaseFullError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    Recorder,
    RecorderError,
    SchemaVersionError,
    UnsupportedDatabaseError,
)
from recorder.settings import RecorderSettings
from support.databases import postgresql_target
from support.events import CANARY
from support.recorders import EXPORT_ALL, logged, make_recorder, queued, stored_names
from telemetry import EventParameters, NewEvent
from telemetry_store.database import Database
from telemetry_store.dialects.sqlite import SqliteDialect
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_store.migrations import upgrade_database
from telemetry_testing import FaultProxy

SECRET = EventParameters(private_metadata={"query": CANARY, "more": "x" * 2_000})


def assert_refused(recorder: Recorder, error: type[RecorderError], text: str, **options: Any) -> None:
    """Assert that both ways of recording fail with this error, which contains no private data."""
    for events in ([NewEvent("search", "submit", SECRET)], [NewEvent("search", "submit", SECRET)] * 3):
        with pytest.raises(error) as caught:
            recorder.batch_record(events, **options)
        assert text in str(caught.value)
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert CANARY not in shown
        assert "INSERT" not in str(caught.value)
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    file = tmp_path / "telemetry.db"
    engine = create_database_engine(f"sqlite:///{file}")
    upgrade_database(engine)
    engine.dispose()
    return file


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://u:SECRETPW@127.0.0.1:1/x", "the database cannot be reached: nothing listens there"),
        ("postgresql://u:SECRETPW@/x?host=/no/such/folder", "the database cannot be reached: nothing listens there"),
        (
            "postgresql://u:SECRETPW@no-such-host.invalid/x",
            "the database cannot be reached: the URL's host is unknown",
        ),
        ("sqlite:////dev", "the database file cannot be opened"),
    ],
)
def test_a_missing_database(url: str, text: str) -> None:
    recorder = make_recorder(Database(create_database_engine(url)))
    assert_refused(recorder, DatabaseUnavailableError, text)
    with pytest.raises(DatabaseUnavailableError) as caught:
        recorder.record("search", "submit")
    assert "SECRETPW" not in "".join(traceback.format_exception(caught.value))


def test_a_missing_file_is_not_created(tmp_path: Path) -> None:
    recorder = make_recorder(Database(create_database_engine(f"sqlite:///{tmp_path / 'mistyped.db'}")))
    with pytest.raises(SchemaVersionError, match="there is no such database file; .* run: telemetry db upgrade"):
        recorder.record("search", "submit")
    assert list(tmp_path.iterdir()) == []
    recorder.close()


def test_an_unknown_database_or_user_on_a_postgresql_server(postgres: Any) -> None:
    with postgres.fresh_database(migrated=False) as url:
        known = make_url(url)
        for wrong, text in (
            (known.set(database="no_such_database"), "the database does not exist"),
            (known.set(username="no_such_user"), "the (URL's user does not exist|database rejected the credentials)"),
        ):
            recorder = make_recorder(Database(create_database_engine(wrong)))
            with pytest.raises(DatabaseUnavailableError, match=text) as caught:
                recorder.record("search", "submit")
            assert "no_such" not in "".join(traceback.format_exception(caught.value))


def test_a_read_only_database(migrated_url: str, database: Database) -> None:
    if database.dialect.name == "sqlite":
        engine = create_database_engine(f"sqlite:///file:{database.engine.url.database}?mode=ro&uri=true")
    else:
        engine = create_engine(database.engine.url, connect_args={"options": "-c default_transaction_read_only=on"})
    recorder = make_recorder(Database(engine))
    assert_refused(recorder, DatabaseReadOnlyError, "the database is read-only")
    recorder.close()
    assert stored_names(database) == ([], [])


_IN_A_READ_ONLY_FOLDER = """
import os, sys
from recorder import DatabaseReadOnlyError
from support.recorders import make_recorder
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.migrations import upgrade_database

recorder = make_recorder(Database(create_database_engine(sys.argv[1])))
new = create_database_engine(sys.argv[2])
try:  # import lazy modules now: the other user may not be able to read them
    recorder.check()
    upgrade_database(create_database_engine(sys.argv[3]))
finally:
    recorder.close()
os.chmod(sys.argv[4], 0o555)
if os.getuid() == 0:
    os.setuid(65534)
for call in (lambda: recorder.record("search", "submit"), recorder.check, lambda: upgrade_database(new)):
    try:
        call()
    except DatabaseReadOnlyError as error:
        print(error)
"""


def test_a_sqlite_database_in_a_read_only_folder() -> None:
    # Not in pytest's temporary folder: the other user has no access to it.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "database"
        folder.mkdir()
        folder.parent.chmod(0o755)
        engine = create_database_engine(f"sqlite:///{folder / 't.db'}")
        upgrade_database(engine)
        engine.dispose()
        (folder / "t.db").chmod(0o666)
        urls = [f"sqlite:///{path}" for path in (folder / "t.db", folder / "new.db", folder.parent / "other.db")]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(
            [sys.executable, "-c", _IN_A_READ_ONLY_FOLDER, *urls, str(folder)],
            capture_output=True, text=True, timeout=60, env=env, check=False,
        )  # fmt: skip
        folder.chmod(0o755)
    lines = done.stdout.splitlines()
    assert [line.startswith("the database is read-only: ") for line in lines] == [True] * 3, done


def test_a_sqlite_database_that_another_process_keeps_locked(sqlite_file: Path) -> None:
    engine = create_engine(f"sqlite:///{sqlite_file}", connect_args={"timeout": 0.05})
    recorder = make_recorder(Database(engine))
    other = sqlite3.connect(sqlite_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert_refused(recorder, DatabaseBusyError, "if that is the caller's own open transaction, pass connection=")
    other.execute("ROLLBACK")
    other.close()
    assert recorder.record("search", "submit")
    recorder.close()


def test_a_postgresql_table_that_stays_locked(postgres: Any) -> None:
    with postgres.fresh_database(migrated=True) as url:
        engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))

        @event.listens_for(engine, "connect")
        def connect(dbapi_connection: Any, _record: object) -> None:
            dbapi_connection.execute("SET lock_timeout = '50ms'")
            dbapi_connection.commit()

        recorder = make_recorder(Database(engine))
        others = create_engine(engine.url)
        with others.begin() as other:
            other.exec_driver_sql("LOCK TABLE event_logs IN ACCESS EXCLUSIVE MODE")
            assert_refused(recorder, DatabaseBusyError, "a lock was not granted in time")
        others.dispose()
        assert recorder.record("search", "submit")
        recorder.close()


def test_a_postgresql_server_that_never_responds_times_out() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=2"
        recorder = make_recorder(Database(create_database_engine(url)))
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailableError):
            recorder.record("search", "submit")
        assert time.monotonic() - started < 8


def test_connecting_has_a_timeout_unless_the_url_sets_another() -> None:
    seen: dict[str, Any] = {}
    engine = create_database_engine("postgresql://u@127.0.0.1:1/x?keepalives_idle=7")

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, _arguments: object, parameters: dict[str, Any]) -> None:
        seen.update(parameters)

    with pytest.raises(DatabaseUnavailableError):
        make_recorder(Database(engine)).record("search", "submit")
    assert (seen["connect_timeout"], seen["keepalives_idle"], seen["tcp_user_timeout"]) == (10, "7", 60_000)


SHORT = timedelta(seconds=0.5)
PATIENT = 30


def postgresql(url: str) -> Database:
    """Open a database with a statement timeout of half a second."""
    return Database(create_database_engine(url, timeout=SHORT))


def test_a_locked_table_times_out_and_nothing_is_stored_later(postgres: Any) -> None:
    with postgres.fresh_database(migrated=True) as url:
        database = postgresql(url)
        recorder = make_recorder(database)
        recorder.record("search", "before")
        with database.engine.begin() as other:
            other.exec_driver_sql("LOCK TABLE event_logs IN ACCESS EXCLUSIVE MODE")
            assert_refused(recorder, DatabaseBusyError, "the statement was cancelled")
        assert recorder.record("search", "after")
        assert stored_names(database) == (["search.after", "search.before"],) * 2
        recorder.close()


def test_a_server_that_never_responds_to_statements_times_out(postgres: Any, caplog: pytest.LogCaptureFixture) -> None:
    with postgres.fresh_database(migrated=True) as url:
        real = make_url(url)
        proxy = FaultProxy(postgresql_target(real), seed=1, faults=("black hole",))
        proxy.healthy.set()
        through = real.difference_update_query(["host"]).set(host="127.0.0.1", port=proxy.port)
        database = postgresql(through.update_query_dict({"connect_timeout": "2"}).render_as_string(hide_password=False))
        recorder = make_recorder(database)
        try:
            recorder.record("search", "before")
            proxy.inflict("black hole")
            started = time.monotonic()
            with pytest.raises(DatabaseUnavailableError, match="the database did not answer in time"):
                recorder.record("search", "submit", SECRET)
            assert_refused(recorder, DatabaseUnavailableError, "the database cannot be reached")
            # The sum of timeouts: the answer, the cancel request, and a connection for each of the other calls.
            assert time.monotonic() - started < PATIENT
            assert "Traceback" not in caplog.text
            queue = ExportQueue(database)
            with pytest.raises(DatabaseUnavailableError):
                queue.counts()
            proxy.healthy.set()
            recorder.record("search", "after")
            assert queue.counts().pending >= 2
        finally:
            recorder.close()
            proxy.close()


def test_the_timeout_of_statements_is_a_setting(postgres: Any) -> None:
    with postgres.fresh_database(migrated=True) as url:
        settings = RecorderSettings.load(record_timeout="300ms", export_mode="all")
        recorder = Recorder.from_url(url, service_version="1", settings=settings)
        recorder.record("search", "before")
        others = create_engine(make_url(url).set(drivername="postgresql+psycopg"))
        with others.begin() as other:
            other.exec_driver_sql("LOCK TABLE telemetry_events_export_queue IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(DatabaseBusyError):
                recorder.record("search", "submit")
        others.dispose()
        recorder.close()


def test_a_sqlite_version_that_is_too_old() -> None:
    with pytest.raises(UnsupportedDatabaseError, match=r"is 3\.34\.1; 3\.35 or later is required"):
        SqliteDialect(version=(3, 34, 1)).check_database(make_url("sqlite:///x.db"))


def test_a_full_disk(sqlite_file: Path) -> None:
    engine = create_database_engine(f"sqlite:///{sqlite_file}")

    @event.listens_for(engine, "connect")
    def connect(dbapi_connection: Any, _record: object) -> None:
        pages = dbapi_connection.execute("PRAGMA page_count").fetchone()[0]
        dbapi_connection.execute(f"PRAGMA max_page_count={pages + 2}")

    database = Database(engine)
    recorder = make_recorder(database)
    stored = 0
    with pytest.raises(DatabaseFullError, match="the disk or the database is full"):  # noqa: PT012 - until it is full
        for _ in range(1_000):
            recorder.record("search", "submit", SECRET)
            stored += 1
    assert len(logged(database)) == len(queued(database)) == stored
    assert_refused(recorder, DatabaseFullError, "full")
    recorder.close()


def test_a_table_that_was_dropped(database: Database) -> None:
    recorder = make_recorder(database)
    recorder.record("search", "submit")
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE event_logs")
    assert_refused(recorder, DatabaseFailedError, "rejected by")
    assert len(queued(database)) == 1


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("mysql://u:SECRETPW@h/x", "mysql is not supported; use SQLite or PostgreSQL"),
        ("postgresql+asyncpg://u:SECRETPW@h/x", "the driver asyncpg is not supported; use postgresql+psycopg://"),
        ("sqlite://", "an in-memory SQLite database would lose what is recorded"),
        ("sqlite:///:memory:", "an in-memory SQLite database would lose what is recorded"),
        ("SECRETPW", "the database URL is not of the form"),
        ("postgresql://u:SECRETPW@h:port/x", "the database URL is not of the form"),
    ],
)
def test_urls_that_the_recorder_cannot_write_to(url: str, text: str) -> None:
    with pytest.raises(UnsupportedDatabaseError) as caught:
        create_database_engine(url)
    assert text in str(caught.value)
    assert "SECRETPW" not in "".join(traceback.format_exception(caught.value))


def test_connections_lost_while_idle_are_replaced(postgres: Any) -> None:
    with postgres.fresh_database(migrated=True) as url:
        database = Database(create_database_engine(url))
        recorder = make_recorder(database)
        recorder.record("search", "before")
        admin = create_engine(database.engine.url, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        recorder.record("search", "after")
        assert stored_names(database)[0] == ["search.after", "search.before"]
        admin.dispose()
        recorder.close()


def test_a_connection_lost_in_the_callers_transaction_is_reported(postgres: Any) -> None:
    with postgres.fresh_database(migrated=True) as url:
        database = Database(create_database_engine(url))
        recorder = make_recorder(database)
        with pytest.raises(DatabaseUnavailableError), database.engine.connect() as connection:  # noqa: PT012
            pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            admin = create_engine(database.engine.url, isolation_level="AUTOCOMMIT")
            with admin.connect() as other:
                other.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 5000)")
            admin.dispose()
            recorder.record("search", "submit", SECRET, connection=connection)
        assert stored_names(database) == ([], [])
        recorder.close()


def record_in_child(recorder: Recorder, results: "multiprocessing.Queue[str]") -> None:
    try:
        results.put(recorder.record("child", "one"))
    except BaseException as error:  # noqa: BLE001 - the parent asserts on it
        results.put(repr(error))
    finally:
        recorder.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_parent_and_child_have_separate_connections_after_a_fork(database: Database) -> None:
    recorder = make_recorder(database)
    recorder.record("parent", "before")
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[str] = context.Queue()
    held = threading.Event()
    release = threading.Event()

    def write(driver: Any) -> None:  # a thread that writes while the process forks
        held.set()
        release.wait(10)

    writers = [
        threading.Thread(target=lambda: database.write_held(write)),
        threading.Thread(target=lambda: recorder.record("parent", "leads")),
        threading.Thread(target=lambda: recorder.record("parent", "waits")),
    ]
    for writer in writers:
        writer.start()
        held.wait(10)
    threading.Timer(0.3, release.set).start()  # a fork waits for SQLite's transaction
    children = [context.Process(target=record_in_child, args=(recorder, results)) for _ in range(3)]
    for child in children:
        child.start()
    for writer in writers:
        writer.join()
    recorder.record("parent", "after")
    ids = [results.get(timeout=30) for _ in children]
    for child in children:
        child.join(30)
        assert child.exitcode == 0
    recorder.record("parent", "last")
    assert set(ids) <= set(queued(database))
    assert len(queued(database)) == 8
    results.close()
    results.join_thread()


RECORDING_PROCESS = """
import sys
from recorder import Recorder
from recorder.settings import RecorderSettings
recorder = Recorder.from_url(sys.argv[1], service_version="1", settings=RecorderSettings(export_mode="all"))
with open(sys.argv[2], "a", buffering=1) as ledger:
    ledger.write(recorder.record("search", "submit") + "\\n")
    print("ready", flush=True)
    while True:
        ledger.write(recorder.record("search", "submit") + "\\n")
"""


def test_what_record_returned_survives_a_kill(migrated_url: str, database: Database, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    for round_number in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", RECORDING_PROCESS, migrated_url, str(ledger)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            threading.Event().wait(0.02 + 0.03 * round_number)
            os.kill(process.pid, signal.SIGKILL)
    promised = {line for line in ledger.read_text().split("\n")[:-1] if len(line) == 36}
    assert len(promised) >= 6  # each process promised at least one before it was killed
    in_queue = set(queued(database))
    assert promised <= in_queue
    assert len(logged(database)) == len(in_queue)  # no event is half stored


def test_the_policy_of_these_tests_exports_all_events() -> None:
    assert EXPORT_ALL.obstacle is None
