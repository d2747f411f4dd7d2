"""`telemetry gateway check` and `rejects`, run as by an operator."""

import json
from pathlib import Path

import pytest

from support.gateway_client import INSTANCE, event, send
from support.gateway_server import running_gateway
from support.programs import Shell

SECRET = "SECRET-77aa"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(
        tmp_path,
        {
            "TELEMETRY_GATEWAY_LISTEN_ADDR": "127.0.0.1:0",
            "TELEMETRY_GATEWAY_SINK_FILE": "published.jsonl",
            "TELEMETRY_GATEWAY_DEDUPLICATION_FILE": "deduplication.db",
            "TELEMETRY_GATEWAY_REJECTS_FILE": "rejects.jsonl",
        },
    )


def test_check_prints_results_and_what_to_do(shell: Shell) -> None:
    well = shell.telemetry("gateway", "check", "--json")
    assert (well.code, well.err) == (0, "")
    assert all(json.loads(line)["ok"] for line in well.out.splitlines())
    broken = shell.telemetry("gateway", "check", environment={"TELEMETRY_GATEWAY_REJECTS_FILE": "no/such/folder/r"})
    assert broken.code == 1
    assert "FAILED" in broken.out
    assert "the folder no/such/folder does not exist; create it" in broken.out
    wrong = shell.telemetry("gateway", "check", environment={"TELEMETRY_GATEWAY_MAX_STREAMS": "0"})
    assert wrong.code == 2
    assert "TELEMETRY_GATEWAY_MAX_STREAMS" in wrong.err
    assert "Traceback" not in wrong.err


def test_rejects_are_listed_without_their_payload_and_replayed(shell: Shell, tmp_path: Path) -> None:
    large = event()
    large.parameters.private_metadata["text"] = SECRET * 300
    with running_gateway(tmp_path, sink_max_message_bytes=2_000) as gateway, gateway.channel() as channel:
        send(channel, [large, event(feature="Not good")], INSTANCE)

    listed = shell.telemetry("gateway", "rejects", "list")
    assert (listed.code, listed.err) == (0, "")
    assert large.id in listed.out
    assert "unlicensed:instance-1" in listed.out
    assert SECRET not in listed.out
    (latest,) = shell.telemetry("gateway", "rejects", "list", "--json", "--limit", "1").out.splitlines()
    assert "feature" in json.loads(latest)["reason"]
    assert SECRET in shell.telemetry("gateway", "rejects", "list", "--payload", "--json").out

    dry = shell.telemetry("gateway", "rejects", "replay", "--dry-run")
    assert "Nothing was changed" in dry.out
    with running_gateway(tmp_path):
        busy = shell.telemetry("gateway", "rejects", "replay")
    assert busy.code == 1
    assert "another gateway" in busy.err
    done = shell.telemetry("gateway", "rejects", "replay", "--json")
    report = {"published": 1, "still_rejected": 1, "unreadable": 0, "dry_run": False}
    assert json.loads(done.out.splitlines()[-1]) == report
    assert large.id in (tmp_path / "published.jsonl").read_text()
    assert len(shell.telemetry("gateway", "rejects", "list", "--json").out.splitlines()) == 1
