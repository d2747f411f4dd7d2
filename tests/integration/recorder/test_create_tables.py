"""Empty tables without Alembic: the same as the migrations make."""

import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, inspect, text

from recorder import RecorderError, SchemaVersionError
from support.recorders import logged, make_recorder, queued
from telemetry_store import create_tables
from telemetry_store.database import Database
from telemetry_store.empty_tables import TABLES
from telemetry_store.engine import create_database_engine
from telemetry_store.migrations import find_schema_faults, upgrade_database
from telemetry_store.schema_version import VERSION_TABLE

ALL = (*(table.name for table in TABLES), VERSION_TABLE)


def schema_of(connection: Connection) -> dict[str, Any]:
    inspector = inspect(connection)

    def table(name: str) -> dict[str, Any]:
        return {
            "columns": {
                column["name"]: (str(column["type"]), column["nullable"], column["default"])
                for column in inspector.get_columns(name)
            },
            "primary key": inspector.get_pk_constraint(name),
            "checks": sorted((str(check["name"]), check["sqltext"]) for check in inspector.get_check_constraints(name)),
            "indexes": sorted(
                (
                    index["name"] or "",
                    index["column_names"],
                    index["unique"],
                    {key: str(value) for key, value in index.get("dialect_options", {}).items()},
                )
                for index in inspector.get_indexes(name)
            ),
            "rows": [tuple(row) for row in connection.execute(text(f"SELECT * FROM {name}"))],
        }

    schema: dict[str, Any] = {name: table(name) for name in ALL}
    schema["tables"] = sorted(set(inspector.get_table_names()))
    if connection.dialect.name == "postgresql":
        options = "SELECT relname, reloptions FROM pg_class WHERE relname = ANY(:names) ORDER BY 1"
        schema["options"] = [tuple(row) for row in connection.execute(text(options), {"names": list(ALL)})]
    return schema


def read_schema(engine: Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        return schema_of(connection)


def drop_all(engine: Engine) -> None:
    with engine.begin() as connection:
        for name in ALL:
            connection.execute(text(f"DROP TABLE {name}"))


@pytest.fixture
def engine(empty_url: str) -> Engine:
    return create_database_engine(empty_url)


def test_they_are_as_the_migrations_make_them(engine: Engine, empty_url: str) -> None:
    create_tables(empty_url)
    made = read_schema(engine)
    drop_all(engine)
    upgrade_database(engine)
    assert made == read_schema(engine)
    engine.dispose()


def test_events_are_recorded_there_and_an_upgrade_finds_nothing_to_do(engine: Engine, empty_url: str) -> None:
    create_tables(empty_url)
    database = Database(engine)
    make_recorder(database).record("search", "submit")
    create_tables(empty_url)
    before = read_schema(engine)
    upgrade_database(engine)
    assert read_schema(engine) == before
    assert find_schema_faults(database) == []
    assert (len(logged(database)), len(queued(database))) == (1, 1)
    database.close()


def test_a_database_with_a_table_of_others_is_left_alone(engine: Engine, empty_url: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE event_logs (id integer)"))
    with pytest.raises(SchemaVersionError, match="event_logs; to adopt them .*: telemetry db upgrade"):
        create_tables(empty_url)
    assert inspect(engine).get_table_names() == ["event_logs"]
    engine.dispose()


@pytest.mark.parametrize(
    ("version", "problem"), [("0001", "run: telemetry db upgrade"), ("9999", "upgrade the package telemetry-recorder")]
)
def test_a_database_of_another_version_is_rejected(engine: Engine, empty_url: str, version: str, problem: str) -> None:
    create_tables(empty_url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '{version}'"))
        connection.execute(text(f"UPDATE telemetry_schema_compatibility SET oldest_code = '{version}'"))
    with pytest.raises(SchemaVersionError, match=problem):
        create_tables(empty_url)
    engine.dispose()


def test_processes_that_start_together_all_succeed(empty_url: str) -> None:
    code = "import sys; from telemetry_store import create_tables; sys.stdin.read(1); create_tables(sys.argv[1])"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, empty_url], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    for process in processes:  # each waits for its byte, so that imports do not set them apart
        assert process.stdin is not None
        process.stdin.write(b"x")
        process.stdin.flush()
    assert [(process.communicate(timeout=100)[1], process.returncode) for process in processes] == [(b"", 0)] * 4


def test_a_database_that_cannot_be_reached_is_an_error_of_ours() -> None:
    with pytest.raises(RecorderError, match="folder exists"):
        create_tables("sqlite:////no/such/folder/telemetry.db")
