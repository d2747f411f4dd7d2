"""The files of 0.1.0's gateway and ingest service under the current code."""

import json
from collections.abc import Mapping
from pathlib import Path

import grpc
import httpx2
import pytest

from support.gateway_client import SERVICE, event, send
from support.graphql_client import PATH, RECORD, RECORDED, client_event
from support.releases import Written, lines, published


def make_exported_due(written: Written) -> set[str]:
    """Make events that the gateway already has due again, as after a crash; return their ids."""
    exported = written.ids("exported_at IS NOT NULL")
    written.rows("DELETE FROM telemetry_events_export_queue WHERE exported_at IS NULL")
    written.rows("UPDATE telemetry_events_export_queue SET exported_at = NULL")
    return exported


def test_repeats_are_dropped_and_closed_files_kept(recorded_file: Written) -> None:
    folder, shell = recorded_file.folder, recorded_file.shell()
    before = published(folder)
    closed = {path.name: path.read_bytes() for path in folder.glob("events-*")}
    due = recorded_file.ids("exported_at IS NULL AND dead_at IS NULL AND lease IS NULL")
    recorded_file.rows("UPDATE telemetry_events_export_queue SET exported_at = NULL")
    assert closed
    assert due
    with recorded_file.gateway().gateway() as address:
        lines(shell, "export", "once", "--addr", address)
    after = published(folder)
    assert after[: len(before)] == before
    assert sorted(after[len(before) :]) == sorted(due)
    assert {name: (folder / name).read_bytes() for name in closed} == closed


@pytest.mark.parametrize("lost", ["events*", "window.db"])
def test_the_window_or_the_sink_alone_recognizes_repeats(recorded_file: Written, lost: str) -> None:
    folder = recorded_file.folder
    exported = make_exported_due(recorded_file)
    known = published(folder)
    assert exported < set(known)
    for path in folder.glob(lost):
        path.unlink()
    with recorded_file.gateway().gateway() as address:
        lines(recorded_file.shell(), "export", "once", "--addr", address)
    assert recorded_file.ids("exported_at IS NOT NULL") == exported
    assert published(folder) == ([] if lost == "events*" else known)


def test_a_new_exporter_sends_to_a_gateway_of_0_1_0(recorded_file: Written, release_0_1_0: Mapping[str, str]) -> None:
    before = published(recorded_file.folder)
    due = recorded_file.ids("exported_at IS NULL AND dead_at IS NULL AND lease IS NULL")
    with recorded_file.gateway(**release_0_1_0).gateway() as address:
        lines(recorded_file.shell(), "export", "once", "--addr", address)
    assert sorted(published(recorded_file.folder)) == sorted([*before, *due])


def test_a_gateway_of_0_1_0_continues_in_the_folder_of_a_newer_one(
    recorded_file: Written, release_0_1_0: Mapping[str, str]
) -> None:
    folder, shell = recorded_file.folder, recorded_file.shell()
    with recorded_file.gateway().gateway() as address:
        lines(shell, "export", "once", "--addr", address)
    known = published(folder)
    repeated = make_exported_due(recorded_file)
    with recorded_file.gateway(**release_0_1_0).gateway() as address:
        lines(shell, "export", "once", "--addr", address)
    assert recorded_file.ids("exported_at IS NOT NULL") == repeated
    assert published(folder) == known


def test_rejects_are_listed_and_replayed(recorded_file: Written) -> None:
    folder = recorded_file.folder
    before = published(folder)
    kept = [json.loads(line)["eventId"] for line in (folder / "rejects.jsonl").read_text().splitlines()]
    listed = lines(recorded_file.gateway(), "gateway", "rejects", "list")
    assert sorted(one["event_id"] for one in listed) == sorted(kept)
    assert {one["publisher"] for one in listed} == {"unlicensed:instance-of-0.1.0"}
    wider = recorded_file.gateway(TELEMETRY_GATEWAY_SINK_MAX_MESSAGE_BYTES="1000000")
    (report,) = lines(wider, "gateway", "rejects", "replay")
    assert (report["published"], report["still_rejected"], report["unreadable"]) == (len(kept), 0, 0)
    assert sorted(published(folder)) == sorted([*before, *kept])


def test_a_gateway_check_finds_nothing_wrong(recorded_file: Written) -> None:
    checked = lines(recorded_file.gateway(), "gateway", "check")
    assert all(one["ok"] for one in checked)


def test_a_managed_service_authenticates_with_the_files_token(recorded_file: Written) -> None:
    with recorded_file.gateway().gateway() as address, grpc.insecure_channel(address.removeprefix("http://")) as open_:
        good, stranger = event(), event()
        assert send(open_, [good], SERVICE, token="token-of-billing-0.1.0").succeeded == [good.id]
        assert send(open_, [stranger], SERVICE, token="another").code is grpc.StatusCode.PERMISSION_DENIED


def test_an_ingest_caller_authenticates_with_the_files_token(recorded_file: Written) -> None:
    token = (recorded_file.folder / "ingest-token").read_text().strip()
    body = {"query": RECORD, "variables": {"events": [client_event()]}}
    with recorded_file.shell().ingest("--tokens-file", "ingest-tokens.toml") as url:
        good = httpx2.post(url + PATH, json=body, headers={"authorization": f"token {token}"}, timeout=60)
        assert good.json() == RECORDED
        assert httpx2.post(url + PATH, json=body, timeout=60).status_code == 401
    ((user,),) = recorded_file.rows("SELECT user_id FROM event_logs ORDER BY id DESC LIMIT 1")
    assert user == 7


@pytest.mark.parametrize(
    ("command", "file"),
    [
        (("allowlist", "check"), "allowlist.toml"),
        (("ingest", "packages", "check"), "packages.toml"),
    ],
)
def test_reviewed_files_are_read(folder: Path, command: tuple[str, ...], file: str) -> None:
    done = Written("sqlite:///none.db", folder).shell().telemetry(*command, "--file", file)
    assert done.code == 0, done.err


def test_events_of_the_catalogue_are_recorded_and_others_refused(recorded_file: Written) -> None:
    shell = recorded_file.shell(TELEMETRY_CATALOG_FILE="catalog.toml")
    known = ("record", "search.results", "submit", "--user-id", "7", "-m", "durationMs=42")
    assert shell.telemetry(*known).code == 0
    assert shell.telemetry("record", "search.results", "dismiss", "--user-id", "7").code == 2
