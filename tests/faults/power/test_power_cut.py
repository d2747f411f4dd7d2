"""Power cuts: every event that was reported as stored survives, and no file is damaged."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.power import LEDGER, Disk, build_shim, read_calls
from telemetry_gateway import JsonlSink, Rotation, read_rejects
from telemetry_store.engine import create_database_engine
from telemetry_store.migrations import upgrade_database

CUTS = int(os.environ.get("TELEMETRY_TEST_CUTS", "30"))
"""The number of power cuts for each test; `make faults` raises it."""

RECORDING = """
import os, sys
from recorder import Recorder
from telemetry import EventParameters, NewEvent
folder, count = sys.argv[1], int(sys.argv[2])
ledger = os.open(f"{folder}/ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
recorder = Recorder.from_url(f"sqlite:///{folder}/telemetry.db", service_version="1")
parameters = EventParameters(private_metadata={"query": "x" * 500})
for number in range(count):
    if number % 10:
        ids = [recorder.record("search", "submit", parameters)]
    else:
        ids = recorder.batch_record([NewEvent("search", "many", parameters)] * 5)
    os.write(ledger, "".join(f"{each}\\n" for each in ids).encode())
os._exit(0)
"""
PUBLISHING = """
import os, sys
from pathlib import Path
from telemetry_gateway import JsonlSink, Message, Rotation
from telemetry.event import new_event_id
folder, count = sys.argv[1], int(sys.argv[2])
ledger = os.open(f"{folder}/ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
path = Path(folder) / "published.jsonl"
path.touch()  # created by an earlier process that was killed right afterwards
sink = JsonlSink(path, 1024 * 1024, rotation=Rotation(max_bytes=20_000, compress=True))
for number in range(count):
    ids = [new_event_id() for _ in range(1 + number % 7)]
    key = b'{"metadata":{"identifier":{"unlicensedInstance":{"instanceId":"p"}}},"event":{"id":"%s"}}'
    sink.publish([Message("unlicensed:p", each, {}, key % each.encode()) for each in ids])
    os.write(ledger, "".join(f"{each}\\n" for each in ids).encode())
os._exit(0)
"""
REJECTING = """
import os, sys
from datetime import UTC, datetime
from pathlib import Path
from telemetry_gateway import Reject
from telemetry_gateway.publishing.rejects import RejectsFile
from telemetry.event import new_event_id
from telemetry.v1 import telemetrygateway_pb2 as pb
folder, count = sys.argv[1], int(sys.argv[2])
ledger = os.open(f"{folder}/ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
file = RejectsFile(Path(folder) / "rejects.jsonl", 1_000_000_000)
for number in range(count):
    ids = [new_event_id() for _ in range(1 + number % 7)]
    metadata = pb.RecordEventsRequestMetadata()
    file.add(Reject(datetime.now(UTC), "why", "p", metadata, pb.Event(id=each)) for each in ids)
    os.write(ledger, "".join(f"{each}\\n" for each in ids).encode())
os._exit(0)
"""
ROTATION = Rotation(max_bytes=20_000, compress=True)


def record_calls(folder: Path, program: str, count: int) -> Path:
    """Run a program in a folder, and return the log of its file operations."""
    log = folder.parent / "calls"
    environment = {
        **os.environ,
        "LD_PRELOAD": str(build_shim(folder.parent)),
        "RECORDED_CALLS": str(log),
        "RECORDED_FOLDER": str(folder),
        "TELEMETRY_EXPORT_MODE": "all",
    }
    subprocess.run([sys.executable, "-c", program, str(folder), str(count)], check=True, env=environment)
    return log


def cuts(disk: Disk, log: Path, folder: Path) -> Iterator[set[str]]:
    """Cut the power at random moments; yield the ids that had been reported as stored by then."""
    calls = list(read_calls(log))
    chance = random.Random(len(calls))
    moments = set(chance.sample(range(len(calls)), min(CUTS, len(calls))))
    for position, call in enumerate(calls):
        disk.take(call)
        if position in moments:
            disk.cut(folder, chance if position % 2 else None)
            yield set(disk.promised.decode().split())


@pytest.mark.timeout(120 + CUTS)
def test_power_cuts_of_a_recorder_on_sqlite(tmp_path: Path) -> None:
    folder = tmp_path / "recording"
    folder.mkdir()
    file = folder / "telemetry.db"
    engine = create_database_engine(f"sqlite:///{file}")
    upgrade_database(engine)
    engine.dispose()
    disk = Disk({"telemetry.db": file.read_bytes()})
    log = record_calls(folder, RECORDING, 400)
    names = {call.name for call in read_calls(log)}
    assert {"telemetry.db", "telemetry.db-wal", LEDGER} <= names  # the cuts include checkpoints

    checked = 0
    for promised in cuts(disk, log, tmp_path / "after"):
        (tmp_path / "after" / "telemetry.db-shm").unlink(missing_ok=True)  # shared memory, lost with the power
        found = sqlite3.connect(tmp_path / "after" / "telemetry.db")
        assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        queued = {row[0] for row in found.execute("SELECT id FROM telemetry_events_export_queue")}
        (logged,) = found.execute("SELECT count(*) FROM event_logs").fetchone()
        found.close()
        assert promised <= queued
        assert len(queued) == logged
        assert len(queued) - len(promised) <= 5  # at most one call of the recorder was in progress
        checked += 1
    print(f"{checked} power cuts of a recorder, {len(promised)} events promised at the last")
    assert checked >= min(CUTS, 50)


@pytest.mark.timeout(120 + CUTS)
def test_power_cuts_of_a_gateway_with_a_jsonl_sink(tmp_path: Path) -> None:
    folder = tmp_path / "publishing"
    folder.mkdir()
    log = record_calls(folder, PUBLISHING, 400)
    kinds = {call.kind for call in read_calls(log)}
    assert kinds >= {"w", "s", "c", "r", "u"}  # the cuts include closing, compressing and deleting files
    checked = 0
    for promised in cuts(Disk(), log, tmp_path / "after"):
        file = tmp_path / "after" / "published.jsonl"
        sink = JsonlSink(file, 1024 * 1024, rotation=ROTATION)  # as the gateway does at its next start
        found = [event_id for _, event_id in sink.published_since("", 0)]
        sink.close()
        assert promised <= set(found)
        assert len(found) == len(set(found))
        checked += 1
    shutil.rmtree(tmp_path / "after")
    print(f"{checked} power cuts of a gateway, {len(promised)} events promised at the last")
    assert checked >= min(CUTS, 50)


@pytest.mark.timeout(120 + CUTS)
def test_power_cuts_of_a_gateway_with_a_rejects_file(tmp_path: Path) -> None:
    folder = tmp_path / "rejecting"
    folder.mkdir()
    log = record_calls(folder, REJECTING, 400)
    checked = 0
    for promised in cuts(Disk(), log, tmp_path / "after"):
        kept = [reject.event.id for reject in read_rejects(tmp_path / "after" / "rejects.jsonl")]
        assert promised <= set(kept)
        checked += 1
    print(f"{checked} power cuts of a gateway, {len(promised)} events rejected at the last")
    assert checked >= min(CUTS, 50)
