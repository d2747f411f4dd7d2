"""Audit, doctor and cleanup as processes; progress in a terminal; Ctrl-C."""

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.programs import Shell
from support.recorders import make_recorder
from support.terminals import run_in_terminal
from telemetry import NewEvent
from telemetry_store.database import Database
from telemetry_store.export_queue import ExportQueue
from telemetry_testing import delay, scripted_gateway

MINUTE = timedelta(minutes=1)


@pytest.fixture
def shell(tmp_path: Path, migrated_url: str) -> Shell:
    return Shell(
        tmp_path,
        {"TELEMETRY_DATABASE_URL": migrated_url, "TELEMETRY_EXPORT_MODE": "all", "TELEMETRY_INSTANCE_ID": "me"},
    )


def by_hand(database: Database, statement: str) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql(statement)


def test_an_audit_is_balanced_or_prints_where_events_are_missing(shell: Shell, database: Database) -> None:
    recorder = make_recorder(database)
    recorder.batch_record([NewEvent("search", "submit", timestamp=datetime(2026, 1, 31, 12, tzinfo=UTC))] * 3)
    fine = shell.telemetry("audit")
    assert (fine.code, "All events are accounted for." in fine.out) == (0, True)
    (event_id, *_) = [event.id for event in ExportQueue(database).lease(1, MINUTE).events]
    by_hand(database, f"DELETE FROM telemetry_events_export_queue WHERE id = '{event_id}'")
    missing = shell.telemetry("audit")
    assert missing.code == 1
    assert "2026-01-31" in missing.out
    assert "search.submit" in missing.out
    assert "1 events are missing from the queue, 0 from event_logs" in missing.err
    facts = json.loads(shell.telemetry("audit", "--json").out)
    assert (facts["balanced"], facts["missing_from_queue"]) == (False, 1)
    assert [(place["day"], place["name"], place["missing_from_queue"]) for place in facts["places"]] == [
        ("2026-01-31", "search.submit", 1)
    ]
    unanswered = shell.telemetry("audit", "--accept")
    assert unanswered.code == 1
    accepted = shell.telemetry("audit", "--accept", "--yes")
    assert (accepted.code, "Accepted" in accepted.out) == (0, True)
    assert shell.telemetry("audit").code == 0


def test_a_changed_ledger_is_reported(shell: Shell, database: Database) -> None:
    make_recorder(database).record("search", "submit")
    by_hand(database, "INSERT INTO telemetry_export_ledger (entry, events) VALUES ('cleaned', 2)")
    report = shell.telemetry("audit")
    assert report.code == 1
    assert "2 events are missing from event_logs by the totals, although each day is balanced" in report.err
    assert "telemetry_export_ledger" in report.err


def test_the_export_is_reported_even_if_the_cleanup_fails(shell: Shell, database: Database) -> None:
    make_recorder(database).record("search", "submit")
    by_hand(database, "DROP TABLE event_logs")
    with scripted_gateway() as gateway:
        done = shell.telemetry(
            "export", "once", "--addr", gateway.address, "--json", environment={"TELEMETRY_EVENT_LOGS_RETENTION": "24h"}
        )
    assert done.code == 1
    assert (json.loads(done.out)["outcome"], json.loads(done.out)["acked"]) == ("drained", 1)
    assert "cleaned" not in json.loads(done.out)
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err


def test_cleanup_deletes_rows_past_their_retention(shell: Shell, database: Database) -> None:
    queue = ExportQueue(database)
    queue.mark_exported(make_recorder(database).batch_record([NewEvent("search", "submit")] * 3))
    make_recorder(database).record("search", "submit")
    assert json.loads(shell.telemetry("cleanup", "--json").out) == {"exported": 0, "event_logs": 0}
    at_once = {"TELEMETRY_GATEWAY_EXPORTER_EXPORTED_EVENTS_RETENTION": "0"}
    done = shell.telemetry("cleanup", environment=at_once)
    assert done.code == 0, done.err
    assert "kept forever" in done.out
    counts = queue.counts()
    assert (counts.cleaned, counts.exported, counts.pending) == (3, 0, 1)
    assert shell.telemetry("audit").code == 0


def test_the_doctor_prints_failures_and_what_to_do(shell: Shell) -> None:
    with shell.gateway() as address:
        well = shell.telemetry("doctor", "--addr", address)
        assert well.code == 0, well.out
        assert not [line for line in well.out.splitlines() if not line.startswith("ok")]
    away = shell.telemetry("doctor", "--addr", "http://127.0.0.1:9")
    assert away.code == 1
    (red,) = [line for line in away.out.splitlines() if line.startswith("fail")]
    assert "cannot be reached: Connection refused -> check the address, the firewall and that the gateway runs" in red
    levels = [json.loads(line)["level"] for line in shell.telemetry("doctor", "--json").out.splitlines()]
    assert set(levels) == {"ok", "warn"}
    misspelt = shell.telemetry("doctor", environment={"TELEMETRY_EXPORT_MOD": "all"})
    assert "did you mean TELEMETRY_EXPORT_MODE?" in misspelt.out
    wrong = shell.telemetry("doctor", environment={"TELEMETRY_EXPORT_MODE": "Search"})
    assert wrong.code == 1
    assert wrong.out.startswith("fail settings")
    not_recording = shell.telemetry("doctor", environment={"TELEMETRY_CATALOG_FILE": "missing.toml"})
    assert not_recording.code == 1
    assert not_recording.out.startswith("fail settings     TELEMETRY_CATALOG_FILE")
    assert "all are valid" not in not_recording.out


