"""The caller's transaction: the event is stored if, and only if, the business change is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, create_engine, event, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from structlog.testing import capture_logs

from recorder import BestEffortRecorder, DuplicateEventError, InvalidConnectionError, Recorder, RecorderError
from support.events import CANARY
from support.recorders import make_recorder, stored_names
from telemetry import EventParameters, NewEvent
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.migrations import upgrade_database

EVENT_ID = "0190a5c0-0000-7000-8000-000000000001"
business = MetaData()
orders = Table("orders", business, Column("id", Integer, primary_key=True))


def own_engine(url: str) -> Engine:
    """An engine made by the recorder."""
    return create_database_engine(url)


def plain_engine(url: str) -> Engine:
    """An engine as a host makes it, with the driver's own ways of beginning transactions."""
    return create_engine(url)


def recipe_engine(url: str) -> Engine:
    """An engine whose host begins transactions itself, as SQLAlchemy's documentation advises for SQLite."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def connect(dbapi_connection: Any, _record: object) -> None:
            dbapi_connection.isolation_level = None

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN")

    return engine


@pytest.fixture(params=[own_engine, plain_engine, recipe_engine])
def engine(request: pytest.FixtureRequest, migrated_url: str) -> Iterator[Engine]:
    made = request.param(migrated_url)
    business.create_all(made)
    yield made
    made.dispose()


@pytest.fixture
def recorder(engine: Engine) -> Recorder:
    return make_recorder(Database(engine))


def test_a_host_that_logs_its_statements_does_not_log_private_data(
    migrated_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_engine(migrated_url, echo="debug")
    recorder = make_recorder(Database(engine))
    with caplog.at_level("DEBUG"):
        for count in (1, 3):
            with engine.begin() as connection:
                connection.exec_driver_sql("SELECT 'of the host'")
                recorder.batch_record(
                    [NewEvent("search", "submit", EventParameters(private_metadata={"query": CANARY}))] * count,
                    connection=connection,
                )
    recorder.close()
    assert "of the host" in caplog.text
    assert CANARY not in caplog.text


@contextmanager
def by_connection(engine: Engine) -> Iterator[Connection]:
    with engine.begin() as connection:
        yield connection


@contextmanager
def by_session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session, session.begin():
        yield session


@contextmanager
def by_scoped_session(engine: Engine) -> Iterator[Any]:
    registry = scoped_session(sessionmaker(engine))
    try:
        yield registry
        registry.commit()
    except BaseException:
        registry.rollback()
        raise
    finally:
        registry.remove()


ways = pytest.mark.parametrize("begin", [by_connection, by_session, by_scoped_session])
Begin = Callable[[Engine], Any]


def counted_orders(engine: Engine) -> int:
    with engine.connect() as connection:
        return len(connection.execute(select(orders)).all())


@ways
@pytest.mark.parametrize("first", ["business", "event"])
@pytest.mark.interpreter
def test_a_commit_keeps_both(engine: Engine, recorder: Recorder, begin: Begin, first: str) -> None:
    with begin(engine) as connection:
        if first == "business":
            connection.execute(insert(orders).values(id=1))
        recorder.record("shop", "one", connection=connection)
        recorder.batch_record([NewEvent("shop", "two"), NewEvent("shop", "three")], connection=connection)
        if first == "event":
            connection.execute(insert(orders).values(id=1))
    names = ["shop.one", "shop.three", "shop.two"]
    assert stored_names(Database(engine)) == (names, names)
    assert counted_orders(engine) == 1


@ways
@pytest.mark.parametrize("first", ["business", "event"])
def test_a_rollback_keeps_neither(engine: Engine, recorder: Recorder, begin: Begin, first: str) -> None:
    # With "event" first on a plain SQLite engine, the driver has not begun a transaction yet, and releasing a
    # savepoint outside a transaction would commit.
    with pytest.raises(ZeroDivisionError), begin(engine) as connection:  # noqa: PT012 - what rolls back is the block
        if first == "business":
            connection.execute(insert(orders).values(id=1))
        recorder.record("shop", "one", connection=connection)
        recorder.batch_record([NewEvent("shop", "two"), NewEvent("shop", "three")], connection=connection)
        if first == "event":
            connection.execute(insert(orders).values(id=1))
        _ = 1 / 0
    assert stored_names(Database(engine)) == ([], [])
    assert counted_orders(engine) == 0


@pytest.mark.parametrize("size", [1, 3])
def test_a_failure_caught_by_the_caller_leaves_no_partial_event(engine: Engine, recorder: Recorder, size: int) -> None:
    recorder.record("first", "one", id=EVENT_ID)
    with engine.begin() as connection, connection.begin_nested() as savepoint:
        connection.execute(insert(orders).values(id=1))
        batch = [NewEvent("lost", "one") for _ in range(size - 1)]
        with pytest.raises(DuplicateEventError):
            recorder.batch_record([*batch, NewEvent("lost", "twice", id=EVENT_ID)], connection=connection)
        savepoint.rollback()
    assert stored_names(Database(engine)) == (["first.one"], ["first.one"])


@pytest.mark.parametrize("make", [own_engine, plain_engine, recipe_engine])
def test_on_sqlite_the_transaction_continues_after_a_failure(make: Callable[[str], Engine], tmp_path: Path) -> None:
    engine = make(f"sqlite:///{tmp_path / 'host.db'}")
    upgrade_database(engine)
    business.create_all(engine)
    recorder = make_recorder(Database(engine))
    recorder.record("first", "one", id=EVENT_ID)
    with engine.begin() as connection:
        with pytest.raises(DuplicateEventError):
            recorder.record("lost", "twice", id=EVENT_ID, connection=connection)
        connection.execute(insert(orders).values(id=1))
    assert stored_names(Database(engine)) == (["first.one"], ["first.one"])
    assert counted_orders(engine) == 1
    recorder.close()


@ways
def test_the_best_effort_recorder_leaves_the_transaction_usable(
    engine: Engine, recorder: Recorder, begin: Begin
) -> None:
    recorder.record("first", "one", id=EVENT_ID)
    best_effort = BestEffortRecorder(recorder)
    with capture_logs() as logs, begin(engine) as connection:
        connection.execute(insert(orders).values(id=1))
        assert best_effort.record("lost", "twice", id=EVENT_ID, connection=connection) is None
        assert best_effort.record("kept", "one", connection=connection) is not None
        connection.execute(insert(orders).values(id=2))
    assert [line["error"] for line in logs] == ["DuplicateEventError"]
    assert stored_names(Database(engine)) == (["first.one", "kept.one"], ["first.one", "kept.one"])
    assert counted_orders(engine) == 2


def test_rolling_back_a_callers_savepoint_removes_its_events(engine: Engine, recorder: Recorder) -> None:
    with engine.begin() as connection:
        recorder.record("kept", "one", connection=connection)
        savepoint = connection.begin_nested()
        recorder.record("lost", "one", connection=connection)
        savepoint.rollback()
    assert stored_names(Database(engine)) == (["kept.one"], ["kept.one"])


def test_an_error_of_the_caller_is_not_converted(engine: Engine, recorder: Recorder) -> None:
    with pytest.raises(IntegrityError), engine.begin() as connection:  # noqa: PT012 - what rolls back is the block
        recorder.record("shop", "one", connection=connection)
        connection.execute(insert(orders).values(id=1))
        connection.execute(insert(orders).values(id=1))
    assert stored_names(Database(engine)) == ([], [])


@pytest.mark.parametrize("size", [1, 2])
def test_a_connection_in_autocommit_mode_is_rejected(migrated_url: str, size: int) -> None:
    engine = plain_engine(migrated_url)
    recorder = make_recorder(Database(engine))
    with (
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
        pytest.raises(InvalidConnectionError, match="is in autocommit mode, so there is no transaction to join"),
    ):
        recorder.batch_record([NewEvent("shop", "one")] * size, connection=connection)
    assert stored_names(Database(engine)) == ([], [])
    engine.dispose()


@pytest.mark.parametrize("given", [object(), "connection", 5])
def test_an_object_that_is_not_a_connection_is_rejected_with_its_type(recorder: Recorder, given: Any) -> None:
    with pytest.raises(
        InvalidConnectionError, match=f"must be a SQLAlchemy Connection or Session, not {type(given).__name__}"
    ):
        recorder.record("shop", "one", connection=given)


def test_a_failure_in_the_second_table_rolls_back_only_the_event(engine: Engine, recorder: Recorder) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE event_logs RENAME TO elsewhere")
        with pytest.raises(RecorderError):
            recorder.batch_record([NewEvent("half", "stored")] * 2, connection=connection)
        if engine.dialect.name == "sqlite":  # one event is one statement on PostgreSQL
            with pytest.raises(RecorderError):
                recorder.record("half", "stored", connection=connection)
        connection.execute(insert(orders).values(id=1))
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO event_logs")
    assert stored_names(Database(engine)) == ([], [])
    assert counted_orders(engine) == 1
