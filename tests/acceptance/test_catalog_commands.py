import json
from pathlib import Path

import pytest

from support.programs import Shell

EVENTS = """
[[event]]
feature = "search"
action = "submit"
owner = "search team"
description = "Submitted."
metadata.n = "How many."
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "events.toml").write_text(EVENTS)
    (tmp_path / "code.py").write_text('recorder.record("search", "submit")\n')
    return Shell(tmp_path, {"TELEMETRY_CATALOG_FILE": "events.toml"})


def test_code_that_matches_the_catalogue_passes(shell: Shell) -> None:
    checked = shell.telemetry("catalog", "check", ".")
    assert (checked.code, checked.out) == (0, "1 events in the catalogue, 1 calls, 0 findings\n")


def test_code_that_differs_from_the_catalogue_fails_with_the_places(shell: Shell) -> None:
    (shell.folder / "code.py").write_text('recorder.record("search", "sumbit")\n')
    checked = shell.telemetry("catalog", "check", "code.py")
    assert checked.code == 1
    assert checked.out.splitlines() == [
        "code.py:1: search, sumbit is not in the catalogue; similar: search, submit",
        "events.toml, line 2: search, submit is not recorded in this code; remove it here, or set recorded_by",
        "1 events in the catalogue, 1 calls, 2 findings",
    ]
    found = [json.loads(line) for line in shell.telemetry("catalog", "check", ".", "--json").out.splitlines()]
    assert [(each["kind"], each["place"]) for each in found] == [
        ("unknown", "code.py:1"),
        ("stale", "events.toml, line 2"),
    ]


def test_events_are_listed(shell: Shell) -> None:
    assert "search team" in shell.telemetry("catalog", "list").out
    (listed,) = shell.telemetry("catalog", "list", "--json").out.splitlines()
    assert json.loads(listed)["metadata"]["n"] == {"meaning": "How many.", "kind": "number", "required": True}


@pytest.mark.parametrize(("command", "target"), [("docs", "events.md"), ("generate", "events.py")])
def test_a_generated_file_that_is_out_of_date_is_reported(shell: Shell, command: str, target: str) -> None:
    stale = shell.telemetry("catalog", command, target, "--check")
    assert (stale.code, stale.err) == (
        1,
        f"error: {target} is out of date; run: telemetry catalog {command} {target}\n",
    )
    assert shell.telemetry("catalog", command, target).out == f"wrote {target}\n"
    assert shell.telemetry("catalog", command, target, "--check").code == 0
    (shell.folder / "events.toml").write_text(EVENTS.replace("How many", "How often"))
    assert shell.telemetry("catalog", command, target, "--check").code == 1
    (shell.folder / target).write_bytes(b"\xff")
    assert shell.telemetry("catalog", command, target, "--check").err == stale.err


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (("check", "missing"), 2, "error: missing: there is no such file or folder\n"),
        (
            ("check", ".", "--file", "none.toml"),
            2,
            "TELEMETRY_CATALOG_FILE: the catalogue file none.toml cannot be read",
        ),
        (("check", ".", "--file", "code.py"), 2, "TELEMETRY_CATALOG_FILE: code.py: is not valid TOML"),
        (("docs", "no/such/folder.md"), 1, "error: no/such/folder.md cannot be written: No such file or directory\n"),
    ],
)
def test_an_error_prints_one_line(shell: Shell, arguments: tuple[str, ...], code: int, error: str) -> None:
    done = shell.telemetry("catalog", *arguments)
    assert done.code == code
    assert error in done.err
    assert "Traceback" not in done.err


def test_a_missing_catalogue_is_reported(tmp_path: Path) -> None:
    done = Shell(tmp_path, {}).telemetry("catalog", "list")
    assert (done.code, done.out) == (2, "")
    assert "TELEMETRY_CATALOG_FILE: is not set, so there is no catalogue; set it, or pass --file" in done.err


def test_a_recorder_with_a_catalogue_rejects_unknown_events(shell: Shell) -> None:
    shell.telemetry("db", "upgrade")
    refused = shell.telemetry("record", "search", "opened")
    assert (refused.code, refused.err) == (2, "error: event: search, opened is not in the catalogue\n")
    assert shell.telemetry("record", "search", "submit", "-m", "n=1").code == 0
    refused = shell.telemetry("record", "search", "submit", "-m", "n=1", "-m", "other=1")
    assert refused.err == "error: metadata['other']: is not in the catalogue (events.toml, line 2)\n"