@pytest.mark.parametrize(
    "command",
    [
        ("queue", "status"), ("queue", "list"), ("queue", "retry"), ("dead", "list"), ("dead", "drop", "--all"),
        ("exported", "list"), ("export", "preview"), ("audit",), ("cleanup",),
    ],
    ids=" ".join,
)  # fmt: skip
@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("nonsense", 2, "the database URL is not of the form sqlite:///FILE or postgresql://HOST/NAME"),
        ("sqlite:///missing/telemetry.db", 1, "there is no such database file; correct TELEMETRY_DATABASE_URL, or"),
        ("sqlite:///mistyped.db", 1, "there is no such database file; correct TELEMETRY_DATABASE_URL, or run:"),
        ("sqlite:///empty.db", 1, "the database has no telemetry tables yet; run: telemetry db upgrade"),
        ("sqlite:///garbage.db", 1, "the file is not a SQLite database"),
    ],
)
def test_an_unusable_database_is_reported_on_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], url: str, code: int, message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from telemetry_cli.main import main  # noqa: PLC0415 - what it prints to is made at import

    monkeypatch.chdir(tmp_path)
    (tmp_path / "garbage.db").write_text("nonsense " * 1_000)
    (tmp_path / "empty.db").touch()
    with pytest.raises(SystemExit) as ended:
        main([*command, "--database-url", url])
    out, err = capsys.readouterr()
    assert ended.value.code == code
    assert message in " ".join(err.split())
    assert len(err.strip().splitlines()) == 1
    assert (out, "Traceback" in err) == ("", False)
    assert {each.name for each in tmp_path.glob("*.db")} == {"garbage.db", "empty.db"}


def test_an_audit_shows_progress_only_in_a_terminal(shell: Shell, database: Database) -> None:
    make_recorder(database).batch_record([NewEvent("search", "submit")] * 30)
    seen = run_in_terminal(shell, "audit")
    assert seen.code == 0
    assert "rows" in seen.screen
    assert "60/60" in seen.screen
    assert "All events are accounted for." in seen.screen
    assert shell.telemetry("audit").err == ""


def test_ctrl_c_ends_a_waiting_command_without_partial_changes(shell: Shell, database: Database) -> None:
    queue = ExportQueue(database)
    ids = make_recorder(database).batch_record([NewEvent("search", "submit")] * 3)
    queue.fail(queue.lease(3, MINUTE), ids, datetime.now(UTC) + MINUTE * 60)
    holder = database.engine.connect()  # holds the lock that the command needs
    holder.begin()
    if database.dialect.name != "sqlite":
        holder.exec_driver_sql("LOCK TABLE telemetry_events_export_queue IN SHARE MODE")

    # SQLite waits for the lock in C code, where Python cannot be interrupted.
    release = threading.Timer(2, holder.rollback)

    def waits(screen: str) -> bool:
        if "0/3" not in screen:
            return False
        if release.ident is None:
            release.start()
        return True

    seen = run_in_terminal(shell, "queue", "retry", when=waits)
    assert (seen.code, "Traceback" in seen.screen) == (130, False)
    release.join()
    holder.close()
    assert queue.counts().delayed == 3
    assert shell.telemetry("queue", "retry").out.strip() == "3 due now"


def test_ctrl_c_ends_an_export_and_releases_its_leases(shell: Shell, database: Database) -> None:
    ids = make_recorder(database).batch_record([NewEvent("search", "submit")] * 3)
    with scripted_gateway(delay(10)) as gateway:
        shell.environment["TELEMETRY_GATEWAY_EXPORTER_SHUTDOWN_TIMEOUT"] = "0.5s"
        seen = run_in_terminal(
            shell, "export", "once", "--addr", gateway.address, when=lambda _screen: bool(gateway.received)
        )
    assert (seen.code, "Traceback" in seen.screen) == (130, False)
    counts = ExportQueue(database).counts()
    assert (counts.pending, counts.leased) == (len(ids), 0)
    assert shell.telemetry("audit").code == 0


def test_ctrl_c_at_a_confirmation_changes_nothing(shell: Shell, database: Database) -> None:
    queue = ExportQueue(database)
    (event_id,) = make_recorder(database).batch_record([NewEvent("search", "submit")])
    queue.set_aside(queue.lease(1, MINUTE), {event_id: "x: y"})
    seen = run_in_terminal(shell, "dead", "drop", "--all", when=lambda screen: "[y/N]" in screen)
    assert seen.code in (1, 130)
    assert queue.counts().dead == 1
    no = run_in_terminal(shell, "dead", "drop", "--all", when=lambda screen: "[y/N]" in screen, answer="n\n")
    assert (no.code, queue.counts().dead) == (1, 1)
    yes = run_in_terminal(shell, "dead", "drop", "--all", when=lambda screen: "[y/N]" in screen, answer="y\n")
    assert (yes.code, queue.counts().dropped) == (0, 1)
    assert "1 dropped" in yes.screen
