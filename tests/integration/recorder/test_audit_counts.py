"""The queue marks its events without a row in `event_logs`, so that the equation of migration 0002 holds."""

import pytest
from sqlalchemy import select

from recorder import without_event_logs
from support.recorders import make_recorder
from telemetry import ExportMode, ExportPolicy, NewEvent
from telemetry_store.database import Database
from telemetry_store.dialects import DIALECTS, DatabaseDialect
from telemetry_store.engine import create_database_engine
from telemetry_store.event_inserts import EventInserts
from telemetry_store.event_logs import event_logs
from telemetry_store.export_ledger import ADOPTED_EVENT_LOGS, ADOPTED_QUEUE, export_ledger
from telemetry_store.export_queue import export_queue
from telemetry_store.migrations import upgrade_database


def unlogged(database: Database) -> set[str]:
    with database.engine.connect() as connection:
        rows = connection.execute(select(export_queue.c.id).where(~export_queue.c.in_event_logs)).all()
    return {str(row.id) for row in rows}


def ledger(database: Database) -> dict[str, int]:
    with database.engine.connect() as connection:
        return {row.entry: row.events for row in connection.execute(select(export_ledger)).all()}


@pytest.mark.parametrize("number", [1, 2, 300])
def test_an_event_recorded_without_event_logs_is_marked_in_the_queue(database: Database, number: int) -> None:
    recorder = make_recorder(database)
    events = [NewEvent("search", "submit")] * number
    recorder.batch_record(events)
    ids = recorder.batch_record(events, without_event_logs=True)
    with without_event_logs():
        ids += recorder.batch_record(events)
    assert unlogged(database) == set(ids)


def test_it_is_marked_in_a_callers_transaction(database: Database) -> None:
    recorder = make_recorder(database)
    with database.engine.begin() as connection:
        recorder.record("search", "submit", connection=connection)
        ids = [recorder.record("search", "submit", connection=connection, without_event_logs=True)]
        ids += recorder.batch_record([NewEvent("search", "submit")] * 2, connection=connection, without_event_logs=True)
    assert unlogged(database) == set(ids)


def test_events_of_both_kinds_may_share_a_commit(database: Database) -> None:
    store = make_recorder(database)._store
    logged, unlogged_event = (make_recorder(database).build([NewEvent("search", "submit")])[0].event for _ in range(2))
    rows = [store._rows(logged, in_event_logs=True), store._rows(unlogged_event, in_event_logs=False)]  # type: ignore[attr-defined]
    store._write(rows)  # type: ignore[attr-defined]
    assert unlogged(database) == {unlogged_event.id}
    with database.engine.connect() as connection:
        assert len(connection.execute(select(event_logs.c.id)).all()) == 1


def test_the_baseline_is_what_an_older_version_left(migrated_url: str) -> None:
    database = Database(create_database_engine(migrated_url))
    recorder = make_recorder(database)
    recorder.batch_record([NewEvent("search", "submit")] * 5)
    recorder.batch_record([NewEvent("search", "submit")] * 2, without_event_logs=True)
    kept_here = make_recorder(database, policy=ExportPolicy(export_mode=ExportMode.parse("none")))
    kept_here.batch_record([NewEvent("search", "submit")] * 4)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO telemetry_export_ledger (entry, events) VALUES ('cleaned', 90)")
        connection.exec_driver_sql(
            "INSERT INTO event_logs (name, url, user_id, anonymous_user_id, source, version, timestamp) "
            "VALUES ('OldEvent', '', 7, '', 'WEB', '1', '2020-01-01 00:00:00.000000')"
        )
        connection.exec_driver_sql("UPDATE telemetry_alembic_version SET version_num = '0001'")
    upgrade_database(database.engine)
    assert ledger(database) == {"cleaned": 90, ADOPTED_EVENT_LOGS: 7, ADOPTED_QUEUE: 97}
    database.close()


def test_a_row_with_invalid_json_is_counted_as_not_exportable(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # SQLite accepts any text.
    url = f"sqlite:///{tmp_path_factory.mktemp('old') / 'telemetry.db'}"
    engine = create_database_engine(url)
    upgrade_database(engine)
    database = Database(engine)
    make_recorder(database).record("search", "submit")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE event_logs SET public_argument = '{broken'")
        connection.exec_driver_sql("UPDATE telemetry_alembic_version SET version_num = '0001'")
    upgrade_database(engine)
    assert ledger(database) == {ADOPTED_EVENT_LOGS: 0, ADOPTED_QUEUE: 1}
    database.close()


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_the_ordinary_statement_does_not_write_the_mark(dialect: DatabaseDialect) -> None:
    inserts = EventInserts(dialect)
    assert "in_event_logs" in inserts.unlogged.statement
    assert "in_event_logs" not in f"{inserts.both} {inserts.queued.statement}"


def test_a_new_database_has_no_baselines(database: Database) -> None:
    assert ledger(database) == {}
