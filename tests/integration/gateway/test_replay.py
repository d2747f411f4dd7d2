"""Replay of rejected events."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from support.gateway_client import INSTANCE, event, send
from support.gateway_server import running_gateway
from telemetry.v1 import telemetrygateway_pb2 as pb
from telemetry_gateway import GatewaySettings, Reject, RejectsError, SinkError, read_rejects, replay_rejects
from telemetry_gateway.publishing.rejects import RejectsFile, put_aside


def settings(folder: Path, **changes: Any) -> GatewaySettings:
    defaults: dict[str, Any] = {
        "sink_file": folder / "published.jsonl",
        "deduplication_file": folder / "deduplication.db",
        "rejects_file": folder / "rejects.jsonl",
    }
    return GatewaySettings.load(**(defaults | changes))


def published(folder: Path) -> list[str]:
    with running_gateway(folder) as gateway:
        return gateway.published_ids()


def large() -> pb.Event:
    made = event()
    made.parameters.private_metadata["text"] = "x" * 3_000
    return made


@pytest.fixture
def rejected(tmp_path: Path) -> list[pb.Event]:
    """Two events too large for the sink, and one that can never be accepted."""
    events = [large(), large(), event(feature="Not good")]
    with running_gateway(tmp_path, sink_max_message_bytes=2_000) as gateway, gateway.channel() as channel:
        answer = send(channel, events, INSTANCE)
    assert len(answer.rejected) == 3
    return events


def test_acceptable_events_are_published_and_the_others_kept(tmp_path: Path, rejected: list[pb.Event]) -> None:
    report = replay_rejects(settings(tmp_path))
    assert (report.published, report.still_rejected) == (2, 1)
    assert published(tmp_path) == [rejected[0].id, rejected[1].id]
    (kept,) = read_rejects(tmp_path / "rejects.jsonl")
    assert kept.event.id == rejected[2].id
    assert "feature" in kept.reason
    assert replay_rejects(settings(tmp_path)).published == 0
    assert not (tmp_path / "rejects.jsonl.replaying").exists()


def test_a_dry_run_changes_nothing(tmp_path: Path, rejected: list[pb.Event]) -> None:
    report = replay_rejects(settings(tmp_path), dry_run=True)
    assert (report.published, report.still_rejected) == (2, 1)
    assert len(list(read_rejects(tmp_path / "rejects.jsonl"))) == 3
    assert published(tmp_path) == []


def test_an_invalid_line_is_moved_to_a_separate_file(tmp_path: Path, rejected: list[pb.Event]) -> None:
    file = tmp_path / "rejects.jsonl"
    lines = file.read_bytes().splitlines()
    strange = b'{"of": "another version"}'
    file.write_bytes(b"\n".join([lines[0], strange, lines[1], lines[2][:50]]))
    assert replay_rejects(settings(tmp_path), dry_run=True).unreadable == 2
    report = replay_rejects(settings(tmp_path))
    assert (report.published, report.still_rejected, report.unreadable) == (2, 0, 2)
    assert (tmp_path / "rejects.jsonl.unreadable").read_bytes().splitlines() == [strange, lines[2][:50]]
    assert replay_rejects(settings(tmp_path)).unreadable == 0


def test_events_published_before_are_not_repeated(tmp_path: Path, rejected: list[pb.Event]) -> None:
    with running_gateway(tmp_path) as gateway, gateway.channel() as channel:
        assert send(channel, rejected[:1], INSTANCE).succeeded == [rejected[0].id]
    assert replay_rejects(settings(tmp_path)).published == 2
    assert published(tmp_path) == [rejected[0].id, rejected[1].id]


def test_a_gateway_that_writes_to_the_sink_must_be_stopped(tmp_path: Path, rejected: list[pb.Event]) -> None:
    with running_gateway(tmp_path), pytest.raises(SinkError):
        replay_rejects(settings(tmp_path))
    assert len(list(read_rejects(tmp_path / "rejects.jsonl"))) == 3


@pytest.mark.parametrize("after", [0, 1])
def test_an_interrupted_replay_loses_and_repeats_nothing(
    tmp_path: Path, rejected: list[pb.Event], monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    add = RejectsFile.add

    def interrupted(file: RejectsFile, rejects: Any) -> None:
        if after:
            add(file, list(rejects))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RejectsFile, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            replay_rejects(settings(tmp_path))
    assert {kept.event.id for kept in read_rejects(tmp_path / "rejects.jsonl")} == {each.id for each in rejected}
    report = replay_rejects(settings(tmp_path))
    assert report.published == 2
    assert published(tmp_path) == [rejected[0].id, rejected[1].id]
    assert {kept.event.id for kept in read_rejects(tmp_path / "rejects.jsonl")} == {rejected[2].id}


def test_renaming_a_file_during_writes_loses_no_line(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    ids: list[str] = []
    over = threading.Event()

    def write() -> None:
        file = RejectsFile(path, 1_000_000_000)
        while not over.is_set():
            made = event()
            file.add([Reject(datetime.now(UTC), "why", "p", pb.RecordEventsRequestMetadata(identifier=INSTANCE), made)])
            ids.append(made.id)

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    seen: list[str] = []
    for _ in range(30):
        for aside in put_aside(path):
            seen += [kept.event.id for kept in read_rejects(aside)]
            aside.unlink()
    over.set()
    for writer in writers:
        writer.join()
    for aside in put_aside(path):
        seen += [kept.event.id for kept in read_rejects(aside)]
        aside.unlink()
    assert sorted(seen) == sorted(ids)


def test_a_file_that_cannot_be_renamed_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "rejects.jsonl"
    path.mkdir()
    with pytest.raises(RejectsError, match="cannot be renamed to"):
        list(put_aside(path))
    path.rmdir()
    for kept in (path, path.with_name("rejects.jsonl.1")):
        kept.write_text("")
    with pytest.raises(RejectsError, match="still exists"):
        list(put_aside(path))  # the first file was not deleted
