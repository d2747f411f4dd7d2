"""`telemetry db current` and `check`, run as by an operator."""

import json
from pathlib import Path

import pytest

from support.programs import Shell
from telemetry_store.engine import create_database_engine
from telemetry_store.schema_version import SCHEMA_VERSION


@pytest.fixture
def shell(empty_url: str, tmp_path: Path) -> Shell:
    return Shell(tmp_path, {"TELEMETRY_DATABASE_URL": empty_url})


def test_current_shows_the_found_and_the_required_version(shell: Shell) -> None:
    bare = json.loads(shell.telemetry("db", "current", "--json").out)
    assert (bare["version"], bare["needed"], bare["oldest_code"]) == (None, SCHEMA_VERSION, None)
    assert shell.telemetry("db", "upgrade").code == 0
    made = json.loads(shell.telemetry("db", "current", "--json").out)
    assert (made["version"], made["needed"], made["oldest_code"]) == (SCHEMA_VERSION, SCHEMA_VERSION, "0001")
    for_people = shell.telemetry("db", "current")
    assert for_people.code == 0
    assert SCHEMA_VERSION in for_people.out


def test_check_ends_with_1_and_names_the_command_to_run(shell: Shell, empty_url: str) -> None:
    bare = shell.telemetry("db", "check")
    assert bare.code == 1
    assert "has no telemetry tables yet; run: telemetry db upgrade" in bare.out
    assert shell.telemetry("db", "upgrade").code == 0
    well = shell.telemetry("db", "check")
    assert (well.code, well.err) == (0, "")
    assert f"matches version {SCHEMA_VERSION} of the code" in well.out

    engine = create_database_engine(empty_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP INDEX event_logs_activity")
    engine.dispose()
    broken = shell.telemetry("db", "check", "--json")
    assert broken.code == 1
    (fault,) = (json.loads(line) for line in broken.out.splitlines())
    assert fault == {
        "place": "event_logs_activity",
        "problem": "does not exist, so queries read the whole table event_logs; run: telemetry db upgrade",
    }
    assert shell.telemetry("db", "upgrade").code == 0
    assert json.loads(shell.telemetry("db", "current", "--json").out)["version"] == SCHEMA_VERSION
    assert shell.telemetry("db", "check", "--json").out == ""


def test_a_dropped_table_is_named_and_cannot_be_restored_by_an_upgrade(shell: Shell, empty_url: str) -> None:
    assert shell.telemetry("db", "upgrade").code == 0
    engine = create_database_engine(empty_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE telemetry_events_export_queue")
    engine.dispose()
    (fault,) = (json.loads(line) for line in shell.telemetry("db", "check", "--json").out.splitlines())
    assert fault["place"] == "telemetry_events_export_queue"
    assert "restore it from a backup" in fault["problem"]
    upgraded = shell.telemetry("db", "upgrade")
    assert upgraded.code == 1
    assert upgraded.err.startswith("error: telemetry_events_export_queue cannot be found")
    seen = shell.telemetry("queue", "status")
    assert seen.code == 1
    assert "a table or a column is missing; see: telemetry db check" in seen.err


def test_an_invalid_patience_is_rejected(shell: Shell) -> None:
    refused = shell.telemetry("db", "upgrade", "--patience", "-1")
    assert refused.code == 2
    assert "--patience" in refused.err
