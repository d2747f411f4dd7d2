"""The command line: its output, exit codes and error messages."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from support.programs import Result, Shell, wait_for_line
from telemetry_cli.main import main
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine
from telemetry_store.export_queue import ExportQueue
from telemetry_store.schema_version import SCHEMA_VERSION

ROOT = Path(__file__).resolve().parents[2]
CANARY = "CANARY-55d0"


@pytest.fixture
def shell(migrated_url: str, tmp_path: Path) -> Shell:
    folder = tmp_path / "cwd"
    folder.mkdir()
    return Shell(
        folder,
        {
            "TELEMETRY_DATABASE_URL": migrated_url,
            "TELEMETRY_EXPORT_MODE": "all",
            "TELEMETRY_INSTANCE_ID": "test-instance",
        },
    )


@pytest.fixture
def fresh_shell(empty_url: str, tmp_path: Path) -> Shell:
    return Shell(tmp_path, {"TELEMETRY_DATABASE_URL": empty_url})


@pytest.fixture
def bare_shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path, {"TELEMETRY_DATABASE_URL": f"sqlite:///{tmp_path / 'bare.db'}"})


Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, in a separate folder: faster than a process, for many invalid inputs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def running(*arguments: str, **environment: str) -> Result:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        return Result(int(ended.value.code or 0), out, err)

    return running


def published(shell: Shell) -> list[dict[str, object]]:
    lines = (shell.folder / "telemetry-events.jsonl").read_text().splitlines()
    return [json.loads(line)["message"]["event"] for line in lines]


@pytest.mark.interpreter
def test_an_event_from_the_shell_is_exported_without_private_metadata(shell: Shell) -> None:
    recorded = shell.telemetry(
        "record", "search.results", "submit",
        "--metadata", "durationMs=41.5", "--private", f"query={CANARY}", "--billing", "search:core",
        "--user-id", "7", "--timestamp", "2026-01-31T12:00:00+00:00",
    )  # fmt: skip
    assert (recorded.code, recorded.err) == (0, "")
    event_id = recorded.out.strip()

    preview = shell.telemetry("export", "preview", "--json")
    assert preview.code == 0
    shown = json.loads(preview.out)
    assert shown["leaves"]

    status = json.loads(shell.telemetry("queue", "status", "--json").out)
    assert (status["pending"], status["recorded_for_export"], status["nothing_leaves_because"]) == (1, 1, None)

    with shell.gateway() as address:
        exported = shell.telemetry("export", "once", "--addr", address, "--json")
        assert exported.code == 0, exported.err
        report = json.loads(exported.out)
        assert (report["outcome"], report["acked"], report["remaining"]) == ("drained", 1, 0)

    events = published(shell)
    assert events == [shown["event"]]  # the preview showed exactly what was sent
    assert shown["id"] == event_id
    assert shown["event"]["timestamp"] == "2026-01-31T12:00:00Z"
    assert shown["event"]["parameters"] == {
        "metadata": {"durationMs": 41.5},
        "billingMetadata": {"product": "search", "category": "core"},
    }
    assert CANARY not in (shell.folder / "telemetry-events.jsonl").read_text()

    (line,) = shell.telemetry("exported", "list", "--json").out.splitlines()
    assert json.loads(line)["event"] == shown["event"]
    assert event_id in shell.telemetry("exported", "list").out
    assert json.loads(shell.telemetry("queue", "status", "--json").out)["exported"] == 1


def test_exporting_twice_publishes_once(shell: Shell) -> None:
    shell.telemetry("record", "search", "submit")
    with shell.gateway() as address:
        for _ in range(2):
            assert shell.telemetry("export", "once", "--addr", address).code == 0
    assert len(published(shell)) == 1


def test_an_unreachable_gateway_only_delays_events(shell: Shell) -> None:
    shell.telemetry("record", "search", "submit")
    result = shell.telemetry("export", "once", "--addr", "http://127.0.0.1:1", "--json")
    assert result.code == 1
    report = json.loads(result.out)
    assert (report["outcome"], report["remaining"], report["dead"]) == ("outage", 1, 0)
    assert "UNAVAILABLE" in report["problem"]
    assert "Traceback" not in result.err


def test_the_export_job_exports_until_a_signal(shell: Shell) -> None:
    shell.telemetry("record", "search", "submit")
    with shell.gateway() as address:
        with shell.background("export", "run", "--addr", address) as process:
            wait_for_line(process, r'("acked": ?1)')
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
            assert process.returncode == 0
        assert len(published(shell)) == 1


def test_with_export_off_events_are_kept_and_the_status_has_the_reason(shell: Shell) -> None:
    off = {"TELEMETRY_EXPORT_MODE": "none"}
    assert shell.telemetry("record", "search", "submit", environment=off).code == 0
    status = shell.telemetry("queue", "status", environment=off)
    assert "Nothing is queued or sent by this environment: TELEMETRY_EXPORT_MODE is" in status.out
    once = shell.telemetry("export", "once", "--addr", "http://127.0.0.1:1", "--json", environment=off)
    assert (once.code, json.loads(once.out)["outcome"]) == (0, "off")
    opted_out = shell.telemetry("queue", "status", "--json", environment={"DO_NOT_TRACK": "TRUE"})
    assert json.loads(opted_out.out)["nothing_leaves_because"] == "DO_NOT_TRACK is set"


def test_the_preview_counts_held_back_events_by_reason(shell: Shell) -> None:
    shell.telemetry("record", "search", "submit")
    narrowed = shell.telemetry("export", "preview", "--export-mode", "editor")
    assert narrowed.code == 0
    assert "search submit  not exported: not covered by TELEMETRY_EXPORT_MODE" in narrowed.out
    assert narrowed.err.strip() == "1 held back: not covered by TELEMETRY_EXPORT_MODE"


def test_the_preview_of_an_empty_queue(shell: Shell) -> None:
    assert "The queue is empty" in shell.telemetry("export", "preview").err


def test_dead_letters_are_listed_with_their_reason_and_requeued(shell: Shell, migrated_url: str) -> None:
    event_id = shell.telemetry("record", "search", "submit").out.strip()
    database = Database(create_database_engine(migrated_url))
    queue = ExportQueue(database)
    queue.set_aside(queue.lease(1, timedelta(minutes=1)), {event_id: "rejected: too old"})
    database.close()

    (line,) = shell.telemetry("dead", "list", "--json").out.splitlines()
    assert (json.loads(line)["id"], json.loads(line)["reason"]) == (event_id, "rejected: too old")
    assert "rejected: too old" in shell.telemetry("dead", "list").out
    assert shell.telemetry("dead", "requeue", event_id).out.strip() == "1 of 1 requeued"
    assert shell.telemetry("dead", "requeue", event_id).code == 1
    assert json.loads(shell.telemetry("queue", "status", "--json").out)["pending"] == 1
    assert shell.telemetry("dead", "requeue", "nonsense").code == 2


def test_upgrading_creates_the_tables_and_can_be_repeated(fresh_shell: Shell, database_kind: str) -> None:
    before = fresh_shell.telemetry("queue", "status")
    assert before.code == 1
    if database_kind == "sqlite":
        problem = "there is no such database file; correct TELEMETRY_DATABASE_URL, or run: telemetry db upgrade"
    else:
        problem = "the database has no telemetry tables yet; run: telemetry db upgrade"
    assert before.err.strip() == f"error: {problem}"
    for _ in range(2):
        done = fresh_shell.telemetry("db", "upgrade")
        assert done.code == 0
        assert done.out.strip().endswith(f"is at version {SCHEMA_VERSION}")
    assert fresh_shell.telemetry("queue", "status").code == 0
    assert json.loads(fresh_shell.telemetry("db", "upgrade", "--json").out)["version"] == SCHEMA_VERSION


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("record", CANARY, "submit"), 2, "error: feature: must be 2 to 64 ASCII letters, dashes or dots"),
        (("record", "search", "x"), 2, "error: action: must be 2 to 64"),
        (("record", "search", "submit", "-m", f"k={CANARY}"), 2, "error: --metadata k: must be a number"),
        (("record", "search", "submit", "-m", "k=nan"), 2, "error: metadata['k']: NaN and infinities"),
        (("record", "search", "submit", "-m", "k=9007199254740993"), 2, "error: metadata['k']: an integer beyond 2^53"),
        (("record", "search", "submit", "-m", "novalue"), 2, "error: --metadata: must be of the form KEY=NUMBER"),
        (("record", "search", "submit", "-p", CANARY), 2, "error: --private: must be of the form KEY=TEXT"),
        (("record", "search", "submit", "--private-json", f"[{CANARY}"), 2, "--private-json: must be a JSON object"),
        (("record", "search", "submit", "-p", "a=b", "--private-json", "{}"), 2, "error: --private-json: cannot be co"),
        (("record", "search", "submit", "--billing", "x"), 2, "error: --billing: must be of the form PRODUCT:CATEGORY"),
        (("record", "search", "submit", "--timestamp", CANARY), 2, "error: --timestamp: must be of the form 2026-01"),
        (("record", "search", "submit", "--timestamp", "2026-01-31"), 2, "error: timestamp: must have a time zone"),
        (("record", "search", "submit", "--user-id", "x"), 2, "Invalid value for '--user-id'"),
        (("record", "search", "submit"), 1, "error: there is no such database file; correct TELEMETRY_DATABASE_URL"),
        (("db", "upgrade", "--database-url", "sqlite:///no/such/folder/x.db"), 1, "error: the database file cannot be"),
        (("db", "upgrade", "--database-url", f"postgresql://u:{CANARY}@127.0.0.1:1/x"), 1, "cannot be reached"),
        (("db", "upgrade", "--database-url", f"mysql://u:{CANARY}@h/x"), 2, "mysql is not supported"),
        (("db", "upgrade", "--database-url", CANARY), 2, "error: the database URL is not of the form sqlite:///FILE"),
        (("db", "upgrade", "--database-url", "sqlite://"), 2, "error: an in-memory SQLite database would lose what"),
        (("queue", "status", "--database-url", f"postgresql+asyncpg://u:{CANARY}@h/x"), 2, "asyncpg is not supported"),
        (("queue", "status", "--database-url", f"postgresql+psycopg_async://u:{CANARY}@h/x"), 2, "engine: must be"),
        (("queue", "status", "--database-url", f"postgresql://u:{CANARY}@h:port/x"), 2, "the database URL is not"),
        (("export", "once"), 2, "TELEMETRY_GATEWAY_EXPORTER_EXPORT_ADDR: is not set, so nothing can be exported; set"),
        (("export", "once", "--addr", "http://example.com:80"), 2, "EXPORT_ADDR: plain http:// is allowed only for"),
        (("export", "once", "--addr", f"https://u:{CANARY}@h"), 2, "must contain only scheme, host and port"),
        (("export", "once", "--addr", "gopher://x"), 2, "EXPORT_ADDR: must be https://host:port"),
        (("export", "preview", "--export-mode", "Search"), 2, "TELEMETRY_EXPORT_MODE: export mode: must be"),
        (("export", "preview", "--limit", "0"), 2, "Invalid value for '--limit'"),
        (("allowlist", "check", "--file", "missing.toml"), 2, "file missing.toml cannot be read: No such"),
        (("gateway", "serve", "--listen", "0.0.0.0:0"), 2, "GATEWAY_LISTEN_ADDR: plain text is allowed only on loop"),
        (("gateway", "serve", "--listen", "nowhere"), 2, "TELEMETRY_GATEWAY_LISTEN_ADDR: must be host:port"),
        (("gateway", "serve", "--listen", "127.0.0.1:0", "--sink-file", "no/such/x"), 1, "cannot be opened"),
        (("no-such-verb",), 2, "No such command"),
    ],
)  # fmt: skip
def test_an_error_prints_one_line_and_sets_the_exit_code(
    run: Run, arguments: tuple[str, ...], code: int, text: str
) -> None:
    result = run(*arguments)
    assert result.code == code, result
    assert text in result.err
    assert "Traceback" not in result.err
    assert CANARY not in result.out + result.err


def test_all_invalid_settings_are_reported_together(run: Run) -> None:
    result = run(
        "export",
        "once",
        TELEMETRY_GATEWAY_EXPORTER_EXPORT_ADDR="ftp://x",
        TELEMETRY_GATEWAY_EXPORTER_EXPORT_INTERVAL="2h",
        TELEMETRY_GATEWAY_EXPORTER_EXPORT_BATCH_SIZE="99",
        TELEMETRY_MODE=CANARY,
    )
    assert result.code == 2
    for variable in ("EXPORT_ADDR", "EXPORT_INTERVAL", "EXPORT_BATCH_SIZE"):
        assert f"TELEMETRY_GATEWAY_EXPORTER_{variable}: " in result.err
    assert "TELEMETRY_MODE: telemetry mode: must be one of on, local, off" in result.err
    assert CANARY not in result.err


def test_a_read_only_database_file_is_reported(bare_shell: Shell) -> None:
    read_only = f"sqlite:///file:{bare_shell.folder / 'bare.db'}?mode=ro&uri=true"
    assert bare_shell.telemetry("db", "upgrade").code == 0
    result = bare_shell.telemetry("record", "search", "submit", "--database-url", read_only)
    assert result.code == 1
    assert result.err.startswith("error: the database is read-only: its file or folder is not writable")
    assert result.err.strip().endswith("(SQLITE_READONLY)")


def test_the_allowlist_is_checked_listed_and_written_as_a_page(bare_shell: Shell) -> None:
    file = ROOT / "examples" / "allowlist.toml"
    assert bare_shell.telemetry("allowlist", "check", "--file", str(file)).out.strip() == "valid entries: 1, expired: 0"
    (line,) = bare_shell.telemetry("allowlist", "list", "--json", "--file", str(file)).out.splitlines()
    assert json.loads(line)["feature"] == "assistant.chat"
    assert "assistant.chat" in bare_shell.telemetry("allowlist", "list", "--file", str(file)).out
    stale = bare_shell.telemetry("allowlist", "docs", "page.md", "--check", "--file", str(file))
    assert (stale.code, stale.err.strip()) == (
        1,
        "error: page.md is out of date; run: telemetry allowlist docs page.md",
    )
    assert bare_shell.telemetry("allowlist", "docs", "page.md", "--file", str(file)).code == 0
    assert bare_shell.telemetry("allowlist", "docs", "page.md", "--check", "--file", str(file)).code == 0
    assert "| `assistant.chat` | `submit` | `language` |" in (bare_shell.folder / "page.md").read_text()


def test_expired_entries_are_listed_and_fail_a_strict_check(bare_shell: Shell) -> None:
    bare_shell.folder.joinpath("list.toml").write_text(
        '[[event]]\nfeature = "search"\nkeys = { a = "b" }\napproved_by = "me"\n'
        "approved_on = 2020-01-31\nexpires_on = 2020-02-29\n"
    )
    file = ("--file", "list.toml")
    lax = bare_shell.telemetry("allowlist", "check", *file)
    assert (lax.code, lax.out.splitlines()[0]) == (0, "list.toml, line 1: expired on 2020-02-29")
    strict = bare_shell.telemetry("allowlist", "check", "--strict", "--json", *file)
    assert (strict.code, json.loads(strict.out)) == (1, {"hold": 0, "expired": ["list.toml, line 1"]})
    assert "expired on 2020-02-29" in " ".join(bare_shell.telemetry("allowlist", "list", *file).out.split())
    assert json.loads(bare_shell.telemetry("allowlist", "list", "--json", *file).out)["holds"] is False


def test_an_invalid_allowlist_is_rejected_with_the_line(bare_shell: Shell) -> None:
    (bare_shell.folder / "list.toml").write_text('[[event]]\nfeature = "search"\nkyes = {}\n')
    result = bare_shell.telemetry("allowlist", "check", "--file", "list.toml")
    assert result.code == 2
    assert "TELEMETRY_ALLOWLIST_FILE: list.toml, line 3: unknown field 'kyes'" in result.err


@pytest.mark.parametrize(
    "verb",
    [
        (), ("record",), ("db", "upgrade"), ("export", "once"), ("export", "run"), ("export", "preview"),
        ("queue", "status"), ("dead", "list"), ("dead", "requeue"), ("exported", "list"), ("allowlist", "check"),
        ("allowlist", "list"), ("allowlist", "docs"), ("gateway", "serve"), ("queue", "list"), ("queue", "retry"),
        ("dead", "drop"), ("audit",), ("cleanup",), ("doctor",), ("mode", "off"), ("config", "show"),
    ],
)  # fmt: skip
def test_every_command_has_help(run: Run, verb: tuple[str, ...]) -> None:
    result = run(*verb, "--help")
    assert result.code == 0
    assert "Usage:" in result.out


def test_the_example_service_runs_alone_on_either_database(shell: Shell, migrated_url: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "service.py"), "--database-url", migrated_url],
        env={**shell.environment, "TELEMETRY_ALLOWLIST_FILE": str(ROOT / "examples" / "allowlist.toml")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(shell.telemetry("queue", "status", "--json").out)["pending"] == 5004
    assert "SECRET" not in done.stdout + done.stderr
