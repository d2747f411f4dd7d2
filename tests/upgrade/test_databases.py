"""The databases of 0.1.0 under the current code, and under both versions at the same time."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from support.programs import Shell
from support.releases import Written, lines, published

QUEUE = "telemetry_events_export_queue"
DUE = "exported_at IS NULL AND dead_at IS NULL AND lease IS NULL"
STATES = {
    "due": DUE,
    "leased": "lease IS NOT NULL",
    "exported": "exported_at IS NOT NULL",
    "dead": "dead_at IS NOT NULL",
}
KEPT = (
    (
        "SELECT id, timestamp, payload_pb, exported_at, due_at, lease, attempts, dead_at, dead_reason, in_event_logs "
        f"FROM {QUEUE} ORDER BY id"
    ),
    (
        "SELECT id, name, url, user_id, anonymous_user_id, source, argument, public_argument, version, timestamp, "
        "feature_flags, cohort_id, device_id, client FROM event_logs ORDER BY id"
    ),
    "SELECT entry, events FROM telemetry_export_ledger ORDER BY entry",
    (
        "SELECT request_id, started_at, last_at, passes, outcome, leased, sent, acked, rejected, dead, bytes "
        "FROM telemetry_export_runs ORDER BY request_id"
    ),
)


def settle(shell: Shell) -> None:
    """Upgrade, and check that nothing is missing."""
    assert lines(shell, "db", "upgrade")
    assert shell.telemetry("db", "check").code == 0
    assert lines(shell, "audit")[0]["balanced"]


def test_an_upgrade_changes_no_row(recorded: Written) -> None:
    before = [recorded.rows(statement) for statement in KEPT]
    assert all(before)
    settle(recorded.shell())
    assert [recorded.rows(statement) for statement in KEPT] == before


def test_an_upgrade_changes_no_row_of_adopted_tables(adopted: Written) -> None:
    before = [adopted.rows(statement) for statement in (*KEPT[:3], "SELECT legacy_extra FROM event_logs")]
    assert all(before)
    settle(adopted.shell())
    assert [adopted.rows(statement) for statement in (*KEPT[:3], "SELECT legacy_extra FROM event_logs")] == before


def test_each_state_is_read_as_it_was_written(recorded: Written) -> None:
    shell = recorded.shell()
    ids = {state: recorded.ids(condition) for state, condition in STATES.items()}
    assert all(ids.values())
    settle(shell)
    (status,) = lines(shell, "queue", "status")
    assert (status["pending"], status["leased"]) == (len(ids["due"] | ids["leased"]), len(ids["leased"]))
    assert (status["exported"], status["dead"]) == (len(ids["exported"]), len(ids["dead"]))
    assert (status["cleaned"], status["dropped"]) == (3, 1)
    for state in ("due", "leased"):
        assert {one["id"] for one in lines(shell, "queue", "list", "--state", state)} == ids[state]
    exported = lines(shell, "exported", "list")
    assert {one["id"] for one in exported} == ids["exported"]
    assert {one["event"]["feature"] for one in exported} == {"assistant.chat"}
    dead = lines(shell, "dead", "list")
    assert {one["id"] for one in dead} == ids["dead"]
    assert all("more than the sink's 2000" in json.dumps(one) for one in dead)


def test_an_export_sends_only_due_events(recorded: Written, tmp_path: Path) -> None:
    shell = recorded.shell()
    due, leased = (recorded.ids(STATES[state]) for state in ("due", "leased"))
    exported = recorded.ids(STATES["exported"])
    settle(shell)
    sink = tmp_path / "new"
    sink.mkdir()
    with Shell(sink, {"TELEMETRY_GATEWAY_SINK_FILE": "events.jsonl"}).gateway() as address:
        lines(shell, "export", "once", "--addr", address)
    assert sorted(published(sink)) == sorted(due)
    text = (sink / "events.jsonl").read_text()
    assert '"python"' in text  # allowlisted by the file of 0.1.0
    assert "stays" not in text
    assert recorded.ids(STATES["exported"]) == exported | due
    assert recorded.ids(STATES["leased"]) == leased
    assert lines(shell, "audit")[0]["balanced"]


def test_a_dead_letter_of_0_1_0_is_sent_again(recorded: Written, tmp_path: Path) -> None:
    shell = recorded.shell()
    dead = recorded.ids(STATES["dead"])
    settle(shell)
    lines(shell, "dead", "requeue", *sorted(dead))
    sink = tmp_path / "new"
    sink.mkdir()
    with Shell(sink, {"TELEMETRY_GATEWAY_SINK_FILE": "events.jsonl"}).gateway() as address:
        lines(shell, "export", "once", "--addr", address)
    assert dead < set(published(sink))
    assert lines(shell, "queue", "status")[0]["dead"] == 0


def test_processes_of_0_1_0_continue_after_the_upgrade(
    recorded: Written, tmp_path: Path, release_0_1_0: Mapping[str, str]
) -> None:
    new, old = recorded.shell(), recorded.shell(**release_0_1_0)
    settle(new)
    due = recorded.ids(DUE)
    ids = []
    for shell in (old, new):
        done = shell.telemetry("record", "search.results", "submit", "--user-id", "7")
        assert done.code == 0, done.err
        ids.append(done.out.strip())
    assert lines(old, "audit")[0]["balanced"]
    sink = tmp_path / "new"
    sink.mkdir()
    with Shell(sink, {"TELEMETRY_GATEWAY_SINK_FILE": "events.jsonl"}).gateway() as address:
        lines(old, "export", "once", "--addr", address)
    assert sorted(published(sink)) == sorted(due | set(ids))
    for shell in (old, new):
        assert lines(shell, "audit")[0]["balanced"]
        assert shell.telemetry("db", "check").code == 0
        assert set(ids) < {one["id"] for one in lines(shell, "exported", "list")}


def test_a_recorder_of_0_1_0_continues_with_adopted_tables(adopted: Written, release_0_1_0: Mapping[str, str]) -> None:
    settle(adopted.shell())
    old = adopted.shell(**release_0_1_0)
    assert old.telemetry("record", "search.results", "submit", "--user-id", "7").code == 0
    for shell in (old, adopted.shell()):
        assert lines(shell, "audit")[0]["balanced"]


def test_processes_of_0_1_0_run_the_code_of_its_wheel(tmp_path: Path, release_0_1_0: Mapping[str, str]) -> None:
    code = "import recorder, telemetry_cli, sys; print(recorder.__file__, telemetry_cli.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=Shell(tmp_path, release_0_1_0).environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(path.startswith(release_0_1_0["PYTHONPATH"]) for path in done.stdout.split())
