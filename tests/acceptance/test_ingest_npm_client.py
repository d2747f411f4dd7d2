"""The published `@sourcegraph/telemetry` records through a running service; a real gateway gets what may leave."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.events import CANARY
from support.npm import node, npm_packages
from support.programs import Shell
from support.recorders import logged, stored_names
from telemetry_store.database import Database
from telemetry_store.engine import create_database_engine

CLIENT = Path(__file__).resolve().parents[1] / "npm" / "sourcegraph-telemetry" / "client.js"


def run_client(url: str, *token: str) -> dict[str, Any]:
    done = subprocess.run(
        [node(), str(CLIENT), url, *token],
        env={"PATH": os.environ["PATH"], "NODE_PATH": str(npm_packages("sourcegraph-telemetry"))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    outcomes: dict[str, Any] = json.loads(done.stdout)
    return outcomes


@pytest.fixture
def shell(tmp_path: Path, migrated_url: str) -> Shell:
    return Shell(
        tmp_path,
        {
            "TELEMETRY_DATABASE_URL": migrated_url,
            "TELEMETRY_EXPORT_MODE": "all",
            "TELEMETRY_INSTANCE_ID": "instance-1",
        },
    )


def by_name(folder: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in (folder / "telemetry-events.jsonl").read_text().splitlines():
        event = json.loads(line)["message"]["event"]
        found.setdefault(f"{event['feature']}.{event['action']}", []).append(event)
    return found


def test_what_the_sdk_records_arrives_without_what_is_private(shell: Shell, migrated_url: str, tmp_path: Path) -> None:
    made = shell.telemetry("ingest", "token", "--user-id", "7")
    (tmp_path / "tokens.toml").write_text(made.out)
    (token,) = re.findall(r"token: (\S+)", made.err)
    with shell.ingest("--tokens-file", "tokens.toml") as url:
        outcomes = run_client(url, token)

    for name, batches in (("atOnce", [1, 1]), ("buffered", [4, 4, 2]), ("notANumber", [1]), ("privateText", [1])):
        assert outcomes[name] == {"errors": [], "thrown": None, "batches": batches}
    assert "'feature' must start with a lowercase letter" in outcomes["badName"]["thrown"]
    number = "events[0].parameters.metadata['n']: must be a number"
    assert outcomes["infinite"]["errors"] == [
        "events[0].parameters.metadata['n'].value: must not be null (JavaScript sends NaN and infinities as null)"
    ]
    assert outcomes["text"]["errors"] == [f"{number}, not text; text belongs into privateMetadata"]
    assert outcomes["badNameBehindTheSdk"]["errors"][0].startswith("events[0].feature: must be 2 to 64 ASCII letters")
    assert outcomes["oneOfMany"]["errors"] == [
        "events[2].parameters.metadata['n']: must be a number, not text; text belongs into privateMetadata"
    ]
    assert CANARY not in json.dumps(outcomes)

    with shell.gateway() as gateway:
        sent = shell.telemetry("export", "once", "--addr", gateway)
    assert sent.code == 0
    arrived = by_name(tmp_path)
    # What was refused is nowhere; of a batch with one wrong event, nothing.
    assert {name: len(events) for name, events in arrived.items()} == {
        "search.results.submit": 1,
        "search.results.open": 1,
        "buffer.tick": 10,
        "nan.submit": 1,
        "private.text.submit": 1,
    }
    (event,) = arrived["search.results.submit"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", event.pop("id"))
    assert event.pop("source")["client"] == {"name": "web", "version": "5.2.4"}
    assert event == {
        "timestamp": "2026-02-03T04:05:06.789Z",
        "feature": "search.results",
        "action": "submit",
        "parameters": {
            "version": 2,
            "metadata": {"durationMs": 41.5, "count": 3.0, "nothing": 0.0},
            "billingMetadata": {"product": "CODY", "category": "BILLABLE"},
        },
        "user": {"userId": "7", "anonymousUserId": "anonymous-1"},
        "interaction": {"interactionId": "interaction-of-the-event"},
    }
    assert arrived["search.results.open"][0]["interaction"] == {"interactionId": "interaction-of-the-request"}
    assert sorted(event["parameters"]["metadata"]["number"] for event in arrived["buffer.tick"]) == list(range(10))
    assert arrived["nan.submit"][0]["parameters"]["metadata"] == {"n": 0.0}
    assert CANARY not in (tmp_path / "telemetry-events.jsonl").read_text()

    # On the instance it is all there.
    database = Database(create_database_engine(migrated_url))
    rows = {row["name"]: row for row in logged(database)}
    names, queued_names = stored_names(database)
    database.close()
    assert names == queued_names
    assert rows["search.results.submit"]["argument"]["query"] == CANARY
    assert rows["search.results.submit"]["url"] == f"https://shop.test/{CANARY}"
    assert rows["search.results.submit"]["referrer"] == CANARY
    assert rows["private.text.submit"]["argument"]["value"] == CANARY


def test_the_sdk_gets_an_error_for_an_invalid_token(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "tokens.toml").write_text(shell.telemetry("ingest", "token").out)
    with shell.ingest("--tokens-file", "tokens.toml") as url:
        unknown, missing = run_client(url, "SECRET-of-nobody"), run_client(url)
    assert unknown["atOnce"]["errors"] == ["invalid token"] * 2
    assert missing["atOnce"]["errors"] == ["send credentials: Authorization: Bearer TOKEN"] * 2
    assert json.loads(shell.telemetry("queue", "status", "--json").out)["pending"] == 0
