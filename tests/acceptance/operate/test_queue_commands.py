"""The commands on waiting events, dead letters and exported events."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.events import CANARY
from support.programs import Result, Shell
from support.recorders import make_recorder
from telemetry import EventParameters, NewEvent
from telemetry.event import new_event_id
from telemetry_store.database import Database
from telemetry_store.export_queue import ExportQueue

MINUTE = timedelta(minutes=1)


@pytest.fixture
def shell(tmp_path: Path, migrated_url: str) -> Shell:
    return Shell(tmp_path, {"TELEMETRY_DATABASE_URL": migrated_url, "TELEMETRY_EXPORT_MODE": "all"})


@pytest.fixture
def ids(database: Database) -> list[str]:
    """Five events: due, leased, delayed, dead, exported."""
    events = [NewEvent("search.results", "submit", EventParameters(private_metadata={"query": CANARY}))] * 5
    ids = make_recorder(database).batch_record(events)
    queue = ExportQueue(database)
    leases = [(event.id, lease) for lease in [queue.lease(1, MINUTE * 60) for _ in range(5)] for event in lease.events]
    states = dict(zip(["due", "leased", "delayed", "dead", "exported"], leases, strict=True))
    for state, (event_id, lease) in states.items():
        if state == "due":
            queue.release(lease, [event_id])
        elif state == "delayed":
            queue.fail(lease, [event_id], datetime.now(UTC) + MINUTE * 60)
        elif state == "dead":
            queue.set_aside(lease, {event_id: "rejected: [bold]why[/] not\x1b[31m"})
        elif state == "exported":
            queue.mark_exported([event_id])
    assert sorted(ids) == sorted(event_id for event_id, _ in leases)
    return [event_id for event_id, _ in leases]


def rows(result: Result) -> list[dict[str, object]]:
    assert result.code == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def test_the_waiting_events_are_listed_by_state(shell: Shell, ids: list[str]) -> None:
    found = rows(shell.telemetry("queue", "list", "--json"))
    assert {row["id"]: row["state"] for row in found} == dict(zip(ids[:3], ["due", "leased", "delayed"], strict=True))
    for state, event_id in zip(["due", "leased", "delayed"], ids, strict=False):
        (row,) = rows(shell.telemetry("queue", "list", "--state", state, "--json"))
        assert row["id"] == event_id
    assert found[0]["event"]["feature"] == "search.results"  # type: ignore[index]


@pytest.mark.parametrize("width", [30, 40, 80, 120])
@pytest.mark.parametrize("command", [("queue", "list"), ("dead", "list"), ("exported", "list")])
def test_lists_fit_the_terminal_with_whole_ids(
    shell: Shell, ids: list[str], width: int, command: tuple[str, str]
) -> None:
    done = shell.telemetry(*command, environment={"COLUMNS": str(width)})
    assert done.code == 0, done.err
    assert max(len(line) for line in done.out.splitlines()) <= max(width, len(ids[0]))
    shown = {"queue": ids[:3], "dead": ids[3:4], "exported": ids[4:]}[command[0]]
    assert all(event_id in done.out for event_id in shown)
    assert "\x1b" not in done.out
    if command[0] == "dead":
        assert "[bold]why[/]" in " ".join(done.out.split())


def test_show_prints_the_state_of_an_event_and_what_would_be_exported(shell: Shell, ids: list[str]) -> None:
    done = shell.telemetry("queue", "show", ids[2])
    assert done.code == 0, done.err
    assert "delayed" in done.out
    assert '"feature": "search.results"' in done.out
    assert "held back: marketing_tracking" in done.out
    assert "held back: parameters.private_metadata: the allowlist has no entry for events of this type" in done.out
    facts = json.loads(shell.telemetry("queue", "show", ids[0], "--json").out)
    assert facts["would_leave"]["leaves"]
    outside = shell.telemetry("queue", "show", ids[0], environment={"TELEMETRY_EXPORT_MODE": "editor"})
    assert "Not exported: not covered by TELEMETRY_EXPORT_MODE" in outside.out
    exported = json.loads(shell.telemetry("queue", "show", ids[4], "--json").out)
    assert (exported["state"], "would_leave" in exported) == ("exported", False)


def test_dead_letters_and_exported_events_are_shown_completely(shell: Shell, ids: list[str]) -> None:
    dead = json.loads(shell.telemetry("dead", "show", ids[3], "--json").out)
    assert (dead["state"], dead["attempts"]) == ("dead", 1)
    assert dead["dead_reason"].startswith("rejected: [bold]why[/]")
    exported = json.loads(shell.telemetry("exported", "show", ids[4], "--json").out)
    assert exported["event"]["id"] == ids[4]
    assert "exported at" in shell.telemetry("exported", "show", ids[4]).out
    for command, event_id, state in (("dead", ids[4], "exported"), ("exported", ids[3], "dead")):
        wrong = shell.telemetry(command, "show", event_id)
        assert wrong.code == 1
        assert f"the event {event_id} is {state}; inspect it with: telemetry queue show {event_id}" in wrong.err


@pytest.mark.parametrize("command", [("queue", "show"), ("dead", "show"), ("exported", "show")])
def test_an_unknown_id_is_reported(shell: Shell, ids: list[str], command: tuple[str, str]) -> None:
    unknown = shell.telemetry(*command, new_event_id())
    assert unknown.code == 1
    assert "it was never queued, or it was exported and cleaned up" in unknown.err
    no_id = shell.telemetry(*command, "nonsense")
    assert no_id.code == 2
    assert "must be a UUID" in no_id.err or "UUID" in no_id.err
    assert "Traceback" not in unknown.err + no_id.err


def test_retry_makes_delayed_events_due(shell: Shell, ids: list[str], database: Database) -> None:
    wrong = shell.telemetry("queue", "retry", ids[0], ids[1])  # due, and leased by an exporter
    assert (wrong.code, wrong.out.splitlines()[0]) == (1, "0 of 2 due now")
    one = shell.telemetry("queue", "retry", ids[2], ids[2])
    assert (one.code, one.out.strip()) == (0, "1 of 1 due now")
    queue = ExportQueue(database)
    lease = queue.lease(10, MINUTE)
    assert sorted((event.id, event.attempts) for event in lease.events) == sorted([(ids[0], 0), (ids[2], 1)])
    queue.fail(lease, [ids[0], ids[2]], datetime.now(UTC) + MINUTE * 60)
    done = shell.telemetry("queue", "retry", "--json")
    assert json.loads(done.out) == {"retried": 2, "delayed": 0}
    assert len(queue.lease(10, MINUTE).events) == 2


def test_dropping_asks_and_is_counted(shell: Shell, ids: list[str], database: Database) -> None:
    asked = shell.telemetry("dead", "drop", ids[3])  # without an answer
    assert asked.code == 1
    assert "Permanently delete 1 dead letters?" in asked.err
    assert ExportQueue(database).counts().dead == 1
    assert shell.telemetry("dead", "drop", ids[3], ids[0], "--yes").out.splitlines()[0] == "1 of 2 dropped"
    counts = ExportQueue(database).counts()
    assert (counts.dead, counts.dropped, counts.recorded) == (0, 1, 5)


@pytest.mark.parametrize("command", ["requeue", "drop"])
def test_all_dead_letters_are_changed_together(shell: Shell, database: Database, command: str) -> None:
    queue = ExportQueue(database)
    ids = make_recorder(database).batch_record([NewEvent("search", "submit")] * 1_201)
    queue.set_aside(queue.lease(2_000, MINUTE), dict.fromkeys(ids, "x: y"))
    options = ("--yes",) if command == "drop" else ()
    done = shell.telemetry("dead", command, "--all", *options, "--json")
    assert json.loads(done.out) == {f"{command}d" if command == "requeue" else "dropped": 1_201}
    counts = queue.counts()
    assert (counts.dead, counts.pending, counts.dropped) == ((0, 1_201, 0) if command == "requeue" else (0, 0, 1_201))
    neither = shell.telemetry("dead", command)
    assert neither.code == 2
    assert "pass the ids of dead letters or --all, but not both" in neither.err


@pytest.fixture
def allowlist(tmp_path: Path) -> Path:
    path = tmp_path / "allowlist.toml"
    path.write_text(
        '[[event]]\nfeature = "search.results"\naction = "submit"\nkeys = { language = "Needed" }\n'
        'approved_by = "me"\napproved_on = 2026-01-31\n'
    )
    return path


def test_the_preview_prints_the_rule_for_each_held_back_part(shell: Shell, allowlist: Path) -> None:
    environment = {"TELEMETRY_ALLOWLIST_FILE": str(allowlist)}
    recorded = shell.telemetry(
        "record", "search.results", "submit", "-p", "language=go", "-p", f"query={CANARY}", environment=environment
    )
    assert recorded.code == 0, recorded.err
    allowed = shell.telemetry("export", "preview", environment=environment)
    assert '"language": "go"' in allowed.out
    assert "held back: parameters.private_metadata: the allowlist allows only language" in allowed.out
    assert "allowlist.toml, line 1" in allowed.out
    # The allowlist is narrower now: the queue still contains the key, but it is not exported.
    narrowed = json.loads(shell.telemetry("export", "preview", "--json").out)
    assert "privateMetadata" not in narrowed["event"].get("parameters", {})
    held = {row["part"]: row for row in narrowed["held_back"]}
    assert held["parameters.private_metadata.language"]["in_queue"]
    assert held["parameters.private_metadata.language"]["rule"] == "not-allowlisted"
    assert not held["marketing_tracking"]["in_queue"]
    assert CANARY not in allowed.out + str(narrowed)
