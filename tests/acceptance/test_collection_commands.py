"""`telemetry ingest packages`, and a service with packages that it cannot collect."""

import json
import re
import urllib.request
from pathlib import Path

import pytest

from support.programs import Shell, wait_for_line

PACKAGES = """
[[package]]
name = "tool"
route = "/tool/{version}"
feature = "tool"
action = "run"
variables = { version = "why", os = "why" }
approved_by = "x"
approved_on = 2026-01-31
"""
CATALOG = """
[[event]]
feature = "tool"
action = "run"
owner = "tool team"
description = "Ran."
private_metadata.version = "Which."
private_metadata.os = "Where."
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "packages.toml").write_text(PACKAGES)
    environment = {
        "TELEMETRY_INGEST_COLLECTION_FILE": "packages.toml",
        "TELEMETRY_DATABASE_URL": f"sqlite:///{tmp_path / 'telemetry.db'}",
    }
    return Shell(tmp_path, environment)


def test_packages_are_checked_and_listed(shell: Shell) -> None:
    checked = shell.telemetry("ingest", "packages", "check")
    assert (checked.code, checked.out) == (0, "1 packages\n")
    listed = shell.telemetry("ingest", "packages", "list").out
    assert re.search(r"tool +\S /tool/\{version\} +\S tool run +\S version, os", listed)
    (line,) = shell.telemetry("ingest", "packages", "list", "--json").out.splitlines()
    assert json.loads(line) == {
        "name": "tool",
        "route": "/tool/{version}",
        "feature": "tool",
        "action": "run",
        "variables": {"version": "why", "os": "why"},
        "approved_by": "x",
        "approved_on": "2026-01-31",
        "origin": "packages.toml, line 2",
    }


def test_an_invalid_file_is_reported_with_the_line(shell: Shell) -> None:
    (shell.folder / "wrong.toml").write_text(PACKAGES.replace('os = "why"', 'os = ""'))
    problem = "wrong.toml, line 7: variable 'os' has no reason"
    for command in (("packages", "check", "--file"), ("serve", "--collection-file")):
        wrong = shell.telemetry("ingest", *command, "wrong.toml")
        assert wrong.code == 2
        assert problem in wrong.err
        assert "Traceback" not in wrong.err
    gone = shell.telemetry("ingest", "packages", "list", "--file", "gone.toml")
    assert (gone.code, "gone.toml: cannot be read: No such file" in gone.err) == (2, True)
    unset = shell.telemetry("ingest", "packages", "list", environment={"TELEMETRY_INGEST_COLLECTION_FILE": ""})
    assert unset.code == 2
    assert "TELEMETRY_INGEST_COLLECTION_FILE: is not set; set it to a file" in unset.err


def test_a_ping_can_be_tried_without_being_sent(shell: Shell) -> None:
    body = '{"os": "linux", "who": "me", "cut": '
    url = "https://x.test/tool/1%2F2?a=1"
    tried = shell.telemetry("ingest", "packages", "try", url, "--body", body, "--json")
    assert json.loads(tried.out) == {
        "package": "tool",
        "feature": "tool",
        "action": "run",
        "kept": {"version": "1/2", "os": "linux"},
        "undeclared": 2,
        "unstorable": 0,
        "whole_body": False,
    }
    assert "'version': '7'" in shell.telemetry("ingest", "packages", "try", "/tool/7").out
    missed = shell.telemetry("ingest", "packages", "try", "/tool")
    assert (missed.code, missed.err) == (
        1,
        "error: no route of a package matches this path, so the ping would be ignored\n",
    )
    assert not (shell.folder / "telemetry.db").exists()


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ('action = "run"', 'action = "ran"', "tool, run is not in the event catalogue"),
        ("private_metadata.os", "private_metadata.arch", "variable 'os' is not in the event catalogue (events.toml"),
        (
            "owner =",
            'metadata.n = "How many."\nowner =',
            "the event catalogue requires metadata",
        ),
    ],
)
def test_a_service_does_not_start_if_its_catalogue_would_reject_every_ping(
    shell: Shell, right: str, wrong: str, problem: str
) -> None:
    (shell.folder / "events.toml").write_text(CATALOG.replace(right, wrong))
    refused = shell.telemetry("ingest", "serve", environment={"TELEMETRY_CATALOG_FILE": "events.toml"})
    assert refused.code == 2
    assert f"TELEMETRY_INGEST_COLLECTION_FILE: packages.toml, line 2: {problem}" in refused.err


@pytest.mark.parametrize("catalog", [CATALOG, CATALOG.replace("private_metadata.os", 'private_metadata."*"')])
def test_pings_in_the_catalogue_are_accepted_and_counted(shell: Shell, catalog: str) -> None:
    (shell.folder / "events.toml").write_text(catalog)
    shell.environment |= {"TELEMETRY_CATALOG_FILE": "events.toml", "TELEMETRY_INGEST_METRICS_ADDR": "127.0.0.1:0"}
    assert shell.telemetry("db", "upgrade").code == 0
    with shell.background("ingest", "serve", "--listen", "127.0.0.1:0") as process:
        metrics = wait_for_line(process, r'"address": "([^"]+)", "event": "metrics served"')
        address = wait_for_line(process, r"listening on (\S+)")
        for path in ("/tool/1?os=linux&who=me", "/tool/2", "/nothing"):
            with urllib.request.urlopen(f"http://{address}{path}", timeout=60) as answer:
                assert answer.status == 204
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=60) as answer:
            counted = answer.read().decode()
    assert 'telemetry_collection_requests_total{outcome="recorded",package="tool"} 2.0' in counted
    assert 'telemetry_collection_requests_total{outcome="unmatched",package=""} 1.0' in counted
    assert 'telemetry_collection_variables_dropped_total{package="tool",why="undeclared"} 1.0' in counted
